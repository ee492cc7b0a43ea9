"""Paired differences, their intervals, and the verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlfn.studies.paired import (
    FAILS,
    HOLDS,
    NOT_RUN,
    OPEN,
    Claim,
    Paired,
    Sense,
    judge,
    paired,
    sentence,
)


def interval(low: float, high: float) -> Paired:
    return Paired(5, (low + high) / 2, 0.0, low, high)


@pytest.mark.parametrize(
    ("sense", "low", "high", "verdict"),
    [
        ("above", 0.01, 0.30, HOLDS),
        ("above", -0.30, -0.01, FAILS),
        ("above", -0.01, 0.30, OPEN),
        ("same", -0.04, 0.03, HOLDS),
        ("same", 0.06, 0.10, FAILS),
        ("same", -0.10, -0.06, FAILS),
        ("same", 0.02, 0.06, OPEN),
        ("same", -0.2, 0.2, OPEN),
        ("apart", 0.01, 0.02, HOLDS),
        ("apart", -0.02, -0.01, HOLDS),
        ("apart", -0.01, 0.02, OPEN),
    ],
)
def test_verdicts_follow_from_the_interval(sense: Sense, low: float, high: float, verdict: str) -> None:
    assert judge(sense, interval(low, high)) == verdict


def test_what_all_seeds_share_does_not_widen_the_interval() -> None:
    seeds = np.random.default_rng(0).normal(30.0, 1.0, 8)
    found = paired((seeds + [0.1, 0.12] * 4).tolist(), seeds.tolist())
    assert found is not None
    assert found.mean == pytest.approx(0.11)
    assert found.error == pytest.approx(np.std([0.1, 0.12] * 4, ddof=1) / math.sqrt(8))
    assert found.high - found.mean == pytest.approx(2.365 * found.error)


def test_intervals_cover_the_truth_nineteen_times_in_twenty() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(4000):
        found = paired(random.normal(0.0, 1.0, 5).tolist(), random.normal(0.0, 1.0, 5).tolist())
        assert found is not None
        covered += found.low < 0.0 < found.high
    assert covered / 4000 == pytest.approx(0.95, abs=0.012)


def test_seeds_that_only_one_row_has_are_left_out() -> None:
    found = paired((1.0, 2.0, 9.0), (0.0, 1.5))
    assert found is not None
    assert found.count == 2
    assert found.mean == pytest.approx(0.75)


def test_fewer_than_two_seeds_tell_nothing() -> None:
    assert paired((30.0,), (20.0,)) is None
    assert judge("above", None) == NOT_RUN
    assert "not run" in sentence(Claim("a", "b"), {"a": (30.0,), "b": (20.0,)})


def test_a_sentence_names_the_verdict_and_the_size() -> None:
    text = sentence(Claim("a", "b"), {"a": (1.1, 1.2, 1.3), "b": (1.0, 1.1, 1.21)})
    assert text.startswith("'a' better than 'b': holds (+0.097 dB, 95% interval +0.082 to +0.111, 3 seeds")
