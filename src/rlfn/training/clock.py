"""The clock of stages that are measured in hours: only time spent in training steps counts."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable

_REMEMBERED = 101
_LONG = 10.0
_KNOWN = 5


class StepClock:
    """Adds up the seconds of training steps.

    A step longer than ten times the median of the last hundred counts as the median: the machine slept, or the process
    was stopped for a while. Validation and saving lie outside the steps and never count.

    Args:
        now: returns seconds from any origin; injected by tests.
        seconds: what had been counted before, when a run is resumed.

    >>> times = iter([0.0, 2.0, 10.0, 12.0])
    >>> clock = StepClock(lambda: next(times))
    >>> for _ in range(2):
    ...     clock.start()
    ...     clock.stop()
    >>> clock.seconds
    4.0
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._now = now
        self._began = 0.0
        self._recent: deque[float] = deque(maxlen=_REMEMBERED)

    def start(self) -> None:
        """Begin a step."""
        self._began = self._now()

    def stop(self) -> None:
        """End the step that was begun last and count its time."""
        spent = self._now() - self._began
        if len(self._recent) >= _KNOWN:
            median = statistics.median(self._recent)
            spent = median if spent > _LONG * median else spent
        self._recent.append(spent)
        self.seconds += spent
