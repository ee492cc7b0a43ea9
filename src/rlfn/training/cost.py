"""The cost of a recipe, for ``rlfn train --dry-run``: counted in multiply-adds, and timed with one step."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from rlfn.data.store import DataSource, PictureStore, open_pictures
from rlfn.networks.build import ARCHITECTURES, build
from rlfn.networks.counting import count
from rlfn.training.recipe import Recipe, Stage
from rlfn.wording import duration

_BACKWARD = 3  # a step costs about three forward passes
_PROBE_PIXELS = 4_096


@dataclass(frozen=True)
class StageCost:
    """Of one stage: LR px, multiply-adds of forward and backward, and seconds on this machine."""

    pixels: float
    multiply_adds: float
    seconds: float


def pixels_a_second(network: nn.Module, side: int) -> float:
    """Return the LR px a second of forward and backward passes on this machine's CPU, timed briefly."""
    samples = max(1, _PROBE_PIXELS // side**2)
    lr = torch.rand(samples, 3, side, side)
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        network(lr).abs().mean().backward()
        best = min(best, time.perf_counter() - began)
    return samples * side**2 / best


def estimate(recipe: Recipe) -> list[StageCost]:
    """Return the cost of every stage."""
    side = max(64, ARCHITECTURES[recipe.network.architecture].min_side)
    network = build(recipe.network, recipe.scale).train()
    each = count(network, side, side).multiply_adds / side**2
    speed = pixels_a_second(network, side)
    return [_stage(stage, recipe.scale, each, speed) for stage in recipe.stages]


def amount(number: float) -> str:
    """Write a large number for people, with a prefix of the SI.

    >>> amount(40_960.0), amount(1.5e12)
    ('41.0 k', '1.5 T')
    """
    prefixes = ("k", "M", "G", "T", "P", "E")
    for power in range(len(prefixes), 0, -1):
        if number >= 1000.0**power:
            return f"{number / 1000.0**power:,.1f} {prefixes[power - 1]}"
    return f"{number:.0f}"


def describe_pictures(recipe: Recipe, pictures: PictureStore) -> str:
    """Return how much is trained on and how much is held out, in one line."""
    kept = pictures.split(recipe.data.held_out, "train")
    held = np.setdiff1d(pictures.split(0.0, "all"), kept)
    slow = " (decoded as they are drawn: a pack is faster)" if pictures.slow else ""
    return (
        f"{len(kept)} pictures with {pictures.pixels(kept) / 1e6:,.1f} M HR px of {pictures.label}{slow}; "
        f"held out: {len(held)} with {pictures.pixels(held) / 1e6:,.1f} M"
    )


def _stage(stage: Stage, scale: int, each: float, speed: float) -> StageCost:
    if stage.hours is not None:
        pixels, seconds = stage.hours * 3600.0 * speed, stage.hours * 3600.0
    else:
        bounds = [0.0, *(phase.at for phase in stage.phases), 1.0]
        pixels = 0.0
        for begin, end in itertools.pairwise(bounds):
            patch, batch = stage.sizes(begin, scale)
            pixels += (end - begin) * (stage.iterations or 0) * batch * patch**2
        seconds = pixels / speed
    return StageCost(pixels, pixels * each * _BACKWARD, seconds)


def describe(recipe: Recipe, data: Sequence[DataSource] = ()) -> str:
    """Return the resolved recipe as JSON, a line on its pictures if there are any, and one for each stage's cost."""
    lines = [recipe.model_dump_json(indent=2), ""]
    sources = tuple(data) or recipe.data.sources()
    if sources:
        lines.append(describe_pictures(recipe, open_pictures(sources)))
    costs = estimate(recipe)
    for number, cost in enumerate(costs):
        name = recipe.stages[number].name or f"stage {number + 1}"
        lines.append(
            f"{name}: {amount(cost.pixels)} LR px, {amount(cost.multiply_adds)} multiply-adds, "
            f"about {duration(cost.seconds)} on this machine's CPU (network alone)"
        )
    total = sum(cost.seconds for cost in costs)
    lines.append(f"all: about {duration(total)}; recipe {recipe.hash()[:12]}")
    return "\n".join(lines)
