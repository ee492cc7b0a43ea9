"""How the system schedules the threads of encoders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")


@contextmanager
def ordinary_scheduling() -> Iterator[None]:
    """Give the calling thread, and all that the block starts, the policy back that the calling thread had.

    SVT-AV1 run by root on Linux makes the thread that opens it a real-time one (SCHED_FIFO, priority 99). Threads and
    programs that are started afterwards inherit that, and everything else on the machine gets no processor time while
    they work.
    """
    if not hasattr(os, "sched_getscheduler") or not _TASKS.is_dir():
        yield
        return
    policy, parameter, before = os.sched_getscheduler(0), os.sched_getparam(0), _threads()
    try:
        yield
    finally:
        for thread in (0, *(_threads() - before)):
            with suppress(OSError):  # it has ended, or this user may not
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, parameter)


def _threads() -> set[int]:
    return {int(task.name) for task in _TASKS.iterdir()}
