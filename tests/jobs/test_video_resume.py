"""Work that was cut off: a rerun continues, the result is the same, and a full disk is a sentence."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clips import Doubled, moving, packets_of, write_clip
from rlfn.errors import OutputError
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.jobs.video.run import VideoRun
from rlfn.jobs.video.segments import SegmentStore, store_folder
from rlfn.jobs.video.settings import VideoSettings

LOSSLESS = VideoSettings(EnlargeOptions(engine=Doubled()))
KILLS = int(os.environ.get("RLFN_KILLS", "50"))


class Broken(Doubled):
    """An engine that fails after some tiles, as if the process had ended."""

    def __init__(self, tiles: int) -> None:
        super().__init__()
        self.left = tiles

    def __call__(self, lr: Any, grid: object = None) -> Any:
        self.left -= 1
        if self.left < 0:
            raise MemoryError
        return super().__call__(lr, grid)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a clip of 30 frames, of which segments take 6."""
    monkeypatch.setattr("rlfn.jobs.video.run.segment_frames", lambda model, pixels: 6)
    return write_clip(
        tmp_path / "a.mkv", moving("yuv420p", 64, 48), codec="libx264", times=[37 * n + n % 3 for n in range(30)]
    )


def broken_off(source: Path, target: Path, settings: VideoSettings = LOSSLESS, tiles: int = 21) -> list[str]:
    """Run until the engine fails; return the names of what is kept."""
    options = replace(settings.enlarge, engine=Broken(tiles))
    with pytest.raises(MemoryError):
        VideoRun(source, target, replace(settings, enlarge=options)).run()
    assert not target.exists()
    return sorted(path.name for path in store_folder(target).iterdir())


def frames_computed(source: Path, target: Path, settings: VideoSettings = LOSSLESS) -> int:
    counted: list[int] = []
    VideoRun(source, target, settings).run(lambda progress: counted.append(progress.frames))
    assert not store_folder(target).exists()
    return len(counted)


def test_a_rerun_goes_on_and_makes_the_same(source: Path, tmp_path: Path) -> None:
    assert frames_computed(source, tmp_path / "whole.mkv") == 30
    kept = broken_off(source, tmp_path / "b.mkv")
    segments = [name for name in kept if name.endswith(".segment")]
    assert len(segments) >= 2
    assert frames_computed(source, tmp_path / "b.mkv") == 30 - 6 * len(segments)
    assert packets_of(tmp_path / "b.mkv", "video") == packets_of(tmp_path / "whole.mkv", "video")


@pytest.mark.parametrize("harm", ["cut", "changed", "gone"])
def test_damaged_segments_are_made_again(source: Path, tmp_path: Path, harm: str) -> None:
    broken_off(source, tmp_path / "b.mkv")
    segment = store_folder(tmp_path / "b.mkv") / "000001.segment"
    data = segment.read_bytes()
    if harm == "gone":
        segment.unlink()
    else:
        segment.write_bytes(data[:-40] if harm == "cut" else data[:60] + bytes([data[60] ^ 1]) + data[61:])
    assert frames_computed(source, tmp_path / "b.mkv") == 24
    frames_computed(source, tmp_path / "whole.mkv")
    assert packets_of(tmp_path / "b.mkv", "video") == packets_of(tmp_path / "whole.mkv", "video")


def test_other_settings_or_another_source_begin_anew(source: Path, tmp_path: Path) -> None:
    broken_off(source, tmp_path / "b.mkv")
    assert frames_computed(source, tmp_path / "b.mkv", replace(LOSSLESS, crf=30)) == 30
    broken_off(source, tmp_path / "c.mkv")
    write_clip(source, moving("yuv420p", 64, 48, seed=1), codec="libx264", times=range(0, 1200, 40))
    assert frames_computed(source, tmp_path / "c.mkv") == 30


def test_a_finished_job_that_could_not_be_put_together_is_not_computed_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(plan: Any, path: Path) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("rlfn.jobs.video.run.mux", full)
        with pytest.raises(OutputError, match="no space left on device"):
            VideoRun(source, tmp_path / "b.mkv", LOSSLESS).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.mkv", store_folder(tmp_path / "b.mkv").name])
    assert frames_computed(source, tmp_path / "b.mkv") == 0


def test_a_store_belongs_to_one_job(tmp_path: Path) -> None:
    with SegmentStore(tmp_path / "x", {"a": 1}) as store:
        assert store.open() == []
        writer = store.writer(0)
        writer.frame(0, 40)
        writer.finish(b"extra", {"frames": 1})
        with pytest.raises(OutputError, match="is being made by another call"):
            SegmentStore(tmp_path / "x", {"a": 1}).__enter__()
    with SegmentStore(tmp_path / "x", {"a": 1}) as store:
        assert [one.extradata for one in store.open()] == [b"extra"]
    with SegmentStore(tmp_path / "x", {"a": 2}) as store:
        assert store.open() == []
    with SegmentStore(tmp_path / "x", {"a": 1}) as store:
        assert store.open() == []


def start(folder: Path, *arguments: str, bytes_a_file: int | None = None) -> subprocess.Popen[str]:
    import resource

    def limit() -> None:
        if bytes_a_file is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, bytes_a_file))

    return subprocess.Popen(
        [sys.executable, "-m", "rlfn", "upscale", "a.mp4", "--preset", "ultrafast", "--threads", "1", *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=limit,
    )


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_files_that_may_not_grow(tmp_path: Path) -> None:
    """As on a full disk: writing fails in the middle."""
    write_clip(tmp_path / "a.mp4", moving("yuv420p", 64, 48), codec="libx264", times=range(0, 800, 40))
    process = start(tmp_path, bytes_a_file=30_000)
    out, told = process.communicate()
    assert process.returncode == 1, out + told
    assert "Traceback" not in told + out
    assert "cannot be written" in told
    assert not (tmp_path / "a_x2.mp4").exists()
    process = start(tmp_path)
    out, told = process.communicate()
    assert process.returncode == 0, told
    assert (tmp_path / "a_x2.mp4").exists()


def frame_sums(path: Path) -> str:
    """Return FFmpeg's sums of all frames of all streams."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0", "-c:a", "copy", "-f", "framemd5", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.heavy
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_killed_at_random_the_result_is_the_same(tmp_path: Path) -> None:
    planes = moving("yuv420p", 96, 64)

    def some(number: int) -> Any:
        found = [plane.copy() for plane in planes(0)]
        found[0][:, : number % 96] = planes(number // 7)[0][:, : number % 96]
        return found

    write_clip(tmp_path / "a.mp4", some, codec="libx264", times=range(0, 1500 * 40, 40), options={"preset": "veryfast"})
    process = start(tmp_path)
    assert process.wait() == 0
    result = tmp_path / "a_x2.mp4"
    want, rng, killed, runs = frame_sums(result), random.Random(0), 0, 0
    before = hashlib.sha256((tmp_path / "a.mp4").read_bytes()).hexdigest()
    result.unlink()
    while killed < KILLS:
        process, runs = start(tmp_path), runs + 1
        time.sleep(rng.uniform(1.0, 6.0))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        if result.exists():
            assert frame_sums(result) == want
            result.unlink()
    process = start(tmp_path)
    _, told = process.communicate()
    assert process.returncode == 0, told
    assert frame_sums(result) == want
    assert hashlib.sha256((tmp_path / "a.mp4").read_bytes()).hexdigest() == before
    left = sorted(path.name for path in tmp_path.iterdir())
    print(f"video: {runs} runs, {killed} killed at work, {want.count(chr(10))} lines of sums equal; left: {left}")
