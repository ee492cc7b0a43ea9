"""The contrastive loss and its feature extractor: every row branches from the same weights after two stages.

With the paper's budget those are trained here. A small budget cannot: after a few steps SR is still nearly the bicubic
picture, which is the loss's negative, so its ratio is huge and outweighs all else. There the packaged model, which has
had its stages, is where every row starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlfn.models import catalog
from rlfn.studies.comparison import Comparison, ComparisonRow
from rlfn.studies.perceptual import distance_column
from rlfn.studies.report import StudyPage
from rlfn.studies.request import StudyRequest
from rlfn.studies.trainings import Part, StudyPlan, Training
from rlfn.training.extractors import VGG19_URL, cached_vgg19

_NETWORK = "rlfn-s"
_TRUNK = "two-stages"
_SHALLOW, _DEEP = (1.0, 1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0, 1.0)

SMALL = {"patch": 32, "batch": 4, "optimizer": {"lr": 1e-3, "adam_lr": 1e-4}}
"""A small budget's stages: the extractors see HR patches and cost many times what the network does; low rates, because
the start is a trained network."""


@dataclass(frozen=True)
class ExtractorChoice:
    """One way to compare features; ``imagenet`` says that it needs VGG-19's weights, ``weight`` is the loss's."""

    label: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    paper: str = ""
    imagenet: bool = False
    weight: float = 0.01


CHOICES = (
    ExtractorChoice("L1 alone", "l1"),
    ExtractorChoice("random-tanh", "random-tanh", {"extractor": "random-tanh"}, "the paper's choice, better"),
    ExtractorChoice("random-tanh, weight 0.001", "random-tanh-0.001", {"extractor": "random-tanh"}, weight=0.001),
    ExtractorChoice("random-tanh, weight 0.0001", "random-tanh-0.0001", {"extractor": "random-tanh"}, weight=0.0001),
    ExtractorChoice("random-tanh, another seed", "random-tanh-seed", {"extractor": "random-tanh", "seed": 1}),
    ExtractorChoice("random-tanh, 16 channels", "random-tanh-16", {"extractor": "random-tanh", "width": 16}),
    ExtractorChoice("random-tanh, 128 channels", "random-tanh-128", {"extractor": "random-tanh", "width": 128}),
    ExtractorChoice("random-relu", "random-relu", {"extractor": "random-relu"}),
    ExtractorChoice("vgg19", "vgg19", {"extractor": "vgg19"}, "lowers PSNR", True),
    ExtractorChoice(
        "vgg19, layers 1 and 3", "vgg19-shallow", {"extractor": "vgg19", "layer_weights": _SHALLOW}, "", True
    ),
    ExtractorChoice("vgg19, layers 9 and 13", "vgg19-deep", {"extractor": "vgg19", "layer_weights": _DEEP}, "", True),
    ExtractorChoice("vgg19-tanh", "vgg19-tanh", {"extractor": "vgg19-tanh"}, "", True),
    ExtractorChoice("vgg19 with random weights", "vgg19-random", {"extractor": "vgg19", "vgg19": "random"}),
)


def run(request: StudyRequest) -> bool:
    """Train the last stage with each choice; return False where it was asked to stop."""
    weights = request.vgg19 or cached_vgg19()
    packaged = None if request.budget.paper else second_stage()
    trainings = [] if packaged else [Training(_TRUNK, _NETWORK, (Part(), Part()))]
    rows = []
    for choice in CHOICES:
        lacks = choice.imagenet and weights is None
        missing = f"VGG-19's ImageNet weights are not here: download {VGG19_URL} and give the study its path." * lacks
        rows.append(ComparisonRow(choice.label, None if lacks else choice.name, choice.paper, missing))
        if not lacks:
            start = {"init": str(packaged)} if packaged else {}
            part = Part(settings={**start, **_settings(choice, weights)})
            trainings.append(Training(choice.name, _NETWORK, (part,), start=None if packaged else _TRUNK))
    plan = StudyPlan(trainings, request, SMALL)
    if not plan.run():
        return False
    comparison = Comparison(request, plan, rows)
    page = StudyPage(
        "The contrastive loss",
        f"RLFN-S x4: {'the packaged weights' if packaged else 'two stages with L1'}, which all rows share, then a "
        "stage with L1 and the contrastive loss, whose features come from the extractor that the row names. "
        "Where the row says nothing else, its weight is 0.01, and random extractors have 64 channels and seed 0.",
    )
    column = distance_column(comparison, weights)
    if weights is None:
        page.remarks.append(
            "The perceptual distance needs VGG-19's ImageNet weights too, which are not here; it was not measured."
        )
    comparison.report(page, comparison.table({"VGG-19 distance": column}, {"VGG-19 distance": 4}))
    return True


def second_stage() -> Path | None:
    """Return the packaged weights from which a small budget branches."""
    return catalog.get_model(f"{_NETWORK}-x4").file(catalog.TENSORS).path


def _settings(choice: ExtractorChoice, weights: Path | None) -> dict[str, Any]:
    if not choice.settings:
        return {}
    contrastive = {"width": 64, "seed": 0, **choice.settings}
    if choice.imagenet:
        contrastive["vgg19"] = str(weights)
    return {"loss": {"contrastive": choice.weight}, "contrastive": contrastive}
