"""A tiny network, pack and recipe with which whole runs take a second or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rlfn.data.packing import make_pack
from rlfn.data.pictures import write_rgb
from rlfn.models.variants import RLFNFields, Variant
from rlfn.training.recipe import Recipe
from rlfn.training.recipe_files import check_recipe
from synthetic import synthetic

TINY = Variant("tiny", "rlfn", RLFNFields(blocks=1, channels=8, mid=8, esa_channels=4), "for tests")


def tiny_pack(folder: Path, count: int = 6, scales: tuple[int, ...] = (2, 3)) -> Path:
    """Write a pack of smooth synthetic pictures below ``folder`` and return its path."""
    pictures = folder / "hr"
    pictures.mkdir(parents=True)
    for number in range(count):
        blurred = synthetic(96, 96, number).astype(float)
        blurred = (blurred + np.roll(blurred, 1, 0) + np.roll(blurred, 1, 1) + np.roll(blurred, (1, 1), (0, 1))) / 4
        write_rgb(pictures / f"{number}.png", blurred.astype(np.uint8))
    return make_pack([pictures], folder / "pack", scales=scales, min_side=64).pack.path


def tiny_recipe(*stages: dict[str, Any], **sections: Any) -> Recipe:
    """Return a recipe of the tiny network at x2; every stage may leave out what is filled in here."""
    raw = {
        "name": "tiny",
        "variant": "tiny",
        "scale": 2,
        "log_every": 1,
        "validation": {"minutes": 1000.0, "pictures": 2, "crop": 20},
        "data": {"held_out": 0.2},
        "stage": {"patch": 16, "batch": 4, "optimizer": {"lr": 2e-3}, "schedule": {"name": "cosine"}, "ema": 0.9},
        "stages": list(stages),
        **sections,
    }
    return check_recipe(raw, "tiny")
