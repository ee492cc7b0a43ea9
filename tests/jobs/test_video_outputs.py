"""What all kinds of output have in common: videos, animations and pictures of frames."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from clips import Doubled, moving, write_clip
from rlfn.inference.enlarge import EnlargeOptions, UpscalerPool
from rlfn.jobs.video.batch import upscale_one
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.settings import VideoSettings

SETTINGS = VideoSettings(EnlargeOptions(engine=Doubled()))


def enlarged(source: Path, target: Path, settings: VideoSettings = SETTINGS) -> VideoRecord:
    return upscale_one(source, target, settings, UpscalerPool(), None, None, VideoRecord("", "", "failed"))


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
