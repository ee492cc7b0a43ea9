"""What the commands that train change about their process, for speed."""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD = 64 * 2**20


def tune_for_training() -> None:
    """Tune threads and memory; call it before torch is loaded. What the user set in the environment stays."""
    _keep_from_spinning()
    _keep_freed_memory()


def _keep_from_spinning() -> None:
    """Let OpenMP's threads wait without spinning for long.

    They spin for a millisecond after every operation. On a machine that others use too, they spin away the time of the
    thread they wait for, and a step takes up to three times as long.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def _keep_freed_memory() -> None:
    """Let glibc keep the memory of freed tensors for the next ones.

    By default it returns them to the system, which hands out zeroed pages again in every step, thousands of them
    (``benchmarks/training_memory.py``). Other C libraries are left as they are.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)
        mallopt(_M_TOP_PAD, _TOP_PAD)
