"""What all kinds of output have in common: videos, animations and pictures of frames."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clips import Doubled, av, frames_of, moving, write_clip
from rlfn.errors import OptionError, OutputError, StoppedError
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.video.batch import upscale_one
from rlfn.jobs.video.progress import VideoProgress, VideoReport
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.settings import VideoSettings
from rlfn.wording import as_argument, worded

SETTINGS = VideoSettings(EnlargeOptions(engine=Doubled()))


def enlarged(
    source: Path,
    target: Path,
    settings: VideoSettings = SETTINGS,
    report: VideoReport | None = None,
    cancel: Event | None = None,
) -> VideoRecord:
    return upscale_one(source, target, settings, UpscalerPool(), report, cancel, VideoRecord("", "", "failed"))


@pytest.mark.parametrize(("before", "after"), [(".gif", ".gif"), (".gif", ".mp4"), (".mp4", ".mkv"), (".mp4", "")])
def test_outputs_of_every_kind_keep_dates(tmp_path: Path, before: str, after: str) -> None:
    source = tmp_path / f"a{before}"
    if before == ".gif":
        frames = [Image.new("RGB", (32, 24), color) for color in ("red", "blue")]
        frames[0].save(source, save_all=True, append_images=frames[1:], duration=50)
    else:
        write_clip(source, moving("yuv420p", 64, 48), codec="libx264", times=(0, 40))
    os.utime(source, (1_000_000_000, 1_100_000_000))
    settings = replace(SETTINGS, keep_dates=True, frames_format=None if after else "png")
    enlarged(source, tmp_path / f"b{after}", settings)
    made = [tmp_path / f"b{after}"] if after else sorted((tmp_path / "b").iterdir())
    assert [path.stat().st_mtime for path in made] == [1_100_000_000.0] * (1 if after else 2)


def still_and_moving(path: Path) -> Path:
    """Write six frames: each differs from the one before in a corner, save the third and the last."""
    numbers = (0, 1, 1, 2, 3, 3)
    frames = []
    for number in numbers:
        frame = np.random.default_rng(0).integers(0, 255, (48, 192, 3), np.uint8)
        frame[:4, :4] = 40 * number
        frames.append(frame)
    if path.suffix == ".png":
        with av.open(str(path), "w", format="apng") as container:
            stream = container.add_stream("apng", rate=10)
            stream.width, stream.height, stream.pix_fmt = 192, 48, "rgb24"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            container.mux(stream.encode(None))
        return path
    return write_clip(path, lambda number: [*np.moveaxis(frames[number], 2, 0)], name="yuv444p")


@pytest.mark.parametrize(("before", "after"), [(".mkv", ".mkv"), (".png", ".png"), (".mkv", ""), (".png", "")])
def test_every_kind_reports_reuse_and_time_left_and_can_do_without(tmp_path: Path, before: str, after: str) -> None:
    source = still_and_moving(tmp_path / f"a{before}")
    settings = replace(
        SETTINGS, enlarge=EnlargeOptions(engine=Doubled(), tile=64), frames_format=None if after else "png", crf=20
    )
    settings = replace(settings, crf=None) if after == ".mkv" else settings
    seen: list[VideoProgress] = []
    record = enlarged(source, tmp_path / f"b{after}", settings, seen.append)
    assert [one.frames for one in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1].seconds_left == 0
    assert 0 < seen[-1].reused < 1
    assert (record.frames, record.repeated) == (6, 2)
    assert record.reused == pytest.approx(seen[-1].reused)
    assert record.seconds > record.engine_seconds > 0
    assert record.frames_per_second == pytest.approx(6 / record.seconds)
    assert len(set(record.warnings)) == len(record.warnings)
    without = enlarged(source, tmp_path / f"c{after}", replace(settings, reuse=False))
    assert (without.frames, without.repeated, without.reused) == (6, 0, 0.0)
    assert content(tmp_path / f"b{after}") == content(tmp_path / f"c{after}")


def content(path: Path) -> list[bytes]:
    """Return what tells two outputs apart."""
    if path.suffix == ".mkv":
        return [plane.tobytes() for _, planes in frames_of(path) for plane in planes]
    return [one.read_bytes() for one in sorted(path.iterdir())] if path.is_dir() else [path.read_bytes()]


@pytest.mark.parametrize(("before", "after"), [(".mkv", ".mkv"), (".png", ".png"), (".mkv", "")])
def test_every_kind_ends_after_the_frame_at_hand(tmp_path: Path, before: str, after: str) -> None:
    source = still_and_moving(tmp_path / f"a{before}")
    cancel, seen = Event(), []

    def watch(progress: VideoProgress) -> None:
        seen.append(progress.frames)
        if progress.frames == 3:
            cancel.set()

    settings = replace(SETTINGS, frames_format=None if after else "png")
    with pytest.raises(StoppedError, match="was cancelled"):
        enlarged(source, tmp_path / f"b{after}", settings, watch, cancel)
    assert seen == [1, 2, 3]
    if after:
        assert not (tmp_path / f"b{after}").exists()
    else:
        assert [path.name for path in sorted((tmp_path / "b").iterdir())] == ["000001.png", "000002.png", "000003.png"]
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert len(left) == (after == ".mkv")  # what the same call goes on from


class Inexact(Doubled):
    traits = replace(Doubled.traits, exact=False)


@pytest.mark.parametrize(("before", "after"), [(".mkv", ".mkv"), (".png", ".png"), (".mkv", "")])
def test_every_kind_tells_what_an_engine_cannot(tmp_path: Path, before: str, after: str) -> None:
    source = still_and_moving(tmp_path / f"a{before}")
    options = EnlargeOptions(engine=Inexact(), tile=64)
    record = enlarged(source, tmp_path / f"b{after}", VideoSettings(options, frames_format=None if after else "png"))
    assert ["differ from the whole picture" in text for text in record.warnings].count(True) == 1


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (".mkv", ".mkv", ["quality=70 does not apply to a video and was ignored"]),
        (".png", ".png", ["quality=70 does not apply to PNG and was ignored"]),
        (".png", ".gif", ["quality=70 does not apply to GIF and was ignored"]),
        (".png", ".webp", []),
        (".mkv", "", ["quality 70 ignored: PNG keeps every pixel"]),
    ],
)
def test_a_quality_that_does_not_apply_is_told(tmp_path: Path, before: str, after: str, told: list[str]) -> None:
    source = still_and_moving(tmp_path / f"a{before}")
    settings = replace(SETTINGS, frames_quality=70, frames_format=None if after else "png")
    record = enlarged(source, tmp_path / f"b{after}", settings)
    assert [worded(text, as_argument) for text in record.warnings] == told


@pytest.mark.parametrize("wrong", [{"frames_quality": 0}, {"frames_quality": 101}, {"frames_format": "gif"}])
def test_settings_of_pictures_are_checked_before_the_work(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        replace(SETTINGS, **wrong)


def test_pictures_that_are_too_large_for_their_format_are_refused_before_the_work(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 8200, 16), times=(0,))
    engine = Doubled()
    with pytest.raises(OutputError, match="16400 x 32"):
        enlarged(source, tmp_path / "b", VideoSettings(EnlargeOptions(engine=engine), frames_format="webp"))
    assert engine.pixels == 0
    assert not (tmp_path / "b").exists()
