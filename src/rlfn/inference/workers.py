"""Work side by side on threads: results come as they are ready, and nothing runs on afterwards."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Any


class Workers:
    """Threads that run what is given to them, first come, first served.

    Leaving the ``with`` block drops what was not begun, waits for what was, and ends the threads.

    >>> with Workers(2) as workers:
    ...     for number in range(4):
    ...         workers.submit(number, pow, number, 2)
    ...     sorted(workers.next() for _ in range(4))
    [(0, 0), (1, 1), (2, 4), (3, 9)]
    """

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, "rlfn-worker")
        self._ready: SimpleQueue[tuple[Any, Future[Any]]] = SimpleQueue()

    def __enter__(self) -> Workers:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, key: Any, function: Callable[..., Any], *arguments: Any) -> None:
        """Have ``function(*arguments)`` run; :meth:`next` returns its result with ``key``."""
        future = self._pool.submit(function, *arguments)
        future.add_done_callback(lambda done: self._ready.put((key, done)))

    def next(self) -> tuple[Any, Any]:
        """Wait for the next result, and return it with its key; what the function raised is raised."""
        key, future = self._ready.get()
        return key, future.result()
