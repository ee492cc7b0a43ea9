"""Videos that were cut short: refused where much is missing, told where little is, and whole ones left alone."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clips import Doubled, av, frames_of, moving, write_clip
from rlfn.errors import PictureError
from rlfn.images.apng import write_apng
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.video.batch import upscale_one
from rlfn.jobs.video.probe import probe
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.settings import TimeRange, VideoSettings
from rlfn.jobs.video.truncation import Truncation, check_truncation

FAST = VideoSettings(EnlargeOptions(engine=Doubled()), preset="ultrafast", codec="h264", overwrite=True)
ANIMATED = replace(FAST, preset=None, codec=None)


def enlarged(source: Path, target: Path, settings: VideoSettings = FAST) -> VideoRecord:
    empty = VideoRecord(str(source), str(target), "failed")
    return upscale_one(source, target, settings, UpscalerPool(), None, None, empty)


SEGMENT, LENGTH = b"\x18\x53\x80\x67", b"\x44\x89\x88"
"""How Matroska's segment begins, whose size follows in 8 bytes, and what states its length."""


def clip(path: Path, frames: int = 30, **options: str) -> Path:
    """Write ten frames a second, in an MP4 with the table of frames in front."""
    extra = {"movflags": "+faststart", **options} if path.suffix == ".mp4" else options
    with av.open(str(path), "w", container_options=extra) as container:
        codec, how = ("libvpx", {"g": "5"}) if path.suffix == ".webm" else ("libx264", {"bf": "2", "g": "5"})
        stream = container.add_stream(codec, rate=10, options={**how, "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.vstack(moving("gray", 32, 48)(number)), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def png(path: Path) -> Path:
    frames = [np.random.default_rng(n).integers(0, 256, (24, 24, 3), np.uint8) for n in range(20)]
    write_apng(frames, path, [100] * 20, 0)
    return path


def sounding(path: Path, seconds: int) -> Path:
    """Write a quarter of a second of pictures with so many seconds of sound."""

    def more(container: Any) -> Callable[[], None]:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")

        def write() -> None:
            for second in range(seconds):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 8000, second * 8000, Fraction(1, 8000)
                container.mux(stream.encode(frame))

        return write

    return write_clip(path, moving("yuv420p", 32, 32), codec="libx264", more=more)


def patched(path: Path, name: str, at: bytes, number: int, data: bytes) -> Path:
    """Return a copy whose bytes that begin ``number`` behind ``at`` are other ones."""
    content = bytearray(path.read_bytes())
    begin = content.index(at) + number
    content[begin : begin + len(data)] = data
    copy = path.with_name(name)
    copy.write_bytes(content)
    return copy


def truncation(path: Path, start: float = 0.0, duration: float | None = None) -> Truncation:
    time_range = TimeRange(Fraction(start), None if duration is None else Fraction(duration))
    return check_truncation(probe(path), time_range)


@pytest.mark.parametrize(
    ("suffix", "lacks"),
    [(".mp4", "of 30 frames"), (".mkv", "of 3.0 s"), (".webm", "of 3.0 s")],
)
def test_half_a_video_is_refused_and_taken_when_asked_for(tmp_path: Path, suffix: str, lacks: str) -> None:
    source = cut(clip(tmp_path / f"a{suffix}"), 0.5)
    with pytest.raises(PictureError, match=rf"is cut short: it lacks .* {lacks}\. Get a whole .* duration=") as error:
        enlarged(source, tmp_path / "b.mkv")
    asked = float(str(error.value).rstrip(".").rpartition("=")[2])
    assert 1.0 <= asked <= 2.0
    record = enlarged(source, tmp_path / "b.mkv", replace(FAST, duration=asked))
    assert 10 * asked - 4 <= record.frames == len(frames_of(tmp_path / "b.mkv")) <= 10 * asked
    assert record.missing == 0


def test_frames_of_an_mp4_that_are_missing_are_told_when_they_are_few(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4")
    with av.open(str(source)) as container:
        last = max(row.pos for row in container.streams.video[0].index_entries)
    source.write_bytes(source.read_bytes()[: last + 1])
    record = enlarged(source, tmp_path / "b.mp4")
    assert record.missing == 1 / 30
    assert "the source is cut short: it lacks 1 of 30 frames" in record.warnings
    assert enlarged(source, tmp_path / "b.mp4", replace(FAST, duration=2.0)).missing == 0


def test_seconds_that_are_missing_are_told_when_they_are_few(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mkv", frames=100)
    record = enlarged(cut(source, 0.93), tmp_path / "b.mkv")
    assert 0.05 < record.missing < 0.1
    assert f"the source is cut short: it lacks {10 * record.missing:.1f} of 10.0 s" in record.warnings


def test_a_stretch_that_is_there_is_taken_of_a_video_that_is_not(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv"):
        source = cut(clip(tmp_path / f"a{suffix}"), 0.5)
        assert truncation(source, 0.25, 0.5) == Truncation()
        with pytest.raises(PictureError, match="cut short"):
            truncation(source, 0.25, 2.0)


def test_pictures_of_a_video_that_was_cut_short(tmp_path: Path) -> None:
    settings = replace(ANIMATED, frames_format="png")
    with pytest.raises(PictureError, match="cut short"):
        enlarged(cut(clip(tmp_path / "a.mkv"), 0.5), tmp_path / "f", settings)
    record = enlarged(cut(clip(tmp_path / "a.mkv", frames=100), 0.93), tmp_path / "f", settings)
    assert 0.05 < record.missing < 0.1
    assert any("cut short" in text for text in record.warnings)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv", ".ts", ".nut"])
def test_whole_videos_are_whole(tmp_path: Path, suffix: str) -> None:
    source = clip(tmp_path / f"a{suffix}")
    junk, joined = source.with_stem("junk"), source.with_stem("joined")
    junk.write_bytes(source.read_bytes() + bytes(5000))
    joined.write_bytes(source.read_bytes() * 2)
    uneven = write_clip(
        source.with_stem("uneven"),
        moving("yuv420p", 32, 32),
        codec="libvpx" if suffix == ".webm" else "libx264",
        times=(0, 40, 900, 3000, 9000),
    )
    for path in (source, junk, joined, uneven):
        for time_range in ((0.0, None), (0.5, None), (0.5, 1.0), (0.0, 60.0), (60.0, None)):
            assert (path.name, time_range, truncation(path, *time_range)) == (path.name, time_range, Truncation())


def test_a_size_or_a_length_that_is_stated_wrongly_is_no_lack(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mkv")
    large, long = (1 << 56 | 1 << 40).to_bytes(8, "big"), struct.pack(">d", 9000.0)
    size = patched(source, "size.mkv", SEGMENT, 4, large)
    length = patched(source, "length.mkv", LENGTH, 3, long)
    assert (truncation(size), truncation(length)) == (Truncation(), Truncation())
    with pytest.raises(PictureError, match=r"lacks 6\.0 of 9\.0 s"):
        truncation(patched(size, "both.mkv", LENGTH, 3, long))
    little = patched(size, "little.mkv", LENGTH, 3, struct.pack(">d", 3400.0))
    assert truncation(little) == Truncation()


def test_what_still_grows_is_no_lack(tmp_path: Path) -> None:
    live = clip(tmp_path / "live.mkv", live="1")
    unknown = patched(clip(tmp_path / "a.mkv"), "unknown.mkv", SEGMENT, 4, b"\x01" + b"\xff" * 7)
    fragments = clip(tmp_path / "fragments.mp4", movflags="+frag_keyframe+empty_moov")
    first = clip(tmp_path / "first.mp4", movflags="+frag_keyframe")
    for path in (live, unknown, fragments, first):
        assert truncation(path) == Truncation()
        assert (path.name, truncation(cut(path, 0.8))) == (path.name, Truncation())


def test_sound_may_go_on_behind_the_pictures(tmp_path: Path) -> None:
    for suffix in (".mkv", ".mov"):
        assert truncation(sounding(tmp_path / f"a{suffix}", 5)) == Truncation()
    size = patched(tmp_path / "a.mkv", "size.mkv", SEGMENT, 4, (1 << 56 | 1 << 40).to_bytes(8, "big"))
    assert truncation(size) == Truncation()


@pytest.mark.parametrize("suffix", [".png", ".gif", ".mkv"])
def test_an_animated_png_that_was_cut_short(tmp_path: Path, suffix: str) -> None:
    whole = png(tmp_path / "a.png")
    settings = FAST if suffix == ".mkv" else ANIMATED
    record = enlarged(whole, tmp_path / f"b{suffix}", settings)
    assert (record.frames, record.missing) == (20, 0)
    data = whole.read_bytes()
    controls = [at for at in range(len(data)) if data.startswith(b"fcTL", at)]
    assert struct.unpack_from(">I", data, data.index(b"acTL") + 4) == (len(controls),) == (20,)
    whole.write_bytes(data[: controls[12] - 4])
    with pytest.raises(PictureError, match=r"cut short: it lacks 9 of 20 frames.*duration=1\.1"):
        enlarged(whole, tmp_path / f"b{suffix}", settings)
    assert enlarged(whole, tmp_path / f"b{suffix}", replace(settings, duration=1.1)).frames == 11
    whole.write_bytes(data[: controls[19] - 4])
    record = enlarged(whole, tmp_path / f"b{suffix}", settings)
    assert (record.missing, "the source is cut short: it lacks 2 of 20 frames" in record.warnings) == (0.1, True)


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_an_animations_record_tells_the_time_of_inference(tmp_path: Path, suffix: str) -> None:
    record = enlarged(png(tmp_path / "a.png"), tmp_path / f"b{suffix}", ANIMATED)
    assert 0 < record.engine_seconds < record.seconds
