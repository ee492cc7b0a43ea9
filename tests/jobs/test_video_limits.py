"""The limit on the size of frames: checked before decoding, and memory that does not grow with their number."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clips import Doubled, moving, write_clip
from rlfn.errors import PictureError
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.video import animations, probe
from rlfn.jobs.video.batch import upscale_one
from rlfn.jobs.video.frames import FrameSource, TimedFrame
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.settings import VideoSettings

SETTINGS = VideoSettings(EnlargeOptions(engine=Doubled()))


def enlarged(source: Path, target: Path, settings: VideoSettings = SETTINGS) -> VideoRecord:
    return upscale_one(source, target, settings, UpscalerPool(), None, None, VideoRecord("", "", "failed"))


def animated_png(path: Path, side: int, count: int) -> Path:
    frames = [Image.fromarray(np.full((side, side, 3), 20 * number, np.uint8)) for number in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50)
    return path


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("a frame was decoded")

    monkeypatch.setattr(probe, "_first_frame", refuse)
    monkeypatch.setattr(FrameSource, "__iter__", refuse)


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize("frames_format", [None, "png"])
@pytest.mark.parametrize(
    ("suffix", "codec"), [(".png", "apng"), (".mkv", "ffv1"), (".mp4", "libx264"), (".webm", "libvpx-vp9")]
)
def test_frames_above_the_limit_are_refused_before_decoding(
    tmp_path: Path, suffix: str, codec: str, frames_format: str | None
) -> None:
    source = tmp_path / f"a{suffix}"
    if codec == "apng":
        animated_png(source, 600, 3)
    else:
        write_clip(source, moving("yuv420p", 600, 600), codec=codec, times=(0, 40))
    settings = replace(SETTINGS, max_pixels=300_000, frames_format=frames_format)
    with pytest.raises(PictureError, match=r"frames of 600 x 600 pixels; the limit is 300,000\. Raise max_pixels"):
        enlarged(source, tmp_path / ("b" if frames_format else f"b{suffix}"), settings)


@pytest.mark.parametrize(
    ("codec", "suffix", "name"),
    [("ffv1", ".mkv", "yuv420p"), ("mjpeg", ".avi", "yuvj420p"), ("libvpx-vp9", ".webm", "yuv420p")],
)
def test_decoders_refuse_frames_far_above_the_limit(tmp_path: Path, codec: str, suffix: str, name: str) -> None:
    source = write_clip(tmp_path / f"a{suffix}", moving("yuv420p", 600, 600), codec=codec, name=name, times=(0, 40))
    with pytest.raises(PictureError, match="limit of 100: raise max_pixels if you trust the file"):
        enlarged(source, tmp_path / "b.mkv", replace(SETTINGS, max_pixels=100))


def test_frames_that_grow_far_above_the_limit_are_not_decoded(tmp_path: Path) -> None:
    parts = [
        write_clip(tmp_path / f"{side}.ts", moving("yuv420p", side, side), codec="libx264", times=(0, 40, 80))
        for side in (64, 1024)
    ]
    source = tmp_path / "a.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    free = enlarged(source, tmp_path / "b.mkv")
    assert free.frames == 6
    assert any("another size" in text for text in free.warnings)
    limited = enlarged(source, tmp_path / "c.mkv", replace(SETTINGS, max_pixels=64 * 64))
    assert 1 <= limited.frames <= 3
    assert any("could not be decoded is missing" in text for text in limited.warnings)


def test_the_limit_allows_frames_of_just_its_size(tmp_path: Path) -> None:
    for suffix, codec in ((".mkv", "ffv1"), (".mp4", "libx264"), (".webm", "libvpx-vp9")):
        source = write_clip(tmp_path / f"a{suffix}", moving("yuv420p", 18, 270), codec=codec, times=(0, 40))
        record = enlarged(source, tmp_path / f"b{suffix}", replace(SETTINGS, max_pixels=18 * 270))
        assert (record.frames, record.input_size) == (2, (18, 270))


def test_frames_of_an_animated_png_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: weakref.WeakSet[TimedFrame] = weakref.WeakSet()
    most = 0

    class Watched(FrameSource):
        def __iter__(self) -> Iterator[TimedFrame]:
            nonlocal most
            for frame in super().__iter__():
                alive.add(frame)
                most = max(most, len(alive))
                yield frame

    monkeypatch.setattr(animations, "FrameSource", Watched)
    record = enlarged(animated_png(tmp_path / "a.png", 32, 12), tmp_path / "b.png")
    assert record.frames == 12
    assert 1 <= most <= 2
