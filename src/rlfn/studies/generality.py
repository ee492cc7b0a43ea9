"""The paper's two ideas, warm start and contrastive loss, on another network: EDSR-baseline."""

from __future__ import annotations

from rlfn.studies.comparison import Comparison, ComparisonRow
from rlfn.studies.report import StudyPage
from rlfn.studies.request import StudyRequest
from rlfn.studies.trainings import Part, StudyPlan, Training

_NETWORK = "edsr-baseline"
_CONTRASTIVE = Part(settings={"loss": {"contrastive": 0.01}})

TRAININGS = (
    Training("edsr-ws_0", _NETWORK),
    Training("edsr-ws_1", _NETWORK, start="edsr-ws_0"),
    Training("edsr-ws_2", _NETWORK, start="edsr-ws_1"),
    Training("edsr-ws_2-contrastive", _NETWORK, (_CONTRASTIVE,), start="edsr-ws_1"),
    Training("edsr-e2000", _NETWORK, (Part(2.0),)),
)

ROWS = (
    ComparisonRow("one stage", "edsr-ws_0", "the start"),
    ComparisonRow("one stage of twice the length", "edsr-e2000"),
    ComparisonRow("one warm start", "edsr-ws_1", "better"),
    ComparisonRow("two warm starts", "edsr-ws_2"),
    ComparisonRow("two warm starts, contrastive loss in the last stage", "edsr-ws_2-contrastive", "better"),
)

SMALL = {"patch": 32, "batch": 4, "optimizer": {"adam_lr": 1e-4}}
"""A small budget's stages: EDSR costs four times as much a pixel, and its rates are those of values up to 255."""


def run(request: StudyRequest) -> bool:
    """Train EDSR with and without the two ideas; return False where it was asked to stop."""
    settings = {"optimizer": {"lr": 1e-4}} if request.budget.paper else {}
    trainings = [
        Training(
            t.name, t.variant, tuple(Part(p.length, {**settings, **p.settings}) for p in t.parts), t.scale, t.start
        )
        for t in TRAININGS
    ]
    plan = StudyPlan(trainings, request, SMALL)
    if not plan.run():
        return False
    comparison = Comparison(request, plan, ROWS)
    page = StudyPage(
        "Warm start and contrastive loss on EDSR",
        "EDSR-baseline x4 (16 blocks, 64 channels). Rows of equal length in stages can be compared with each other.",
    )
    comparison.report(page, comparison.table())
    return True
