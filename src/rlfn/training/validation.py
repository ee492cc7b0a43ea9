"""Watching a run: PSNR and SSIM on Y over a few fixed pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rlfn.evaluation.metrics import Score, score_y
from rlfn.evaluation.sets import find_set, read_pair
from rlfn.training.degradations import make_degradation
from rlfn.training.pack import Pack
from rlfn.training.recipe import Recipe
from rlfn.training.sampling import sample_stream
from rlfn.training.stages import run_network, trained_range

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class Validator:
    """Scores networks on fixed pairs of pictures.

    Args:
        pairs: (lr, hr), uint8 RGB of (h, w, 3) and (h scale, w scale, 3).
        scale: the upscaling factor; as many px are cropped from each border.
    """

    def __init__(self, pairs: list[Pair], scale: int) -> None:
        self.pairs = pairs
        self.scale = scale

    def score(self, network: nn.Module) -> tuple[Score, NDArray[np.uint8]]:
        """Return the mean scores of a network as it is trained, and its answer to the first picture.

        The network is used in evaluation mode, on the device where it is.
        """
        device = next(network.parameters()).device
        was_training = network.training
        network.eval()
        scores, first = [], None
        for lr, hr in self.pairs:
            sr = upscale(network, lr, device)
            first = sr if first is None else first
            scores.append(score_y(sr, hr, self.scale))
        network.train(was_training)
        assert first is not None
        psnr, ssim = (float(np.mean([getattr(score, key) for score in scores])) for key in ("psnr", "ssim"))
        return Score(psnr, ssim), first


@torch.no_grad()
def upscale(network: nn.Module, lr: NDArray[np.uint8], device: torch.device) -> NDArray[np.uint8]:
    """Return the uint8 picture (H, W, 3) that a network as it is trained makes of ``lr`` (h, w, 3)."""
    x = torch.from_numpy(np.ascontiguousarray(lr.transpose(2, 0, 1))).to(device)
    y = run_network(network, x[None].float().div_(255.0), trained_range(network))[0]
    levels = y.float().mul(255.0).round_().clamp_(0.0, 255.0).to(torch.uint8)
    return levels.permute(1, 2, 0).cpu().numpy()


def make_validator(recipe: Recipe, pack: Pack) -> Validator | None:
    """Choose the fixed pictures that a recipe's ``validation`` asks for; None where nothing is held out.

    Held-out pictures are degraded as the recipe degrades those that are trained on, each the same way in every run.

    Raises:
        DataError: there is no such set or folder, or it has no pictures.
    """
    options = recipe.validation
    degradation = make_degradation(recipe.data.degradation, recipe.data.degradation_settings)
    if options.on != "held-out":
        return Validator(_from_set(options.on, recipe.scale, options.pictures), recipe.scale)
    if recipe.data.held_out == 0.0:
        return None
    indices = _spread(pack.split(recipe.data.held_out, "held-out"), options.pictures)
    pairs = []
    for index in indices:
        lr, hr = pack.lr(int(index), recipe.scale), pack.hr(int(index))
        hr = hr[: lr.shape[0] * recipe.scale, : lr.shape[1] * recipe.scale]
        lr, hr = _centre(lr, hr, options.crop, recipe.scale)
        if not degradation.packed:
            lr = degradation.apply(np.ascontiguousarray(hr), recipe.scale, sample_stream(0, 0, int(index)))
        pairs.append((lr, hr))
    return Validator(pairs, recipe.scale)


def _spread(items: Any, count: int) -> Any:
    """Return at most ``count`` of ``items``, evenly spaced."""
    step = max(1.0, len(items) / count)
    return [items[int(number * step)] for number in range(min(count, len(items)))]


def _centre(lr: NDArray[np.uint8], hr: NDArray[np.uint8], crop: int, scale: int) -> Pair:
    if crop == 0:
        return lr, hr
    height, width = min(crop, lr.shape[0]), min(crop, lr.shape[1])
    top, left = (lr.shape[0] - height) // 2, (lr.shape[1] - width) // 2
    big = np.s_[top * scale : (top + height) * scale, left * scale : (left + width) * scale]
    return lr[top : top + height, left : left + width], hr[big]


def _from_set(which: str, scale: int, count: int) -> list[Pair]:
    samples = [read_pair(pair, scale) for pair in _spread(find_set(which, scale).pairs, count)]
    return [(sample.lr, sample.hr) for sample in samples]
