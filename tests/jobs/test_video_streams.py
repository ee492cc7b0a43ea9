"""What goes with the frames: other streams bit by bit, chapters, metadata, and what is lost by name."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from clips import Doubled, av, frames_of, moving, packets_of, write_clip
from rlfn.errors import StoppedError
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.jobs.video.run import VideoRun
from rlfn.jobs.video.settings import VideoSettings

FAST = VideoSettings(EnlargeOptions(engine=Doubled()), preset="ultrafast")


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


def test_a_stretch_of_all_streams(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "a.mkv", moving("yuv420p", 64, 48), codec="libx264", times=range(0, 960, 40), more=everything
    )
    enlarged(source, tmp_path / "b.mkv", replace(FAST, start=0.08, duration=0.12))
    assert [time for time, _ in frames_of(tmp_path / "b.mkv")] == [Fraction(n * 40, 1000) for n in range(3)]
    heard = [one for one in packets_of(source, "audio") if Fraction(80, 1000) <= one[1] < Fraction(200, 1000)]
    assert packets_of(tmp_path / "b.mkv", "audio") == [(one[0], one[1] - Fraction(80, 1000), one[2]) for one in heard]
    assert [start for start, _ in facts(tmp_path / "b.mkv")["chapters"]] == [0, Fraction(20, 1000)]


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
    assert "1 timestamps of audio mp2 eng (stream 1) did not grow, and were set" in run.warnings
    assert [one[2] for one in packets_of(tmp_path / f"b{suffix}", "audio")] == [
        one[2] for one in packets_of(source, "audio")
    ]


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


def test_a_job_that_is_resumed_behind_a_jump_equals_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlfn.jobs.video.run.segment_frames", lambda model, pixels: 5)
    part = write_clip(
        tmp_path / "part.ts", moving("yuv420p", 64, 48), codec="libx264", options={"bf": "0"},
        base=Fraction(1, 90000), times=range(0, 12 * 3600, 3600),
        more=lambda container: sound(container, "aac", "eng", 0),
    )  # fmt: skip
    source, cancel = tmp_path / "a.ts", Event()
    source.write_bytes(part.read_bytes() * 2)
    enlarged(source, tmp_path / "whole.ts", FAST)

    def watch(progress: Any) -> None:
        if progress.frames == 21:
            cancel.set()

    with pytest.raises(StoppedError):
        VideoRun(source, tmp_path / "b.ts", FAST).run(watch, cancel)
    run = VideoRun(source, tmp_path / "b.ts", FAST)
    again: list[int] = []
    run.run(lambda progress: again.append(progress.frames))
    assert again[0] > 12
    assert any("jump back" in text for text in run.warnings)
    assert (tmp_path / "b.ts").read_bytes() == (tmp_path / "whole.ts").read_bytes()
