"""Encoders leave the scheduling of their process as it was."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest

from clips import Doubled, moving, write_clip
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.jobs.video.run import VideoRun
from rlfn.jobs.video.scheduling import ordinary_scheduling
from rlfn.jobs.video.settings import VideoSettings

TASKS = Path("/proc/self/task")

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setscheduler") or not TASKS.is_dir(), reason="only Linux tells and takes policies"
)


def policies() -> dict[int, int]:
    found = {}
    for task in TASKS.iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            found[int(task.name)] = os.sched_getscheduler(int(task.name))
    return found


def test_what_the_block_changed_is_undone_for_its_thread_and_those_that_it_started() -> None:
    release, started = threading.Event(), threading.Event()
    other = threading.Thread(target=release.wait)
    other.start()
    before, policy = policies(), os.sched_getscheduler(0)
    another = os.SCHED_BATCH if policy != os.SCHED_BATCH else os.SCHED_OTHER

    def work() -> None:
        started.set()
        release.wait()

    try:
        with ordinary_scheduling():
            os.sched_setscheduler(0, another, os.sched_param(0))
            new = threading.Thread(target=work)
            new.start()
            started.wait()
            assert os.sched_getscheduler(new.native_id) == another
        assert policies() == {**before, new.native_id: policy}
    finally:
        release.set()
        new.join()
        other.join()


def test_av1_leaves_no_real_time_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # as root SVT-AV1 takes SCHED_FIFO; as another user it cannot, and the test shows nothing
    from rlfn.jobs.video.encoding import FrameEncoder

    encode, before, seen = FrameEncoder.encode, set(policies().values()), set[int]()

    def noting(self: FrameEncoder, frame: object, pts: int) -> object:
        seen.update(policies().values())
        return encode(self, frame, pts)

    monkeypatch.setattr(FrameEncoder, "encode", noting)
    source = write_clip(tmp_path / "a.mp4", moving("yuv420p", 64, 48), codec="libx264")
    settings = VideoSettings(EnlargeOptions(engine=Doubled()), codec="av1", preset="13")
    VideoRun(source, tmp_path / "b.mp4", settings).run()
    assert seen
    assert seen | set(policies().values()) <= before
