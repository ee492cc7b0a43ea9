"""Codecs and streams in containers: what would fail at the end is dropped, or refused before the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clips import Doubled, av, frames_of, moving, packets_of, write_clip
from rlfn.errors import OptionError, OutputError
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.jobs.video.codecs import CODECS, available
from rlfn.jobs.video.detection import ANIMATED, CONTAINERS
from rlfn.jobs.video.run import VideoRun
from rlfn.jobs.video.settings import VideoSettings

FAST = VideoSettings(EnlargeOptions(engine=Doubled()))
FASTEST = {"h264": "ultrafast", "hevc": "ultrafast", "av1": "13", "vp9": "8"}
HELD = {
    "mp4": {"h264", "hevc", "av1", "vp9", "ffv1"},
    "mov": {"h264", "hevc", "prores"},
    "matroska": set(CODECS),
    "webm": {"av1", "vp9"},
    "mpegts": {"h264", "hevc"},
    "flv": {"h264", "hevc", "av1", "vp9"},
    "3gp": {"h264"},
    "nut": {"h264", "hevc", "av1", "vp9", "ffv1"},
}


def enlarged(source: Path, target: Path, settings: VideoSettings = FAST) -> VideoRun:
    run = VideoRun(source, target, settings)
    run.run()
    return run


@pytest.mark.parametrize("suffix", sorted(set(CONTAINERS) - ANIMATED))
def test_every_codec_that_a_container_is_said_to_hold_can_be_read_again(tmp_path: Path, suffix: str) -> None:
    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 32, 32), times=(0, 40))
    made = set()
    for codec in available():
        try:
            enlarged(source, tmp_path / f"b{suffix}", replace(FAST, codec=codec, preset=FASTEST.get(codec)))
        except OptionError as error:
            assert "cannot hold" in str(error)  # noqa: PT017 - one of several
            continue
        assert len(frames_of(tmp_path / f"b{suffix}")) == 2
        made.add(codec)
    assert made == HELD[CONTAINERS[suffix]] & set(available())


def test_vp9_becomes_another_codec_in_quicktime(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.webm", moving("yuv420p", 32, 32), codec="libvpx-vp9", times=(0, 40))
    run = enlarged(source, tmp_path / "b.mov")
    assert run.warnings[0] == "the source's codec, vp9, is not written to mov files: h264 instead"
    with pytest.raises(OptionError, match="cannot hold VP9"):
        VideoRun(source, tmp_path / "c.mov", replace(FAST, codec="vp9"))


def pcm(codec: str) -> Callable[[Any], Callable[[], None]]:
    """Return what adds a fifth of a second of stereo noise to a container."""

    def more(container: Any) -> Callable[[], None]:
        stream = container.add_stream(codec, rate=8000, layout="stereo")
        bits = "s32" if "24" in codec else "s16"
        kind = np.int32 if bits == "s32" else np.int16
        noise = np.random.default_rng(0).integers(-9000, 9000, (1, 2 * 1600)).astype(kind)

        def write() -> None:
            frame = av.AudioFrame.from_ndarray(noise, format=bits, layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
            container.mux(stream.encode(frame))
            container.mux([packet for packet in stream.encode(None) if packet.size])

        return write

    return more


@pytest.mark.parametrize(
    ("before", "codec"),
    [(".mov", "pcm_s16le"), (".mov", "pcm_s16be"), (".mov", "pcm_s24le"), (".mkv", "pcm_s16be"), (".avi", "pcm_s16le")],
)
def test_sound_without_compression_goes_into_mp4(tmp_path: Path, before: str, codec: str) -> None:
    source = write_clip(
        tmp_path / f"a{before}", moving("yuv420p", 32, 32), codec="libx264", options={"bf": "0"}, times=range(5),
        base=Fraction(1, 25), more=pcm(codec),
    )  # fmt: skip
    for suffix in (".mp4", ".mov", ".mkv"):
        run = enlarged(source, tmp_path / f"b{suffix}", replace(FAST, preset="ultrafast"))
        assert f"audio {codec}" in run.muxed.kept[1]
        heard = b"".join(data for _, _, data in packets_of(tmp_path / f"b{suffix}", "audio"))
        assert heard == b"".join(data for _, _, data in packets_of(source, "audio")) != b""
        with av.open(str(tmp_path / f"b{suffix}")) as container:
            assert container.streams.audio[0].channels == 2


def test_quicktime_keeps_its_own_names_of_codecs(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "a.mov", moving("yuv420p", 32, 32), codec="libx264", times=(0, 40), more=pcm("pcm_s16le")
    )
    enlarged(source, tmp_path / "b.mov", replace(FAST, preset="ultrafast"))
    with av.open(str(tmp_path / "b.mov")) as container:
        assert container.streams.audio[0].codec_context.codec_tag == "sowt"


def test_what_the_container_refuses_is_refused_before_the_first_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlfn.jobs.video.codecs._REFUSED", {})
    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 32, 32), times=(0, 40))
    engine = Doubled()
    run = VideoRun(source, tmp_path / "b.mov", VideoSettings(EnlargeOptions(engine=engine), codec="vp9", preset="8"))
    with pytest.raises(OutputError, match="FFmpeg could not write the file"):
        run.run()
    assert engine.pixels == 0
    assert not any(path.suffix in (".part", ".segment") for path in tmp_path.rglob("*"))
