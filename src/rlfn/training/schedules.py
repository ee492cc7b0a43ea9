"""Learning-rate schedules: pure functions of a stage's progress in [0, 1].

Because they know progress and nothing else, a stage of a million iterations and one of half an hour end in the same
finished schedule. A new schedule is one function and one entry of :data:`SCHEDULES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol


class ScheduleOptions(Protocol):
    """What a schedule may read: see :class:`rlfn.training.recipe.Schedule` for the meaning of each."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def plateaus(self) -> int: ...  # noqa: D102
    @property
    def floor(self) -> float: ...  # noqa: D102
    @property
    def cycles(self) -> int: ...  # noqa: D102
    @property
    def warm_up(self) -> float: ...  # noqa: D102


def constant(progress: float, options: ScheduleOptions) -> float:
    """Keep the peak rate."""
    return 1.0


def halve(progress: float, options: ScheduleOptions) -> float:
    """Halve at the end of each of ``plateaus`` equal parts: the paper's, with 5 (every 2e5 of 1e6 iterations)."""
    return 0.5 ** min(math.floor(progress * options.plateaus), options.plateaus - 1)


def cosine(progress: float, options: ScheduleOptions) -> float:
    """Fall from 1 to ``floor`` along half a cosine (Loshchilov & Hutter, 2017, equation 5 without restarts)."""
    return options.floor + (1.0 - options.floor) * 0.5 * (1.0 + math.cos(math.pi * progress))


def cyclical(progress: float, options: ScheduleOptions) -> float:
    """Rise and fall in ``cycles`` triangles from ``floor`` to 1 and back (Smith, 2017)."""
    phase = (progress * options.cycles) % 1.0 if progress < 1.0 else 1.0
    return options.floor + (1.0 - options.floor) * (1.0 - abs(2.0 * phase - 1.0))


SCHEDULES: dict[str, Callable[[float, ScheduleOptions], float]] = {
    "constant": constant,
    "cosine": cosine,
    "cyclical": cyclical,
    "halve": halve,
}
"""Every schedule by the name that recipes use: (progress, options) to a factor in [0, 1] of the peak rate."""


def rate_factor(progress: float, options: ScheduleOptions) -> float:
    """Return the factor of the peak learning rate at ``progress`` in [0, 1], the linear warm-up included.

    During the first ``warm_up`` of the stage the schedule's value is multiplied by a ramp from nearly 0 to 1.

    >>> from rlfn.training.recipe import Schedule
    >>> [rate_factor(p, Schedule(name="halve", plateaus=5)) for p in (0.0, 0.2, 0.99, 1.0)]
    [1.0, 0.5, 0.0625, 0.0625]
    """
    progress = min(max(progress, 0.0), 1.0)
    factor = SCHEDULES[options.name](progress, options)
    if progress < options.warm_up:
        factor *= max(progress / options.warm_up, 0.01)
    return factor
