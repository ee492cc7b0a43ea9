"""From RFDN's block to RLFN's: the paper's ablation of the block (RFDB, RFDBR48, RFDBR52, RLFB)."""

from __future__ import annotations

from collections.abc import Mapping

from rlfn.models.variants import get_variant
from rlfn.networks import build
from rlfn.networks.counting import count
from rlfn.studies.comparison import Comparison, ComparisonRow
from rlfn.studies.report import Cell, StudyPage
from rlfn.studies.request import StudyRequest
from rlfn.studies.scoring import LATENCY_OUTPUT
from rlfn.studies.trainings import StudyPlan, Training

_BLOCKS = {"RFDB": "rfdn-48", "RFDBR48": "rfdn-r48", "RFDBR52": "rfdn-r52", "RLFB": "rfdn-rlfb"}
_PAPER = {"RFDBR48": "faster", "RFDBR52": "quality regained", "RLFB": "same quality, clearly faster"}


def run(request: StudyRequest) -> bool:
    """Train the four networks in the same way and compare quality and cost; return False where it was asked to stop."""
    plan = StudyPlan([Training(variant, variant) for variant in _BLOCKS.values()], request)
    if not plan.run():
        return False
    rows = [ComparisonRow(label, variant, _PAPER.get(label, "the start")) for label, variant in _BLOCKS.items()]
    comparison = Comparison(request, plan, rows)
    page = StudyPage(
        "The block, from RFDN's to RLFN's",
        "Distillation branches removed (RFDBR48), 52 channels and 16 in ESA (RFDBR52), the additions inside the "
        "shallow residual blocks removed (RLFB). All four in RFDN's frame, six blocks, x4, trained alike.",
    )
    extra = {**costs(_BLOCKS, comparison.measured.scale), **latency_columns(comparison)}
    page.facts["latency"] = "median, a result of 1280x720, the networks measured interleaved"
    comparison.report(page, comparison.table(extra, {"parameters, K": 1}))
    return True


def costs(variants: Mapping[str, str], scale: int) -> dict[str, dict[str, Cell]]:
    """Return columns of parameters, multiply-adds and activations for a result of 1280x720.

    Args:
        variants: the networks' names by row.
        scale: the upscaling factor.
    """
    columns: dict[str, dict[str, Cell]] = {"parameters, K": {}, "multiply-adds, G": {}, "activations, M": {}}
    height, width = (side // scale for side in LATENCY_OUTPUT)
    for label, variant in variants.items():
        counts = count(build(get_variant(variant), scale), height, width)
        columns["parameters, K"][label] = counts.parameters / 1e3
        columns["multiply-adds, G"][label] = counts.multiply_adds / 1e9
        columns["activations, M"][label] = counts.activations / 1e6
    return columns


def latency_columns(comparison: Comparison) -> dict[str, dict[str, Cell]]:
    """Return a column of milliseconds for each engine that is installed."""
    models = {row.label: comparison.plan.model(row.training, 0) for row in comparison.rows if row.training is not None}
    found = comparison.measured.latencies(models)
    return {f"{engine}, ms": dict(times) for engine, times in found.items()}
