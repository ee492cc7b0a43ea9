"""Times of frames and packets: kept where they grow, set right where they do not."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from clips import Doubled, av, frames_of, moving, write_clip
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.jobs.video.run import VideoRun
from rlfn.jobs.video.settings import VideoSettings
from rlfn.jobs.video.timeline import Timeline

LOSSLESS = VideoSettings(EnlargeOptions(engine=Doubled()))


def enlarged(source: Path, target: Path, settings: VideoSettings = LOSSLESS) -> VideoRun:
    run = VideoRun(source, target, settings)
    run.run()
    return run


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".nut"])
def test_every_time_of_a_variable_rate_is_kept(tmp_path: Path, suffix: str) -> None:
    base = Fraction(1, 1000) if suffix == ".mkv" else Fraction(1, 90000)
    times = [0, 33, 66, 166, 167, 400, 1000, 1033, 1500, 1501, 1502, 1800]
    times = [time * (1 if suffix == ".mkv" else 90) for time in times]
    options = {"bf": "0"} if suffix == ".nut" else {}  # else its first frame would not be at 0
    source = write_clip(
        tmp_path / f"a{suffix}", moving("yuv420p", 64, 48), codec="libx264", times=times, base=base, options=options
    )
    enlarged(source, tmp_path / f"b{suffix}")
    before, after = frames_of(source), frames_of(tmp_path / f"b{suffix}")
    assert [time for time, _ in after] == [time for time, _ in before] == [time * base for time in times]
    with av.open(str(tmp_path / f"b{suffix}")) as container:
        assert container.streams.video[0].time_base == base


def test_an_avi_whose_frames_were_reordered_runs_evenly(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "a.avi",
        moving("yuv420p", 64, 48),
        codec="libx264",
        base=Fraction(1, 10),
        times=range(20),
        options={"bf": "3", "x264-params": "b-adapt=0:scenecut=0:keyint=8"},
    )
    shown = [time for time, _ in frames_of(source)]
    assert shown != sorted(shown)
    enlarged(source, tmp_path / "b.mkv")
    times = [time for time, _ in frames_of(tmp_path / "b.mkv")]
    assert times == [times[0] + Fraction(number, 10) for number in range(20)]


def test_one_wrong_time_is_no_jump() -> None:
    timeline = Timeline(Fraction(1, 100))
    assert [timeline(time, 4) for time in (5000, 5004, 8, 5012, 5016)] == [5000, 5004, 5008, 5012, 5016]
    assert timeline.jumps == []
    joined = Timeline(Fraction(1, 100))
    assert [joined(time, 4) for time in (0, 200, 0, 4, 8, 12, 230)] == [0, 200, 204, 208, 212, 216, 434]


def test_other_streams_jump_as_far_as_the_video() -> None:
    leading = Timeline(Fraction(1, 100))
    assert [leading(time, 4) for time in (0, 400, 0, 400, 0)][-2:] == [804, 808]
    heard = Timeline(Fraction(1, 100), leading.jumps)
    assert [heard(time, 2, sure=True) for time in (0, 390, 0, 390, 0, 2)] == [0, 390, 404, 794, 808, 810]
    read = Timeline(Fraction(1, 100), [])
    assert [read(time, 2, least=0) for time in (900, 600, 1000)] == [900, 900, 1000]


def test_av1_of_more_frames_a_second_than_its_encoder_is_told(tmp_path: Path) -> None:
    base = Fraction(1, 90000)
    source = write_clip(
        tmp_path / "a.mp4", moving("yuv420p", 64, 48), codec="libx264", base=base, times=range(0, 30000, 300)
    )
    run = enlarged(source, tmp_path / "b.mp4", replace(LOSSLESS, codec="av1", preset="13"))
    assert run.clip.rate > 240
    assert [time for time, _ in frames_of(tmp_path / "b.mp4")] == [time * base for time in range(0, 30000, 300)]
