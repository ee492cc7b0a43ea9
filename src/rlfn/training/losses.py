"""Losses between two batches of pictures, as functions of tensors in [0, 1].

A new loss of two pictures is one function here and one entry of :data:`PIXEL_LOSSES`; recipes then know its name. The
contrastive loss and distillation need more than two pictures and are put together in :mod:`rlfn.training.objective`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from rlfn.images.resize import axis_taps

_CHARBONNIER_EPS = 1e-3
_RATIO_EPS = 1e-7


def l1(sr: Tensor, hr: Tensor) -> Tensor:
    """Return the mean absolute difference of two (N, 3, H, W) batches in [0, 1] (the paper's loss)."""
    return (sr - hr).abs().mean()


def mse(sr: Tensor, hr: Tensor) -> Tensor:
    """Return the mean squared difference of two (N, 3, H, W) batches in [0, 1]."""
    return (sr - hr).square().mean()


def charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """Return the mean of sqrt(d^2 + 1e-6) over two (N, 3, H, W) batches in [0, 1] (Lai et al., 2017)."""
    return (sr - hr).square().add(_CHARBONNIER_EPS**2).sqrt().mean()


def fourier(sr: Tensor, hr: Tensor) -> Tensor:
    """Return the mean absolute difference of the orthonormal 2-D spectra of two (N, 3, H, W) batches in [0, 1].

    Real and imaginary parts are compared apart, in float32 whatever the precision (Cho et al., 2021, equation 7).
    """
    difference = torch.fft.rfft2(sr.float() - hr.float(), norm="ortho")
    return torch.view_as_real(difference).abs().mean()


PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "charbonnier": charbonnier,
    "fourier": fourier,
    "l1": l1,
    "mse": mse,
}
"""Every loss of two pictures by the name that recipes use: (sr, hr) to a scalar."""


def contrastive(
    anchor: Sequence[Tensor], positive: Sequence[Tensor], negative: Sequence[Tensor], weights: Sequence[float]
) -> Tensor:
    """Return the sum over layers j of weights_j d(anchor_j, positive_j) / d(anchor_j, negative_j).

    The contrastive loss of the paper (arXiv 2205.07514): SR is pulled to HR and pushed away from bicubic LR.

    d is the mean absolute difference of one sample's features; the ratio is averaged over the batch, so any split of a
    batch over devices gives the same mean. The denominator is guarded by 1e-7.

    Args:
        anchor: features of SR, one (N, C, H, W) tensor a layer.
        positive: features of HR, of the same shapes.
        negative: features of the bicubic LR, of the same shapes.
        weights: one a layer.
    """
    total = anchor[0].new_zeros((), dtype=torch.float32)
    for a, p, n, weight in zip(anchor, positive, negative, weights, strict=True):
        near = (a - p).abs().flatten(1).mean(1, dtype=torch.float32)
        far = (a - n).abs().flatten(1).mean(1, dtype=torch.float32)
        total = total + weight * (near / (far + _RATIO_EPS)).mean()
    return total


@lru_cache(maxsize=32)
def _interpolation(length: int, scale: int) -> Tensor:
    """Return the matrix (length * scale, length) of MATLAB's bicubic enlargement along one axis."""
    taps = axis_taps(length, length * scale, scale)
    matrix = torch.zeros(length * scale, length, dtype=torch.float64)
    rows = torch.arange(length * scale).expand(taps.index.shape)
    matrix.index_put_((rows, torch.from_numpy(taps.index)), torch.from_numpy(taps.weight), accumulate=True)
    return matrix.float()


def bicubic_up(lr: Tensor, scale: int) -> Tensor:
    """Enlarge (N, 3, H, W) by ``scale`` with MATLAB's bicubic kernel and borders; nothing is rounded or clipped."""
    rows = _interpolation(lr.shape[2], scale).to(lr.device, lr.dtype)
    columns = _interpolation(lr.shape[3], scale).to(lr.device, lr.dtype)
    return rows @ lr @ columns.transpose(0, 1)
