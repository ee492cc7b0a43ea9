"""How much of ESA's group of convolutions is needed: each one's sensitivity, and three against one."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import torch
from torch import nn

from rlfn.errors import DataError, ModelError
from rlfn.networks.checkpoints import fold_range, load_checkpoint
from rlfn.networks.rfdn import GroupESA
from rlfn.studies.architecture import costs, latency_columns
from rlfn.studies.charts import draw_lines
from rlfn.studies.comparison import Comparison, ComparisonRow
from rlfn.studies.report import Cell, Column, StudyPage, Table
from rlfn.studies.request import StudyRequest
from rlfn.studies.trainings import StudyPlan, Training
from rlfn.training.stages import FILE_RANGE, trained_range
from rlfn.training.validation import Validator, make_validator

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The shares of a convolution's filters that are removed."""

_NETWORKS = {"three convolutions": "rfdn-rlfb", "one convolution": "rfdn-rlfb-esa1"}


def run(request: StudyRequest) -> bool:
    """Train ESA with three convolutions and with one, and measure each one's sensitivity."""
    plan = StudyPlan([Training(variant, variant) for variant in _NETWORKS.values()], request)
    if not plan.run():
        return False
    rows = [
        ComparisonRow("three convolutions", "rfdn-rlfb", "the start"),
        ComparisonRow("one convolution", "rfdn-rlfb-esa1", "same quality, faster"),
    ]
    comparison = Comparison(request, plan, rows)
    page = StudyPage(
        "ESA's group of convolutions",
        "RLFB in RFDN's frame, x4, trained alike: ESA with three 3x3 convolutions on its small map, as in RFDN, and "
        "with the one that RLFN keeps. Sensitivity: the filters of smallest L1 norm of one convolution are set to zero "
        "in all blocks at once, without training again, and the PSNR on the pack's held-out pictures is measured.",
    )
    models = {f"trained here, seed {seed}": plan.model("rfdn-rlfb", seed) for seed in range(request.seeds)}
    models |= {Path(path).stem: Path(path) for path in request.models}
    validator = make_validator(plan.recipe(plan.trainings[0], 0), plan.pack)
    if validator is None:
        raise DataError(f"The pack {plan.pack.path} is too small to hold pictures out. Give one of more pictures.")
    for name, path in models.items():
        request.log(f"Sensitivity of {name}")
        found = sensitivity(path, validator)
        stem = "sensitivity-" + name.replace(", ", "-").replace(" ", "-")
        page.tables[stem] = sensitivity_table(name, found)
        draw_lines(found, ("share of filters removed", "held-out PSNR, dB"), request.out / f"{stem}.png")
        page.figures[f"{stem}.png"] = f"Sensitivity of ESA's convolutions, {name}"
        least = min(found, key=lambda conv: found[conv][0][1] - found[conv][-1][1])
        page.remarks.append(f"{name}: least is lost where {least} is removed entirely.")
    comparison.report(page, comparison.table({**costs(_NETWORKS, 4), **latency_columns(comparison)}))
    return True


def sensitivity(model: Path, validator: Validator) -> dict[str, list[tuple[float, float]]]:
    """Return (share of filters removed, PSNR in dB) for each convolution of ESA's group.

    Args:
        model: a file of an RFDN's weights.
        validator: the pictures.

    Raises:
        ModelError: the file holds a network without such a group.
    """
    network = load_checkpoint(model).network
    groups = [module for module in network.modules() if isinstance(module, GroupESA)]
    if not groups:
        raise ModelError(f"{model} has no group of convolutions in ESA. Give a file of RFDN's weights.")
    if trained_range(network) != FILE_RANGE:
        fold_range(network, FILE_RANGE, trained_range(network))
    return {
        name: [(share, _psnr(validator, without_weakest(network, name, share))) for share in SHARES]
        for name in groups[0].group
    }


def _psnr(validator: Validator, network: nn.Module) -> float:
    return next(iter(validator.score(network).values())).psnr


def without_weakest(network: nn.Module, name: str, share: float) -> nn.Module:
    """Return a copy in which the filters of smallest L1 norm of ESA's convolution ``name`` are zero in every block.

    Args:
        network: an RFDN.
        name: ``conv_max``, ``conv3`` or ``conv3_``.
        share: of the filters, rounded down.
    """
    pruned = copy.deepcopy(network).eval()
    for module in pruned.modules():
        if isinstance(module, GroupESA):
            convolution = module.get_submodule(name)
            assert isinstance(convolution, nn.Conv2d)
            assert convolution.bias is not None
            norms = convolution.weight.detach().abs().sum(dim=(1, 2, 3))
            weakest = norms.argsort()[: math.floor(share * len(norms))]
            with torch.no_grad():
                convolution.weight[weakest] = 0.0
                convolution.bias[weakest] = 0.0
    return pruned


def sensitivity_table(name: str, found: dict[str, list[tuple[float, float]]]) -> Table:
    """Return the PSNR that is lost, by convolution and share."""
    columns = (Column(f"{name}: dB lost"), *(Column(f"{share:.0%} of the filters", 3) for share in SHARES[1:]))
    rows: list[tuple[Cell, ...]] = []
    for conv, points in found.items():
        whole = points[0][1]
        rows.append((conv, *(whole - psnr for _, psnr in points[1:])))
    return Table(columns, tuple(rows))
