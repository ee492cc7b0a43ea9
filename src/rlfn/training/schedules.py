"""Learning-rate schedules: pure functions of a stage's progress in [0, 1].

Because they know progress and nothing else, a stage of a million iterations and one of half an hour end in the same
finished schedule. A new schedule is one function and one entry of :data:`SCHEDULES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pydantic import Field, field_validator

from rlfn.training.section import Section, known


class Schedule(Section):
    """The learning rate over a stage."""

    name: str = "halve"
    """One of the table of schedules."""
    plateaus: int = Field(default=5, ge=1)
    """halve: how many equal parts; the rate halves between them."""
    floor: float = Field(default=0.0, ge=0.0, lt=1.0)
    """cosine, cyclical: the lowest rate, as a share of the peak."""
    cycles: int = Field(default=1, ge=1)
    """cyclical: how many triangles."""
    warm_up: float = Field(default=0.0, ge=0.0, lt=1.0)
    """The share of the stage during which the rate ramps up."""

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        return known("schedule", name, SCHEDULES)


def constant(progress: float, options: Schedule) -> float:
    """Keep the peak rate."""
    return 1.0


def halve(progress: float, options: Schedule) -> float:
    """Halve at the end of each of ``plateaus`` equal parts: the paper's, with 5 (every 2e5 of 1e6 iterations)."""
    return 0.5 ** min(math.floor(progress * options.plateaus), options.plateaus - 1)


def cosine(progress: float, options: Schedule) -> float:
    """Fall from 1 to ``floor`` along half a cosine (Loshchilov & Hutter, 2017, equation 5 without restarts)."""
    return options.floor + (1.0 - options.floor) * 0.5 * (1.0 + math.cos(math.pi * progress))


def cyclical(progress: float, options: Schedule) -> float:
    """Rise and fall in ``cycles`` triangles from ``floor`` to 1 and back (Smith, 2017)."""
    phase = (progress * options.cycles) % 1.0 if progress < 1.0 else 1.0
    return options.floor + (1.0 - options.floor) * (1.0 - abs(2.0 * phase - 1.0))


SCHEDULES: dict[str, Callable[[float, Schedule], float]] = {
    "constant": constant,
    "cosine": cosine,
    "cyclical": cyclical,
    "halve": halve,
}
"""Every schedule by the name that recipes use: (progress, options) to a factor in [0, 1] of the peak rate."""


def rate_factor(progress: float, options: Schedule) -> float:
    """Return the factor of the peak learning rate at ``progress`` in [0, 1], the linear warm-up included.

    During the first ``warm_up`` of the stage the schedule's value is multiplied by a ramp from nearly 0 to 1.

    >>> [rate_factor(p, Schedule(name="halve", plateaus=5)) for p in (0.0, 0.2, 0.99, 1.0)]
    [1.0, 0.5, 0.0625, 0.0625]
    """
    progress = min(max(progress, 0.0), 1.0)
    factor = SCHEDULES[options.name](progress, options)
    if progress < options.warm_up:
        factor *= max(progress / options.warm_up, 0.01)
    return factor
