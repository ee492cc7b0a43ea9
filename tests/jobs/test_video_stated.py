"""What is stated of the frames: turning, HDR, matrices, depth."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from clips import Doubled, frames_of, moving, write_clip
from rlfn.images.files import Picture, read_picture
from rlfn.images.picture import Metadata
from rlfn.images.stated import StatedColor
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.video.batch import upscale_one
from rlfn.jobs.video.probe import HdrFacts, probe
from rlfn.jobs.video.record import VideoRecord
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
    assert after.color == before.color
    assert after.color.siting == "topleft"
    assert after.format.name == "yuv420p10le"
    assert [time for time, _ in frames_of(tmp_path / f"b{suffix}")] == [time for time, _ in frames_of(source)]
    other = enlarged(source, tmp_path / "c.mkv", replace(FAST, codec="h264"))
    assert probe(tmp_path / "c.mkv").format.name == "yuv420p10le"
    assert other.clip.codec == "hevc"


def test_what_is_said_where_players_would_guess_another_matrix(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 640, 360), codec="libx264", times=(0, 40))
    run = enlarged(source, tmp_path / "b.mkv")
    assert probe(source).color.matrix == 2
    assert probe(tmp_path / "b.mkv").color.matrix == 6
    assert any("matrix" in text for text in run.warnings)


def test_depth_that_a_codec_has_not_is_named(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", moving("yuv444p12le", 64, 48), name="yuv444p12le", times=(0, 40))
    run = enlarged(source, tmp_path / "b.mkv", replace(FAST, codec="h264"))
    assert any("H.264" in text or "h264 holds no 12 bit" in text for text in run.warnings)
    assert probe(tmp_path / "b.mkv").format.name == "yuv444p10le"


def frames_as_pictures(source: Path, folder: Path, format: str = "png") -> tuple[list[Picture], tuple[str, ...]]:
    settings = replace(FAST, preset=None, frames_format=format)
    record = upscale_one(source, folder, settings, UpscalerPool(), None, None, VideoRecord("", "", "failed"))
    return [read_picture(path) for path in sorted(folder.iterdir())], record.warnings


def test_pictures_of_frames_state_the_colours_and_tell_what_they_cannot(tmp_path: Path) -> None:
    stated = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
    source = write_clip(
        tmp_path / "a.mkv", moving("yuv420p10le", 64, 48), codec="libx265", name="yuv420p10le",
        options={"x265-params": MASTERING, "preset": "ultrafast"}, times=range(0, 1000, 40),
        stated={**stated, "sample_aspect_ratio": Fraction(4, 3)},
    )  # fmt: skip
    pictures, told = frames_as_pictures(source, tmp_path / "b")
    assert [one.metadata.color for one in pictures] == [StatedColor((9, 16))] * 25
    assert told == (
        "the mastering display and light levels dropped",
        "stated shape of the pixels (4:3) dropped: they are taken as square",
    )
    pictures, told = frames_as_pictures(source, tmp_path / "c", "webp")
    assert all(one.metadata.icc is not None for one in pictures)
    assert [text for text in told if "the colours are BT.2020 PQ" in text]


@pytest.mark.parametrize(("primaries", "transfer"), [(2, 2), (1, 1), (5, 6), (6, 6), (1, 13)])
def test_pictures_of_ordinary_frames_state_nothing(tmp_path: Path, primaries: int, transfer: int) -> None:
    stated = {"color_primaries": primaries, "color_trc": transfer, "sample_aspect_ratio": Fraction(1)}
    source = write_clip(tmp_path / "a.mkv", moving("yuv420p", 64, 48), codec="libx264", times=(0, 40), stated=stated)
    pictures, told = frames_as_pictures(source, tmp_path / "b")
    assert [one.metadata for one in pictures] == [Metadata(size=pictures[0].metadata.size)] * 2
    assert told == ()


def test_pictures_of_frames_tell_a_display_matrix_that_is_not_applied(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", moving("yuv420p", 64, 48), codec="libx264", times=(0, 40), turned=30,
                        base=Fraction(1, 90000))  # fmt: skip
    _, told = frames_as_pictures(source, tmp_path / "b")
    assert told == ("the display matrix is dropped",)
