"""Animations in and out: GIF, WebP and animated PNG, with their delays, loops and transparency."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray

from clips import Doubled, av, frames_of
from rlfn.errors import OutputError
from rlfn.inference.enlarge import EnlargeOptions, UpscalerPool
from rlfn.jobs.video.animations import open_any
from rlfn.jobs.video.batch import upscale_one
from rlfn.jobs.video.kinds import is_video
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.settings import VideoSettings

SETTINGS = VideoSettings(EnlargeOptions(engine=Doubled()))
DELAYS = (50, 70, 100, 30)


def tones(transparent: bool) -> list[NDArray[np.uint8]]:
    """Return frames of flat squares."""
    frames = []
    for number in range(4):
        frame = np.zeros((24, 32, 4), np.uint8)
        frame[:, :, :3] = (40 + 50 * number, 200 - 40 * number, 90)
        frame[8:16, 8:16, :3] = 255
        frame[:, :, 3] = 255
        if transparent:
            frame[:6, :, 3] = 0
        frames.append(frame)
    return frames


def animation(path: Path, transparent: bool = False) -> Path:
    tall = np.concatenate(tones(transparent))
    image = pyvips.Image.new_from_memory(tall.tobytes(), 32, len(tall), 4, "uchar").copy(interpretation="srgb")
    image.set_type(pyvips.GValue.gint_type, "page-height", 24)
    image.set_type(pyvips.GValue.array_int_type, "delay", list(DELAYS))
    image.set_type(pyvips.GValue.gint_type, "loop", 3)
    image.write_to_file(str(path), **({"lossless": True} if path.suffix == ".webp" else {"dither": 0}))
    return path


def enlarged(source: Path, target: Path) -> VideoRecord:
    return upscale_one(source, target, SETTINGS, UpscalerPool(), None, None, VideoRecord("", "", "failed"))


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("after", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("before", [".gif", ".webp"])
def test_an_animation_stays_one(tmp_path: Path, before: str, after: str, transparent: bool) -> None:
    source = animation(tmp_path / f"a{before}", transparent)
    assert is_video(source)
    record = enlarged(source, tmp_path / f"b{after}")
    made = open_any(tmp_path / f"b{after}")
    assert (made.width, made.height, made.delays, made.loop) == (64, 48, DELAYS, 3)
    for found, want in zip(made.frames(), tones(transparent), strict=True):
        wide = want.repeat(2, axis=0).repeat(2, axis=1)
        assert found.shape[2] == (4 if transparent else 3)
        seen = wide[:, :, 3] == 255
        if transparent:
            np.testing.assert_array_equal(found[:, :, 3] == 255, seen)
        difference = np.abs(found[:, :, :3].astype(int) - wide[:, :, :3])[seen]
        assert difference.mean() < 4
    assert (record.frames, record.repeated, record.status) == (4, 0, "done")


def test_a_gif_becomes_a_video(tmp_path: Path) -> None:
    enlarged(animation(tmp_path / "a.gif"), tmp_path / "b.mp4")
    times = [time for time, _ in frames_of(tmp_path / "b.mp4")]
    assert [float(time) for time in times] == [0, 0.05, 0.12, 0.22]
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert (container.streams.video[0].codec_context.colorspace, container.streams.video[0].color_range) == (6, 1)
        found = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for have, want in zip(found, tones(False), strict=True):
        assert np.abs(have[4:12, 4:12].astype(int) - want[2, 2, :3]).max() <= 8


def test_an_animated_png(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    with av.open(str(source), "w", format="apng") as container:
        stream = container.add_stream("apng", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "rgba"
        for frame in tones(True):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgba")))
        container.mux(stream.encode(None))
    assert is_video(source)
    enlarged(source, tmp_path / "b.png")
    with av.open(str(tmp_path / "b.png"), format="apng") as container:
        found = [frame.to_ndarray(format="rgba") for frame in container.decode(video=0)]
    assert len(found) == 4
    for have, want in zip(found, tones(True), strict=True):
        wide = want.repeat(2, axis=0).repeat(2, axis=1)
        np.testing.assert_array_equal(have[:, :, 3], wide[:, :, 3])
        np.testing.assert_array_equal(have[wide[:, :, 3] == 255], wide[wide[:, :, 3] == 255])


def test_a_still_picture_is_no_animation(tmp_path: Path) -> None:
    pyvips.Image.black(20, 20).write_to_file(str(tmp_path / "a.gif"))
    assert not is_video(tmp_path / "a.gif")


def test_a_video_cannot_become_a_gif(tmp_path: Path) -> None:
    from clips import moving, write_clip

    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 64, 48), times=(0, 40))
    with pytest.raises(OutputError, match="holds no codec"):
        enlarged(source, tmp_path / "b.gif")
