"""Validation during a run: PSNR and SSIM on Y over a few fixed pictures of one or more sets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rlfn.atomic import make_folder
from rlfn.data.crops import sample_stream
from rlfn.data.pictures import write_rgb
from rlfn.data.store import PictureStore
from rlfn.errors import DataError
from rlfn.evaluation.metrics import SSIM_WINDOW, Score, score_y
from rlfn.evaluation.sets import Sample, find_set, read_pair
from rlfn.networks.build import ARCHITECTURES
from rlfn.training.recipe import HELD_OUT, Recipe
from rlfn.training.stages import run_network, trained_range


@dataclass(frozen=True)
class ValidationSet:
    """Fixed pictures: ``lr`` of (h, w, 3) and ``hr`` of (h scale, w scale, 3), uint8 RGB."""

    name: str
    samples: tuple[Sample, ...]


class Validator:
    """Scores networks on fixed pictures.

    Args:
        sets: the pictures; the first set is the one by which weights are compared.
        scale: the upscaling factor; as many px are cropped from each border.
        save: how many results of each set are kept for :meth:`write`.
    """

    def __init__(self, sets: Sequence[ValidationSet], scale: int, save: int = 0) -> None:
        self.sets = tuple(sets)
        self.scale = scale
        self.save = save
        self.results: dict[str, NDArray[np.uint8]] = {}

    @property
    def measured_on(self) -> str:
        """What the first set is, as text: its name, its number of pictures and their pixels; scores compare within."""
        first = self.sets[0]
        return f"{first.name}: {len(first.samples)} pictures, {sum(each.hr[..., 0].size for each in first.samples)} px"

    def score(self, network: nn.Module) -> dict[str, Score]:
        """Return the mean scores of a network as it is trained by set, and keep its first results in ``results``.

        The network is used in evaluation mode, on the device where it is.
        """
        device = next(network.parameters()).device
        was_training = network.training
        network.eval()
        found = {}
        self.results = {}
        for each in self.sets:
            scores = []
            for number, sample in enumerate(each.samples):
                sr = upscale(network, sample.lr, device)
                scores.append(score_y(sr, sample.hr, self.scale))
                if number < max(1, self.save):
                    self.results[f"{each.name}/{sample.name}"] = sr
            psnr, ssim = (float(np.mean([getattr(score, key) for score in scores])) for key in ("psnr", "ssim"))
            found[each.name] = Score(psnr, ssim)
        network.train(was_training)
        return found

    def write(self, folder: Path) -> None:
        """Write the saved results as ``folder/SET/PICTURE.png``."""
        for name, sr in self.results.items() if self.save else ():
            path = folder / f"{name}.png"
            make_folder(path.parent)
            write_rgb(path, sr)


@torch.no_grad()
def upscale(network: nn.Module, lr: NDArray[np.uint8], device: torch.device) -> NDArray[np.uint8]:
    """Return the uint8 image (H, W, 3) that a network as it is trained makes of ``lr`` (h, w, 3)."""
    x = torch.from_numpy(lr.transpose(2, 0, 1).copy(order="C")).to(device)
    y = run_network(network, x[None].float().div_(255.0), trained_range(network))[0]
    levels = y.float().mul(255.0).round_().clamp_(0.0, 255.0).to(torch.uint8)
    return levels.permute(1, 2, 0).cpu().numpy()


def make_validator(recipe: Recipe, pictures: PictureStore) -> Validator | None:
    """Choose the fixed pictures that a recipe's ``validation`` asks for; None where it asks for none.

    Held-out pictures are degraded as the recipe degrades those that are trained on, each the same way in every run.

    Raises:
        DataError: there is no such set or folder, or it has no pictures.
    """
    options = recipe.validation
    sets = []
    for which in options.sets:
        if which == HELD_OUT:
            indices = _spread(pictures.split(recipe.data.held_out, "held-out"), options.pictures)
            sets.append(ValidationSet(HELD_OUT, tuple(_held_out(recipe, pictures, indices))))
        else:
            found = find_set(which, recipe.scale)
            samples = [read_pair(pair, recipe.scale) for pair in _spread(found.pairs, options.pictures)]
            sets.append(ValidationSet(found.name, tuple(samples)))
    for each in sets:
        _check_sizes(each, recipe)
    return Validator(sets, recipe.scale, options.save) if sets else None


def _check_sizes(given: ValidationSet, recipe: Recipe) -> None:
    """Refuse pictures that the network does not take, or of which nothing is left to measure, before any training.

    Raises:
        DataError: there is one; the message names it.
    """
    scale, crop = recipe.scale, recipe.validation.crop
    least = max(ARCHITECTURES[recipe.network.architecture].min_side, math.ceil((SSIM_WINDOW + 2 * scale) / scale))
    for sample in given.samples:
        height, width = sample.lr.shape[:2]
        if min(height, width) < least:
            cut = f" after the cut to validation.crop = {crop}" if crop and crop in (height, width) else ""
            raise DataError(
                f"{given.name}: {sample.name} is {width}x{height} px{cut}, too small to validate with: "
                f"{recipe.network.name} at x{scale} takes {least} px a side or more. Leave it out, or take larger ones."
            )


def _held_out(recipe: Recipe, pictures: PictureStore, indices: Any) -> Iterator[Sample]:
    """Give the centre crops of held-out pictures."""
    scale, crop = recipe.scale, recipe.validation.crop
    degradation = recipe.data.make_degradation()
    for index in map(int, indices):
        hr = pictures.hr(index)
        height, width = hr.shape[0] // scale, hr.shape[1] // scale
        rows, columns = (min(crop, side) if crop else side for side in (height, width))
        top, left = (height - rows) // 2, (width - columns) // 2
        big = hr[top * scale : (top + rows) * scale, left * scale : (left + columns) * scale]
        if degradation.packed:
            lr = pictures.lr(index, scale)[top : top + rows, left : left + columns]
        else:
            lr = degradation.apply(np.ascontiguousarray(big), scale, sample_stream(0, 0, index))
        yield Sample(Path(pictures.names[index]).stem, lr, big)


def _spread(items: Any, count: int) -> Any:
    """Return at most ``count`` of ``items``, evenly spaced."""
    step = max(1.0, len(items) / count)
    return [items[int(number * step)] for number in range(min(count, len(items)))]
