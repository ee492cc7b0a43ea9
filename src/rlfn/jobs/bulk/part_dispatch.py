"""One picture by several processes: idle helpers take its parts and return results in any order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Full, Queue
from typing import Any

from rlfn.inference.parts import Computed, ImagePart

Helper = Callable[[ImagePart], Iterator[Computed]]
"""Computes a part, in this process or another."""


class PartDispatcher:
    """Has parts computed by helpers in parallel (a :data:`rlfn.inference.parts.PartRunner`).

    The part of a lost helper is computed again by another; results are never yielded twice.

    Args:
        helpers: the first one runs in this process and is never lost.
        is_lost: tells whether an exception means that a helper was lost, and not that the part cannot be computed.
    """

    def __init__(self, helpers: Sequence[Helper], is_lost: Callable[[BaseException], bool]) -> None:
        self._helpers = helpers
        self._is_lost = is_lost

    def __call__(self, parts: Iterable[ImagePart]) -> Iterator[Computed]:
        """Yield the results of all parts."""
        run = _Run(parts, len(self._helpers))
        for number, helper in enumerate(self._helpers):
            arguments = (helper, self._is_lost, number == 0)
            threading.Thread(target=run.work, args=arguments, name="rlfn-helper", daemon=True).start()
        try:
            yield from run.results()
        finally:
            run.stop()


class _Run:
    """The state of one picture's parts."""

    def __init__(self, parts: Iterable[ImagePart], helpers: int) -> None:
        self._left = deque(parts)
        self._running = 0
        self._changed = threading.Condition()
        self._stopped = False
        self._ready: Queue[Any] = Queue(2 * helpers)  # bounded: helpers wait for the consumer

    def work(self, helper: Helper, is_lost: Callable[[BaseException], bool], local: bool) -> None:
        """Compute parts until none are left or the helper is lost."""
        while (part := self._next_part()) is not None:
            try:
                for computed in helper(part):
                    self._put(computed)
            except BaseException as error:
                if local or not is_lost(error):
                    self._put(error)
                    return
                with self._changed:
                    self._left.appendleft(part)
                    self._running -= 1
                    self._changed.notify_all()
                return
            with self._changed:
                self._running -= 1
                self._changed.notify_all()
        self._put(None)

    def results(self) -> Iterator[Computed]:
        """Yield results, each tile once, until a helper reports that no parts are left."""
        seen: set[Any] = set()
        while True:
            found = self._ready.get()
            if found is None:  # all parts are done, and their results precede this in the queue
                return
            if isinstance(found, BaseException):
                raise found
            if found[0] not in seen:
                seen.add(found[0])
                yield found

    def stop(self) -> None:
        """Stop the threads."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        while not self._ready.empty():
            self._ready.get()

    def _next_part(self) -> ImagePart | None:
        with self._changed:
            while not self._stopped:
                if self._left:
                    self._running += 1
                    return self._left.popleft()
                if self._running == 0:
                    break
                self._changed.wait()  # a lost helper may return its part
            return None

    def _put(self, found: Any) -> None:
        while not self._stopped:
            try:
                self._ready.put(found, timeout=0.5)
            except Full:  # check whether the consumer has stopped
                continue
            return
