"""A perceptual distance, for what PSNR does not see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rlfn.evaluation.sets import find_set, read_pair
from rlfn.inference.upscaler import Upscaler
from rlfn.studies.comparison import Comparison
from rlfn.studies.report import Cell
from rlfn.training.extractors import VGG19


def vgg19_distance(network: VGG19, sr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> float:
    """Return the distance of two pictures (H, W, 3) in VGG-19's features; 0 where they are equal.

    The perceptual loss of Johnson et al. (2016) with the mean absolute difference, averaged over the convolutions 1,
    3, 5, 9 and 13, each divided by the mean of the HR picture's features so that deep layers count as much.
    """
    with torch.no_grad():
        ours, theirs = (
            network(torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].float().div_(255.0))
            for picture in (sr, hr)
        )
    parts = [float((a - b).abs().mean() / b.abs().mean()) for a, b in zip(ours, theirs, strict=True)]
    return float(np.mean(parts))


def distance_column(comparison: Comparison, weights: Path | None) -> dict[str, Cell]:
    """Return the mean :func:`vgg19_distance` on the first set of every row's seeds; empty without the weights.

    Args:
        comparison: the rows.
        weights: torchvision's VGG-19 file.
    """
    if weights is None or not comparison.sets:
        return {}
    network = VGG19(nn.ReLU)
    network.load(weights)
    network.eval().requires_grad_(False)
    scale = comparison.measured.scale
    found = find_set(comparison.measured.sets[0], scale, comparison.request.sets_dir)
    samples = [read_pair(pair, scale) for pair in found.pairs]
    column: dict[str, Cell] = {}
    for row in comparison.rows:
        if row.training is None:
            continue
        values = []
        for seed in range(comparison.request.seeds):
            upscaler = Upscaler(str(comparison.plan.model(row.training, seed)), engine="torch", threads=None, tile=0)
            each = [vgg19_distance(network, upscaler(sample.lr), sample.hr) for sample in samples]
            values.append(float(np.mean(each)))
        column[row.label] = tuple(values)
    return column
