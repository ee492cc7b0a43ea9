"""Videos that were cut short: refused where much is missing, told where little is, and whole ones left alone."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from clips import Doubled, av, frames_of, moving, write_clip
from rlfn.errors import PictureError
from rlfn.images.apng import write_apng
from rlfn.inference.enlarge import EnlargeOptions, UpscalerPool
from rlfn.jobs.video.batch import upscale_one
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.settings import VideoSettings

FAST = VideoSettings(EnlargeOptions(engine=Doubled()), preset="ultrafast", codec="h264", overwrite=True)
ANIMATED = replace(FAST, preset=None, codec=None)


def enlarged(source: Path, target: Path, settings: VideoSettings = FAST) -> VideoRecord:
    empty = VideoRecord(str(source), str(target), "failed")
    return upscale_one(source, target, settings, UpscalerPool(), None, None, empty)


def clip(path: Path, **options: str) -> Path:
    """Write 30 frames of three seconds, in an MP4 with the table of frames in front."""
    extra = {"movflags": "+faststart", **options} if path.suffix == ".mp4" else options
    with av.open(str(path), "w", container_options=extra) as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "2", "g": "5", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number in range(30):
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


@pytest.mark.parametrize(("suffix", "unit"), [(".mp4", "of its 30 frames"), (".mkv", "bytes"), (".avi", "bytes")])
def test_half_a_video_is_refused_and_taken_when_asked_for(tmp_path: Path, suffix: str, unit: str) -> None:
    source = cut(clip(tmp_path / f"a{suffix}"), 0.5)
    with pytest.raises(PictureError, match=rf"is cut short: .* {unit} are missing\. Get a whole .* duration=") as error:
        enlarged(source, tmp_path / "b.mkv")
    asked = float(str(error.value).rstrip(".").rpartition("=")[2])
    record = enlarged(source, tmp_path / "b.mkv", replace(FAST, duration=asked))
    assert 10 <= record.frames == len(frames_of(tmp_path / "b.mkv")) < 20
    if suffix != ".mp4":  # whose table of frames tells how long what there is lasts
        assert 0.3 < record.missing < 0.7
        assert any("s are missing" in text for text in record.warnings)


def test_a_little_that_is_missing_is_told(tmp_path: Path) -> None:
    source = cut(clip(tmp_path / "a.mp4"), 0.95)
    record = enlarged(source, tmp_path / "b.mp4")
    assert record.frames >= 27
    assert 0 < record.missing <= 0.1
    assert any(text.startswith("the source is cut short: ") and "of its 30 frames" in text for text in record.warnings)
    assert enlarged(source, tmp_path / "b.mp4", replace(FAST, duration=2.0)).missing == 0


def test_a_stretch_that_is_there_is_taken_of_a_video_that_is_not(tmp_path: Path) -> None:
    source = cut(clip(tmp_path / "a.mp4"), 0.5)
    record = enlarged(source, tmp_path / "b.mp4", replace(FAST, start=0.2, duration=0.5))
    assert (record.frames, record.missing) == (5, 0)
    with pytest.raises(PictureError, match="cut short"):
        enlarged(source, tmp_path / "b.mp4", replace(FAST, start=0.2, duration=2.0))


def test_pictures_of_a_video_that_was_cut_short(tmp_path: Path) -> None:
    source = cut(clip(tmp_path / "a.mkv"), 0.5)
    settings = replace(ANIMATED, frames_format="png")
    with pytest.raises(PictureError, match="cut short"):
        enlarged(source, tmp_path / "f", settings)
    record = enlarged(source, tmp_path / "f", replace(settings, duration=3.0))
    assert 10 <= record.frames < 20
    assert 0.3 < record.missing < 0.7


def test_whole_videos_are_whole(tmp_path: Path) -> None:
    sources = [
        *(clip(tmp_path / f"a{suffix}") for suffix in (".mp4", ".mov", ".mkv", ".avi", ".flv", ".ts", ".nut")),
        clip(tmp_path / "fragments.mp4", movflags="+frag_keyframe+empty_moov"),
        clip(tmp_path / "live.mkv", live="1"),
        write_clip(tmp_path / "uneven.mkv", moving("yuv420p", 32, 32), times=(0, 40, 900, 3000)),
    ]
    for source in sources:
        for stretch in ({}, {"start": 0.5}, {"start": 0.5, "duration": 1.0}, {"duration": 60.0}):
            record = enlarged(source, tmp_path / "b.mkv", replace(FAST, **stretch))
            assert (source.name, record.missing) == (source.name, 0)
            assert not any("cut short" in text for text in record.warnings)


def test_sound_may_go_on_behind_the_pictures(tmp_path: Path) -> None:
    def more(container: object) -> object:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")  # type: ignore[attr-defined]

        def write() -> None:
            for second in range(5):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 8000, second * 8000, Fraction(1, 8000)
                container.mux(stream.encode(frame))  # type: ignore[attr-defined]

        return write

    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 32, 32), more=more)  # type: ignore[arg-type]
    assert enlarged(source, tmp_path / "b.mkv").missing == 0


def test_fragments_that_are_missing_are_told_at_the_end(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", movflags="+frag_keyframe+global_sidx")
    data = source.read_bytes()
    source.write_bytes(data[: data.rindex(b"moof", 0, len(data) // 2) - 4])
    record = enlarged(source, tmp_path / "b.mp4")
    assert 0 < record.frames < 20
    assert record.missing > 0.3
    assert any("s are missing" in text for text in record.warnings)


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
    with pytest.raises(PictureError, match=r"cut short: 9 of its 20 frames are missing.*duration=1\.1"):
        enlarged(whole, tmp_path / f"b{suffix}", settings)
    assert enlarged(whole, tmp_path / f"b{suffix}", replace(settings, duration=1.1)).frames == 11
    whole.write_bytes(data[: controls[19] - 4])
    record = enlarged(whole, tmp_path / f"b{suffix}", settings)
    assert (record.missing, "the source is cut short: 2 of its 20 frames are missing" in record.warnings) == (0.1, True)


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_an_animations_record_tells_the_time_of_inference(tmp_path: Path, suffix: str) -> None:
    record = enlarged(png(tmp_path / "a.png"), tmp_path / f"b{suffix}", ANIMATED)
    assert 0 < record.engine_seconds < record.seconds
