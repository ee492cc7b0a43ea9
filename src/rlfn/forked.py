"""Libraries with threads of their own, in a process that was forked: it has their memory, and not their threads.

What such a library has begun in the parent, the child would wait for without end.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any
from weakref import WeakSet

from rlfn.errors import ForkedError


class ForkGuard:
    """The threads of a library that cannot be used on both sides of a fork.

    Args:
        library: its name.
        work: what it does, as it stands in "cannot ... in this process".
    """

    def __init__(self, library: str, work: str) -> None:
        self._library, self._work = library, work
        self._process: int | None = None

    def enter(self) -> None:
        """Note that the library is about to start threads.

        Raises:
            ForkedError: it has done so in a process that this one was forked from.
        """
        process = os.getpid()
        if self._process is None:
            self._process = process
        elif self._process != process:
            raise ForkedError(
                f"rlfn cannot {self._work} in this process: it was forked after {self._library} had begun to work, and "
                f"{self._library}'s threads stayed behind. Start processes with "
                "multiprocessing.get_context('spawn') or 'forkserver', or before the first picture."
            )


_outliving: WeakSet[Any] = WeakSet()


def outlives_fork(owner: Any) -> None:
    """Let no forked process take ``owner`` apart, which it does with all objects at its end, waiting for threads."""
    _outliving.add(owner)


def _keep_for_ever() -> None:
    for owner in _outliving:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_for_ever)
