"""What a finished run leaves: the model's files, its card and its curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

import rlfn
from rlfn.networks.checkpoints import save_checkpoint
from rlfn.training.learner import Position
from rlfn.training.pack import Pack
from rlfn.training.recipe import Recipe
from rlfn.training.reporting import Reporter
from rlfn.training.stages import finished
from rlfn.variants import get_variant


def write_model(
    path: Path,
    network: nn.Module,
    recipe: Recipe,
    pack: Pack,
    position: Position,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write a network that takes [0, 1] as a file that takes [0, 255], with how it was trained."""
    stages = recipe.stages[: position.stage + 1]
    metadata = {
        "recipe": recipe.name,
        "recipe_sha256": recipe.hash(),
        "data": f"{pack.path.name}: {len(pack)} pictures",
        "stages": str(len(stages)),
        "iterations": str(position.total),
        "hours": f"{(position.earlier_seconds + position.seconds) / 3600.0:.4f}",
        "lr_pixels": str(position.pixels),
        "teachers": ", ".join(sorted({Path(stage.teacher).name for stage in stages if stage.teacher})),
        "initial_weights": ", ".join(stage.init for stage in stages),
        "rlfn": rlfn.__version__,
        "torch": torch.__version__,
        **(facts or {}),
    }
    save_checkpoint(path, finished(network), get_variant(recipe.variant), recipe.scale, metadata)


def write_results(
    out: Path, network: nn.Module, recipe: Recipe, pack: Pack, position: Position, best: float, reporter: Reporter
) -> None:
    """Write ``model.safetensors``."""
    path = out / "model.safetensors"
    write_model(path, network, recipe, pack, position)
    reporter.say(f"Finished. The model is {path}.")
