"""Paired differences between two ways of training, and verdicts on claims; standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

# Student's t, two-sided 95%, for 1 to 30 degrees of freedom
_T95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)

HOLDS, FAILS, OPEN, NOT_RUN = "holds", "does not hold", "cannot be told", "not run"
"""The verdicts on a claim, as the CSV files have them."""

MARGIN = 0.05
"""dB within which two qualities count as the same."""

Sense = Literal["above", "same", "apart"]
"""The claimed relation of two rows: the first is better, both are equal, or they differ (which a null row must not)."""


@dataclass(frozen=True)
class Claim:
    """A statement about two rows of a table, to be tested on their numbers.

    Attributes:
        row: the label of the row in question.
        against: the label of the row to compare it with.
        sense: the claimed relation of ``row`` to ``against``.
        source: who claims it: "the paper", "null" or "asked here".
    """

    row: str
    against: str
    sense: Sense = "above"
    source: str = "the paper"


@dataclass(frozen=True)
class Paired:
    """The mean of paired differences, its standard error, and its 95% interval by Student's t, all in dB."""

    count: int
    mean: float
    error: float
    low: float
    high: float


def paired(values: Sequence[float], against: Sequence[float]) -> Paired | None:
    """Return the statistics of two rows' differences, seed by seed; None with fewer than two seeds in both.

    >>> found = paired((2.0, 3.0, 4.0), (1.0, 1.0, 1.0))
    >>> f"{found.mean:.1f} {found.error:.3f} {found.low:.3f} {found.high:.3f}"
    '2.0 0.577 -0.484 4.484'
    """
    differences = [a - b for a, b in zip(values, against, strict=False)]
    count = len(differences)
    if count < 2:
        return None
    mean, error = fmean(differences), stdev(differences) / math.sqrt(count)
    reach = _T95[min(count - 1, len(_T95)) - 1] * error
    return Paired(count, mean, error, mean - reach, mean + reach)


def judge(sense: Sense, found: Paired | None, margin: float = MARGIN) -> str:
    """Return the verdict on a claim.

    *above* holds where the whole interval lies above 0, and does not hold where it lies below. *same* holds where the
    interval lies within ``margin`` of 0, and does not hold where it lies outside. *apart* holds where the interval
    leaves out 0; that it does not hold can never be shown. Everything else cannot be told. Rows with
    fewer than two seeds were not run.

    >>> judge("above", paired((1.1, 1.2, 1.3), (1.0, 1.1, 1.21)))
    'holds'
    """
    if found is None:
        return NOT_RUN
    if sense == "above":
        return HOLDS if found.low > 0.0 else FAILS if found.high < 0.0 else OPEN
    if sense == "same":
        inside = -margin < found.low and found.high < margin
        return HOLDS if inside else FAILS if found.low > margin or found.high < -margin else OPEN
    return HOLDS if found.low > 0.0 or found.high < 0.0 else OPEN


def sentence(claim: Claim, values: Mapping[str, Sequence[float]]) -> str:
    """Return a claim's verdict in words with the effect size, from the scores of each row's seeds."""
    found = paired(values.get(claim.row, ()), values.get(claim.against, ()))
    said = {"above": "better than", "same": "as good as", "apart": "different from"}[claim.sense]
    row, against = (label.partition(":")[0] for label in (claim.row, claim.against))
    text = f"'{row}' {said} '{against}'"
    if found is None:
        return f"{text}: not run with two seeds or more."
    verdict = judge(claim.sense, found)
    shown = "inconclusive" if verdict == OPEN else verdict
    return (
        f"{text}: {shown} ({found.mean:+.3f} dB, 95% interval {found.low:+.3f} to "
        f"{found.high:+.3f}, {found.count} seeds)."
    )
