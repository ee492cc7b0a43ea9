"""Losses between two batches of pictures, as functions of tensors in [0, 1].

A new loss of two pictures is one function here and one entry of :data:`PIXEL_LOSSES`; recipes then know its name. The
contrastive loss and distillation need more than two pictures and are put together in :mod:`rlfn.training.objective`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from rlfn.errors import OptionError
from rlfn.images.resize import axis_taps

_CHARBONNIER_EPS = 1e-3
_RATIO_EPS = 1e-7
_WINDOW, _WINDOW_SIGMA = 11, 1.5
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


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

    Real and imaginary parts are compared separately, in float32 whatever the precision (Cho et al., 2021, equation 7).
    """
    difference = torch.fft.rfft2(sr.float() - hr.float(), norm="ortho")
    return torch.view_as_real(difference).abs().mean()


def ms_ssim(sr: Tensor, hr: Tensor) -> Tensor:
    """Return 1 - MS-SSIM of two (N, 3, H, W) batches in [0, 1] (Wang, Simoncelli & Bovik, 2003), in float32.

    A Gaussian window of 11 px with sigma 1.5, its valid region, on each channel. As many of the five scales are taken
    as leave 11 px a side, with their published weights divided by the weights' sum.

    Raises:
        OptionError: the patches have fewer than 11 px a side.
    """
    side = min(sr.shape[2:])
    if side < _WINDOW:
        raise OptionError(f"The loss ms-ssim needs HR patches of at least {_WINDOW} px a side, not {side}.")
    count = min(len(_SCALE_WEIGHTS), (side // _WINDOW).bit_length())
    weights = [weight / sum(_SCALE_WEIGHTS[:count]) for weight in _SCALE_WEIGHTS[:count]]
    x, y = sr.float(), hr.float()
    product: Tensor | float = 1.0
    for number, weight in enumerate(weights, 1):
        luminance, contrast = _ssim_terms(x, y)
        term = luminance * contrast if number == count else contrast
        product = product * term.mean(dim=(2, 3)).clamp(min=1e-6) ** weight
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    assert isinstance(product, Tensor)
    return 1.0 - product.mean()


def _ssim_terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return SSIM's comparisons of luminance, and of contrast and structure, at each position."""
    places = torch.arange(_WINDOW, device=x.device, dtype=torch.float32) - _WINDOW // 2
    line = torch.exp(-0.5 * (places / _WINDOW_SIGMA) ** 2)
    line = line / line.sum()
    stacked = torch.cat([x, y, x * x, y * y, x * y])
    flat = stacked.flatten(0, 1)[:, None]
    blurred = F.conv2d(F.conv2d(flat, line[None, None, :, None]), line[None, None, None, :])
    mean_x, mean_y, xx, yy, xy = blurred.reshape(5, *x.shape[:2], *blurred.shape[2:])
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    contrast = (2 * (xy - mean_x * mean_y) + c2) / (xx - mean_x**2 + yy - mean_y**2 + c2)
    return luminance, contrast


PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "charbonnier": charbonnier,
    "fourier": fourier,
    "l1": l1,
    "ms-ssim": ms_ssim,
    "mse": mse,
}
"""Every loss of two pictures by the name that recipes use: (sr, hr) to a scalar."""


Ratio = Literal["sample", "batch"]
"""The contrastive loss's form: see :func:`contrastive`."""


def contrastive(
    anchor: Sequence[Tensor],
    positive: Sequence[Tensor],
    negative: Sequence[Tensor],
    weights: Sequence[float],
    ratio: Ratio = "sample",
) -> Tensor:
    """Return the sum over layers j of weights_j d(anchor_j, positive_j) / d(anchor_j, negative_j).

    The contrastive loss of the paper (arXiv 2205.07514): SR is pulled to HR and pushed away from bicubic LR. The
    denominator is guarded by 1e-7.

    - ``sample``: d is the mean absolute difference of one sample's features; the ratio is averaged over the batch, so
      any split of a batch over devices gives the same mean.
    - ``batch``: d is the mean over the batch on all devices, as in AECR-Net and CSD, from which the loss comes; its
      value and, averaged over the devices, its gradient are those of one device that has the whole batch. A batch that
      goes through in parts (``accumulate``) gives a ratio for each part.

    Args:
        anchor: features of SR, one (N, C, H, W) tensor a layer.
        positive: features of HR, of the same shapes.
        negative: features of the bicubic LR, of the same shapes.
        weights: one a layer.
        ratio: the form.
    """
    total = anchor[0].new_zeros((), dtype=torch.float32)
    for a, p, n, weight in zip(anchor, positive, negative, weights, strict=True):
        near = (a - p).abs().flatten(1).mean(1, dtype=torch.float32)
        far = (a - n).abs().flatten(1).mean(1, dtype=torch.float32)
        found = (near / (far + _RATIO_EPS)).mean() if ratio == "sample" else _over_devices(near.mean(), far.mean())
        total = total + weight * found
    return total


def _over_devices(near: Tensor, far: Tensor) -> Tensor:
    """Return the ratio of two means over all devices, with this device's share of the ratio's gradient."""
    means = torch.stack([near.detach(), far.detach()])
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(means)
        means = means / torch.distributed.get_world_size()
    below = means[1] + _RATIO_EPS
    found = means[0] / below
    share = (near - found * far) / below  # the differential of near / far at the means
    return found + (share - share.detach())


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
