"""Protection of libraries with their own threads in forked processes: memory is inherited, threads are not.

Work that such a library started in the parent would never finish in the child.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any
from weakref import WeakSet

from rlfn.errors import ForkedError


class ForkGuard:
    """A guard against using a library with threads on both sides of a fork.

    Args:
        library: its name.
        work: the verb phrase for the error "cannot ... in this process".
    """

    def __init__(self, library: str, work: str) -> None:
        self._library, self._work = library, work
        self._process: int | None = None

    def enter(self) -> None:
        """Record that the library is about to start threads.

        Raises:
            ForkedError: it did so already in a process from which this one was forked.
        """
        process = os.getpid()
        if self._process is None:
            self._process = process
        elif self._process != process:
            raise ForkedError(
                f"rlfn cannot {self._work} in this process: it was forked after {self._library} had started its "
                "threads, which a fork does not copy. Start processes with "
                "multiprocessing.get_context('spawn') or 'forkserver', or before the first picture."
            )


_outliving: WeakSet[Any] = WeakSet()


def outlives_fork(owner: Any) -> None:
    """Keep ``owner`` alive in forked processes: destroying it at exit would wait for threads that do not exist."""
    _outliving.add(owner)


def _keep_for_ever() -> None:
    for owner in _outliving:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_for_ever)
