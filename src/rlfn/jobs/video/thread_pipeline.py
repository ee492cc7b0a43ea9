"""A pipeline of threads connected by bounded queues; the first error stops all of them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

_LOOK = 0.1


class ThreadGroup:
    """Threads of a pipeline; the first error stops all of them and is raised in the calling thread."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._threads: list[threading.Thread] = []

    @property
    def stopped(self) -> bool:
        """Whether the work ends early."""
        return self._stop.is_set()

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run ``work`` on a thread of its own."""
        thread = threading.Thread(target=self._run, args=(work,), name=f"rlfn-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def check(self) -> None:
        """Raise what a thread raised."""
        if self._error is not None:
            raise self._error

    def join(self) -> None:
        """Wait until all threads have ended by themselves, and raise what one of them raised."""
        for thread in self._threads:
            while thread.is_alive():
                thread.join(_LOOK)
        self.check()

    def stop(self) -> None:
        """End the threads early."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Stopped:
            pass
        except BaseException as error:
            self._error = self._error or error
            self._stop.set()


class Stopped(Exception):  # noqa: N818 - it never leaves the package
    """The work ends early."""


class Channel:
    """A queue of a few items between two threads.

    Args:
        threads: the group whose end closes it.
        size: number of items that may wait.
    """

    def __init__(self, threads: ThreadGroup, size: int) -> None:
        self._group = threads
        self._queue: queue.Queue[Any] = queue.Queue(size)
        self._end = object()

    def put(self, item: Any) -> None:
        """Pass an item on when there is room.

        Raises:
            Stopped: the work ends early.
        """
        while not self._group.stopped:
            try:
                self._queue.put(item, timeout=_LOOK)
                return
            except queue.Full:
                continue
        raise Stopped

    def end(self) -> None:
        """Close the channel: no more items follow."""
        self.put(self._end)

    def __iter__(self) -> Iterator[Any]:
        """Yield the items until the end.

        Raises:
            Stopped: the work ends early.
        """
        while True:
            try:
                item = self._queue.get(timeout=_LOOK)
            except queue.Empty:
                if self._group.stopped:
                    raise Stopped from None
                continue
            if item is self._end:
                return
            yield item
