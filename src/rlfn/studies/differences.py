"""What a layer answers to a picture and its blurred copy: the map, and numbers that say where it is strong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rlfn.errors import DataError

CELL = 16
"""px a side of the cells that layout is measured on: those of VGG-19's 13th convolution."""

STRONGEST = 0.1
"""The share of the pixels that count as edges and texture."""

_LARGEST = 512  # px a side of a crop
_LUMA = (0.299, 0.587, 0.114)


class Numbers(NamedTuple):
    """One layer on one picture.

    Attributes:
        strength: the mean of the map divided by the number of channels.
        relative: that divided by the mean of |F| on the sharp picture.
        edges: the correlation of the map, upsampled to the picture, with the length of the gradient.
        share: the part of the map's sum on the pixels with the strongest gradient, :data:`STRONGEST` of all.
        layout: the correlation of map and gradient after averaging both over cells of :data:`CELL` px.
    """

    strength: float
    relative: float
    edges: float
    share: float
    layout: float


def crop_alike(pictures: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
    """Cut the centre out of every picture, all of one size: (1, 3, H, W) in [0, 1], the sides multiples of 16 px.

    Raises:
        DataError: a picture has a side below 32 px.
    """
    least = [min(min(picture.shape[axis] for picture in pictures), _LARGEST) for axis in (0, 1)]
    height, width = (side // CELL * CELL for side in least)
    if min(height, width) < 2 * CELL:
        raise DataError(f"A picture of the set has a side of {min(least)} px. Maps need {2 * CELL} px a side at least.")
    found = []
    for picture in pictures:
        top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
        crop = np.ascontiguousarray(picture[top : top + height, left : left + width].transpose(2, 0, 1))
        found.append(torch.from_numpy(crop)[None].float() / 255.0)
    return found


def blur(image: Tensor, sigma: float) -> Tensor:
    """Blur (N, C, H, W) by a Gaussian cut at 4 sigma px, the picture mirrored at its borders; sigma 0 changes nothing.

    >>> float(blur(torch.ones(1, 3, 40, 40), 2.0).sub(1.0).abs().max()) < 1e-6
    True
    """
    reach = math.ceil(4.0 * sigma)
    if reach == 0:
        return image
    weights = torch.exp(-(torch.arange(-reach, reach + 1).float() ** 2) / (2.0 * sigma**2))
    kernel = (weights / weights.sum()).expand(image.shape[1], 1, 1, -1)
    padded = F.pad(image, (reach,) * 4, mode="reflect")
    groups = image.shape[1]
    return F.conv2d(F.conv2d(padded, kernel, groups=groups), kernel.transpose(2, 3), groups=groups)


def difference_map(first: Tensor, second: Tensor) -> Tensor:
    """Return the sum over the channels of |first - second|: (N, 1, h, w) from two of (N, C, h, w)."""
    return (first - second).abs().sum(1, keepdim=True)


def gradient_magnitude(image: Tensor) -> Tensor:
    """Return the length of the gradient of the luma of (N, 3, H, W), by central differences: (N, 1, H, W)."""
    luma = (image * torch.tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    down, right = torch.gradient(luma, dim=(2, 3))
    return torch.hypot(down, right)


def correlation(first: Tensor, second: Tensor) -> float:
    """Return Pearson's correlation of two maps of one size; 0 if one of them is constant."""
    a, b = (each.flatten().double() - each.double().mean() for each in (first, second))
    norm = float(a.norm() * b.norm())
    return float(a @ b) / norm if norm > 0.0 else 0.0


def numbers(features: Tensor, found: Tensor, gradient: Tensor) -> Numbers:
    """Return the numbers of one layer.

    Args:
        features: (1, C, h, w) of the sharp picture.
        found: its difference map, (1, 1, h, w).
        gradient: (1, 1, H, W) of the sharp picture.
    """
    strength = float(found.mean()) / features.shape[1]
    activation = float(features.abs().mean())
    wide = F.interpolate(found, gradient.shape[2:], mode="bilinear", align_corners=False)
    strongest = gradient.flatten().topk(round(STRONGEST * gradient.numel())).indices
    total = float(wide.sum())
    return Numbers(
        strength=strength,
        relative=strength / activation if activation > 0.0 else 0.0,
        edges=correlation(wide, gradient),
        share=float(wide.flatten()[strongest].sum()) / total if total > 0.0 else 0.0,
        layout=correlation(F.avg_pool2d(wide, CELL), F.avg_pool2d(gradient, CELL)),
    )
