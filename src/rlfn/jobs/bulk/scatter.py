"""One picture by several processes: its parts go to whoever is free, and their results come back in any order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Full, Queue
from typing import Any

from rlfn.inference.parts import Computed, ImagePart

Helper = Callable[[ImagePart], Iterator[Computed]]
"""Computes a part, here or elsewhere."""


class Scatter:
    """Has parts computed by helpers side by side (a :data:`rlfn.inference.parts.PartRunner`).

    A helper that is lost gives its part to the others; what it had yielded of it already is not yielded again.

    Args:
        helpers: the first one is here and is never lost.
        lost: tells of an exception whether it means that a helper is lost, and not that the part cannot be computed.
    """

    def __init__(self, helpers: Sequence[Helper], lost: Callable[[BaseException], bool]) -> None:
        self._helpers = helpers
        self._lost = lost

    def __call__(self, parts: Iterable[ImagePart]) -> Iterator[Computed]:
        """Yield the results of all parts."""
        run = _Run(iter(parts), len(self._helpers))
        for number, helper in enumerate(self._helpers):
            given = (helper, self._lost, number == 0)
            threading.Thread(target=run.work, args=given, name="rlfn-helper", daemon=True).start()
        try:
            yield from run.results()
        finally:
            run.stop()


class _Run:
    """The parts of one picture on their way."""

    def __init__(self, parts: Iterator[ImagePart], helpers: int) -> None:
        self._parts = parts
        self._again: list[ImagePart] = []
        self._open = 0
        self._wake = threading.Condition()
        self._stopped = False
        self._ready: Queue[Any] = Queue(2 * helpers)  # whoever is faster than the assembly waits

    def work(self, helper: Helper, lost: Callable[[BaseException], bool], here: bool) -> None:
        """Compute parts until there are no more, or until the helper is lost."""
        while (part := self._take()) is not None:
            try:
                for computed in helper(part):
                    self._give(computed)
            except BaseException as error:
                if here or not lost(error):
                    self._give(error)
                    return
                with self._wake:
                    self._again.append(part)
                    self._open -= 1
                    self._wake.notify_all()
                return
            with self._wake:
                self._open -= 1
                self._wake.notify_all()
        self._give(None)

    def results(self) -> Iterator[Computed]:
        """Yield what comes, each place once, until a worker finds that nothing is left."""
        seen: set[Any] = set()
        while True:
            found = self._ready.get()
            if found is None:  # whoever says so found every part done, and their results lie before it
                return
            if isinstance(found, BaseException):
                raise found
            if found[0] not in seen:
                seen.add(found[0])
                yield found

    def stop(self) -> None:
        """Let the threads end."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()
        while not self._ready.empty():
            self._ready.get()

    def _take(self) -> ImagePart | None:
        with self._wake:
            while not self._stopped:
                part = self._again.pop() if self._again else next(self._parts, None)
                if part is not None:
                    self._open += 1
                    return part
                if self._open == 0:
                    break
                self._wake.wait()  # a part of a lost helper may come back
            return None

    def _give(self, found: Any) -> None:
        while not self._stopped:
            try:
                self._ready.put(found, timeout=0.5)
            except Full:  # look whether anybody still reads
                continue
            return
