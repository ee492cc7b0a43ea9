from __future__ import annotations

import pytest

from rlfn.training.schedules import SCHEDULES, Schedule, rate_factor


@pytest.mark.parametrize(
    ("progress", "factor"), [(0, 1), (0.199, 1), (0.2, 0.5), (0.45, 0.25), (0.8, 1 / 16), (1, 1 / 16)]
)
def test_halving_is_the_papers(progress: float, factor: float) -> None:
    assert rate_factor(progress, Schedule(name="halve", plateaus=5)) == factor


def test_cosine() -> None:
    options = Schedule(name="cosine", floor=0.1)
    assert [rate_factor(p, options) for p in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.55, 0.1])


def test_triangles() -> None:
    options = Schedule(name="cyclical", cycles=2, floor=0.2)
    values = [rate_factor(p, options) for p in (0.0, 0.125, 0.25, 0.5, 0.75, 1.0)]
    assert values == pytest.approx([0.2, 0.6, 1.0, 0.2, 1.0, 0.2])


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_warms_up_and_stays_in_range(name: str) -> None:
    options, plain = Schedule(name=name, warm_up=0.1), Schedule(name=name)
    assert rate_factor(0.05, options) == pytest.approx(0.5 * rate_factor(0.05, plain))
    assert rate_factor(0.1, options) == rate_factor(0.1, plain)
    assert all(0.0 <= rate_factor(p / 100, options) <= 1.0 for p in range(-5, 106))
