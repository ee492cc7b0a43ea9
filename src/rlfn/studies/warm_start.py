"""Warm starts against one long run and a cyclical rate: the paper's comparison of training strategies."""

from __future__ import annotations

from rlfn.studies.comparison import Comparison, ComparisonRow
from rlfn.studies.report import StudyPage
from rlfn.studies.request import StudyRequest
from rlfn.studies.trainings import Part, StudyPlan, Training

_NETWORK = "rlfn-s"

TRAININGS = (
    Training("ws_0", _NETWORK),
    Training("ws_1", _NETWORK, start="ws_0"),
    Training("ws_2", _NETWORK, start="ws_1"),
    Training("clr", _NETWORK, (Part(), Part(settings={"carry_optimizer": True}))),
    Training("e2000", _NETWORK, (Part(2.0),)),
    Training("x2", _NETWORK, scale=2),
    Training("x2-start", _NETWORK, start="x2"),
)

ROWS = (
    ComparisonRow("ws_1: two stages, weights alone carried over", "ws_1", "the better of the first three"),
    ComparisonRow("e2000: one stage of twice the length", "e2000", "below ws_1"),
    ComparisonRow("clr: two stages, the optimiser's state too", "clr", "below ws_1"),
    ComparisonRow("x2 for one stage, then x4 for one", "x2-start"),
    ComparisonRow("ws_0: one stage", "ws_0", "below ws_1"),
    ComparisonRow("ws_2: three stages", "ws_2", "above ws_1"),
)


def run(request: StudyRequest) -> bool:
    """Train by each strategy; return False where it was asked to stop."""
    plan = StudyPlan(TRAININGS, request)
    if not plan.run():
        return False
    comparison = Comparison(request, plan, ROWS)
    page = StudyPage(
        "Warm starts",
        "RLFN-S x4. Each stage runs the same schedule from its beginning. The first four rows have the same length in "
        "all, two stages; one stage and three stages stand below them.",
    )
    comparison.report(page, comparison.table())
    return True
