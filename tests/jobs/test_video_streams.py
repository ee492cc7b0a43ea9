"""What goes with the frames: other streams bit by bit, chapters, metadata, turning, HDR, and what is lost by name."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clips import Doubled, av, frames_of, moving, packets_of, write_clip
from rlfn.inference.enlarge import EnlargeOptions
from rlfn.jobs.video.probe import HdrFacts, probe
from rlfn.jobs.video.run import VideoRun
from rlfn.jobs.video.settings import VideoSettings

FAST = VideoSettings(EnlargeOptions(engine=Doubled()), preset="ultrafast")
MASTERING = ":".join(
    (
        "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)",
        "max-cll=1000,400",
        "log-level=none",
    )
)


def enlarged(source: Path, target: Path, settings: VideoSettings = FAST) -> VideoRun:
    run = VideoRun(source, target, settings)
    run.run()
    return run


def sound(container: Any, codec: str, language: str, seed: int) -> Callable[[], None]:
    stream = container.add_stream(codec, rate=48000, layout="mono")
    stream.metadata["language"] = language
    noise = np.random.default_rng(seed).integers(-9000, 9000, (1, 48000), dtype=np.int16)

    def write() -> None:
        resampler = av.AudioResampler(stream.format.name, "mono", 48000, stream.codec_context.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        for one in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(one))
        container.mux([packet for packet in stream.encode(None) if packet.size])

    return write


def texts(container: Any, language: str) -> Callable[[], None]:
    lines = "".join(
        f"{number}\n00:00:00,{50 * number:03} --> 00:00:00,{50 * number + 40:03}\nline {number}\n\n"
        for number in range(1, 4)
    )
    source = av.open(io.BytesIO(lines.encode()), format="srt")
    stream = container.add_stream_from_template(source.streams[0], opaque=True)
    stream.metadata["language"] = language

    def write() -> None:
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                container.mux(packet)

    return write


def everything(container: Any) -> Callable[[], None]:
    container.metadata["title"] = "a title"
    container.metadata["comment"] = "said"
    container.add_attachment("font.ttf", "font/ttf", b"no real font")
    container.set_chapters(
        [
            {"id": 1, "start": 0, "end": 100, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}},
            {"id": 2, "start": 100, "end": 240, "time_base": Fraction(1, 1000), "metadata": {"title": "two"}},
        ]
    )
    video = container.streams.video[0]
    video.metadata["title"] = "the pictures"
    writers = [sound(container, "aac", "eng", 0), sound(container, "flac", "fra", 1), texts(container, "deu")]
    container.streams[-1].disposition = av.stream.Disposition.forced

    def write() -> None:
        for writer in writers:
            writer()

    return write


def facts(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as container:
        return {
            "kinds": [stream.type for stream in container.streams],
            "languages": [stream.metadata.get("language") for stream in container.streams],
            "dispositions": [int(stream.disposition) for stream in container.streams],
            "titles": [container.metadata.get("title"), *(one.metadata.get("title") for one in container.streams)],
            "comment": {key.lower(): value for key, value in container.metadata.items()}.get("comment"),
            "chapters": [(one["start"] * one["time_base"], one["metadata"]) for one in container.chapters()],
            "attached": [(one.name, one.mimetype, one.data) for one in container.streams.attachments],
        }


def test_matroska_keeps_every_stream(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "a.mkv", moving("yuv420p", 64, 48), codec="libx264", times=range(0, 960, 40), more=everything
    )
    run = enlarged(source, tmp_path / "b.mkv")
    assert run.warnings == []
    before, after = facts(source), facts(tmp_path / "b.mkv")
    assert after == before
    assert before["kinds"].count("audio") == 2
    for kind in ("audio", "subtitle"):
        assert packets_of(tmp_path / "b.mkv", kind) == packets_of(source, kind)
        assert len(packets_of(source, kind)) >= 3
    assert run.muxed.kept[0] == "video h264: enlarged"
    assert any(text.startswith("audio flac fra") and text.endswith("copied") for text in run.muxed.kept)


def test_what_the_container_cannot_hold_is_named(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "a.mkv", moving("yuv420p", 64, 48), codec="libx264", times=range(0, 960, 40), more=everything
    )
    run = enlarged(source, tmp_path / "b.mp4")
    dropped = [text for text in run.warnings if "cannot hold it" in text]
    assert any(text.startswith("subtitle subrip deu") for text in dropped)
    assert any(text.startswith("attachment font.ttf") for text in dropped)
    assert [(one[1], one[2]) for one in packets_of(tmp_path / "b.mp4", "audio")] == [
        (one[1], one[2]) for one in packets_of(source, "audio")
    ]


def test_a_transport_stream_keeps_what_its_readers_know_again(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "a.mkv", moving("yuv420p", 64, 48), codec="libx264", times=range(0, 960, 40), more=everything
    )
    run = enlarged(source, tmp_path / "b.ts")
    dropped = {text.split(" (")[0] for text in run.warnings if "mpegts cannot hold it" in text}
    assert dropped == {"audio flac fra", "subtitle subrip deu", "attachment font.ttf"}
    with av.open(str(tmp_path / "b.ts")) as container:
        assert [(one.type, one.name) for one in container.streams] == [("video", "h264"), ("audio", "aac")]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_sound_and_chapters_of_mp4(tmp_path: Path, suffix: str) -> None:
    def more(container: Any) -> Callable[[], None]:
        container.metadata["title"] = "a title"
        container.set_chapters(
            [{"id": 0, "start": 0, "end": 240, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}]
        )
        return sound(container, "aac", "eng", 0)

    source = write_clip(
        tmp_path / f"a{suffix}",
        moving("yuv420p", 64, 48),
        codec="libx264",
        base=Fraction(1, 12800),
        times=range(0, 24 * 512, 512),
        more=more,
        turned=90,
    )
    run = enlarged(source, tmp_path / f"b{suffix}")
    assert run.warnings == []
    before, after = facts(source), facts(tmp_path / f"b{suffix}")
    assert after == before
    assert packets_of(tmp_path / f"b{suffix}", "audio") == packets_of(source, "audio")


def test_sound_that_begins_before_zero_in_nut(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "a.mp4", moving("yuv420p", 64, 48), codec="libx264", base=Fraction(1, 12800), options={"bf": "2"},
        times=range(0, 24 * 512, 512), more=lambda container: sound(container, "aac", "eng", 0),
    )  # fmt: skip
    before = packets_of(source, "audio")
    assert before[0][1] < 0
    run = enlarged(source, tmp_path / "b.nut")
    assert any("NUT holds no times before 0" in text for text in run.warnings)
    after = packets_of(tmp_path / "b.nut", "audio")
    assert [data for _, _, data in after] == [data for _, _, data in before]
    late = frames_of(tmp_path / "b.nut")[0][0] - frames_of(source)[0][0]
    assert after[0][1] - before[0][1] == pytest.approx(float(late), abs=0.001)
    assert late > 0


def test_a_stretch_of_all_streams(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "a.mkv", moving("yuv420p", 64, 48), codec="libx264", times=range(0, 960, 40), more=everything
    )
    enlarged(source, tmp_path / "b.mkv", replace(FAST, start=0.08, duration=0.12))
    assert [time for time, _ in frames_of(tmp_path / "b.mkv")] == [Fraction(n * 40, 1000) for n in range(3)]
    heard = [one for one in packets_of(source, "audio") if Fraction(80, 1000) <= one[1] < Fraction(200, 1000)]
    assert packets_of(tmp_path / "b.mkv", "audio") == [(one[0], one[1] - Fraction(80, 1000), one[2]) for one in heard]
    assert [start for start, _ in facts(tmp_path / "b.mkv")["chapters"]] == [0, Fraction(20, 1000)]


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_turned_video_is_turned_once(tmp_path: Path, suffix: str, degrees: int) -> None:
    planes = moving("yuv420p", 64, 48)
    source = write_clip(
        tmp_path / "a.mp4", planes, codec="libx264", options={"qp": "0"}, base=Fraction(1, 90000), turned=degrees,
        times=range(0, 14400, 3600), stated={"sample_aspect_ratio": Fraction(4, 3)},
    )  # fmt: skip
    run = enlarged(source, tmp_path / f"b{suffix}", replace(FAST, crf=0))
    found, made = frames_of(tmp_path / f"b{suffix}"), probe(tmp_path / f"b{suffix}")
    flat = planes(0)[0].repeat(2, axis=0).repeat(2, axis=1)
    if suffix == ".ts":  # which has no place for it
        assert made.matrix == ()
        flat = np.rot90(flat, degrees // 90)
        assert made.aspect == (Fraction(4, 3) if degrees == 180 else Fraction(3, 4))
    else:
        assert made.matrix == run.clip.matrix != ()
        assert made.aspect == Fraction(4, 3)
    assert np.abs(found[0][1][0].astype(int) - flat).max() <= 2


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_hdr_is_kept(tmp_path: Path, suffix: str) -> None:
    stated = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
    source = write_clip(
        tmp_path / f"a{suffix}",
        moving("yuv420p10le", 64, 48),
        codec="libx265",
        name="yuv420p10le",
        options={"x265-params": MASTERING, "preset": "ultrafast", "chroma_sample_location": "topleft"},
        stated=stated,
        base=Fraction(1, 1000) if suffix == ".mkv" else Fraction(1, 90000),
        times=range(0, 1000, 40),
    )
    run = enlarged(source, tmp_path / f"b{suffix}")
    before, after = probe(source), probe(tmp_path / f"b{suffix}")
    assert run.warnings == []
    assert after.hdr == before.hdr != HdrFacts()
    assert after.colour == before.colour
    assert after.colour.siting == "topleft"
    assert after.format.name == "yuv420p10le"
    assert [time for time, _ in frames_of(tmp_path / f"b{suffix}")] == [time for time, _ in frames_of(source)]
    other = enlarged(source, tmp_path / "c.mkv", replace(FAST, codec="h264"))
    assert probe(tmp_path / "c.mkv").format.name == "yuv420p10le"
    assert other.clip.codec == "hevc"


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_what_follows_a_jump_back_goes_on_behind_it(tmp_path: Path, suffix: str) -> None:
    base, step = Fraction(1, 90000), 3600
    part = write_clip(
        tmp_path / "part.ts", moving("yuv420p", 64, 48), codec="libx264", options={"bf": "0"}, base=base,
        times=range(0, 30 * step, step), more=lambda container: sound(container, "aac", "eng", 0),
    )  # fmt: skip
    source = tmp_path / "a.ts"
    source.write_bytes(part.read_bytes() * 2)
    run = enlarged(source, tmp_path / f"b{suffix}")
    assert any("jump back (1 times)" in text for text in run.warnings)
    times = [time for time, _ in frames_of(tmp_path / f"b{suffix}")]
    assert len(times) == 60
    assert {after - before for before, after in pairwise(times)} == {step * base}
    heard = [time for _, time, _ in packets_of(tmp_path / f"b{suffix}", "audio")]
    assert len(heard) == len(packets_of(source, "audio"))
    assert heard[-1] - heard[0] == pytest.approx(float(times[-1] - times[0]) + 1 - 30 * 0.04, abs=0.09)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_copied_stream_whose_times_fall_is_set_right(tmp_path: Path, suffix: str) -> None:
    source = write_clip(
        tmp_path / "a.ts", moving("yuv420p", 64, 48), codec="libx264", options={"bf": "0"}, base=Fraction(1, 90000),
        times=range(0, 36000, 3600), more=lambda container: sound(container, "mp2", "eng", 0),
    )  # fmt: skip
    good = enlarged(source, tmp_path / f"good{suffix}")
    assert not any("did not grow" in text for text in good.warnings)
    data = source.read_bytes()
    starts = [at for at in range(len(data)) if data.startswith(b"\0\0\1\xc0", at)]  # each packet's time is 9 bytes on
    early = data[starts[1] + 9 : starts[1] + 14]
    source.write_bytes(data[: starts[3] + 9] + early + data[starts[3] + 14 :])
    run = enlarged(source, tmp_path / f"b{suffix}")
    assert any("timestamps of audio mp2" in text and "did not grow" in text for text in run.warnings)
    assert [one[2] for one in packets_of(tmp_path / f"b{suffix}", "audio")] == [
        one[2] for one in packets_of(source, "audio")
    ]


def picture(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.video[1]) if packet.size]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("codec", ["png", "mjpeg"])
def test_an_attached_picture_is_no_video_and_is_copied(tmp_path: Path, codec: str, suffix: str) -> None:
    def more(container: Any) -> Callable[[], None]:
        cover = container.add_stream(codec, rate=1)
        cover.width, cover.height, cover.pix_fmt = 20, 20, "rgb24" if codec == "png" else "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic

        def write() -> None:
            frame = av.VideoFrame.from_ndarray(np.full((20, 20, 3), 90, np.uint8))
            frame = frame.reformat(format=cover.pix_fmt)
            frame.pts = 0
            container.mux(cover.encode(frame))
            container.mux(cover.encode(None))

        return write

    source = write_clip(tmp_path / "a.mp4", moving("yuv420p", 64, 48), codec="libx264", times=(0, 40, 80), more=more)
    for number, settings in enumerate((FAST, replace(FAST, start=0.04))):
        target = tmp_path / f"{number}{suffix}"
        assert enlarged(source, target, settings).warnings == []
        with av.open(str(target)) as container:
            sizes = [(one.width, one.height, bool(one.disposition & 1024)) for one in container.streams.video]
        assert sizes == [(128, 96, False), (20, 20, True)]
        assert picture(target) == picture(source) != []


@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_transparency_beside_the_frames_is_named(tmp_path: Path, suffix: str) -> None:
    def more(container: Any) -> None:
        container.streams.video[0].metadata["alpha_mode"] = "1"

    source = write_clip(tmp_path / "a.webm", moving("yuv420p", 64, 48), codec="libvpx-vp9", times=(0, 40), more=more)
    run = enlarged(source, tmp_path / f"b{suffix}", replace(FAST, preset=None, codec="vp9"))
    assert run.warnings == ["transparency dropped"]
    with av.open(str(tmp_path / f"b{suffix}")) as container:
        assert "alpha_mode" not in {key.lower() for key in container.streams.video[0].metadata}


def test_what_is_said_where_players_would_guess_another_matrix(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 640, 360), codec="libx264", times=(0, 40))
    run = enlarged(source, tmp_path / "b.mkv")
    assert probe(source).colour.matrix == 2
    assert probe(tmp_path / "b.mkv").colour.matrix == 6
    assert any("matrix" in text for text in run.warnings)


def test_depth_that_a_codec_has_not_is_named(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", moving("yuv444p12le", 64, 48), name="yuv444p12le", times=(0, 40))
    run = enlarged(source, tmp_path / "b.mkv", replace(FAST, codec="h264"))
    assert any("H.264" in text or "h264 holds no 12 bit" in text for text in run.warnings)
    assert probe(tmp_path / "b.mkv").format.name == "yuv444p10le"
