"""Transparency without fringes.

The colour under transparent pixels is arbitrary, often black. A network, or any filter, would mix it into the visible
edge. So before upscaling, that colour is replaced by the colour of the nearest visible pixels; the alpha channel is
upscaled by itself and kept within its neighbourhood's range, so that opaque stays opaque and transparent transparent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TRUST = 8.0  # a pixel of an eighth of full opacity or more keeps its own colour


def fill_transparent(rgb: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Replace the colour of transparent pixels by that of their visible surroundings (a pull-push pyramid).

    Args:
        rgb: (H, W, 3), uint8 or uint16.
        alpha: (H, W), the same kind; 0 is transparent.

    Returns:
        (H, W, 3) of the same kind; visible pixels are unchanged. A picture with nothing visible is returned as it is.
    """
    if not alpha.any():
        return rgb
    peak = float(np.iinfo(alpha.dtype).max)
    weight = np.minimum(alpha.astype(np.float32) * (_TRUST / peak), 1.0)
    filled = _fill(rgb.astype(np.float32), weight)
    keep = weight[:, :, None] == 1.0
    return np.where(keep, rgb, np.rint(filled).astype(rgb.dtype))


def limit_alpha(upscaled: NDArray[Any], alpha: NDArray[Any], scale: int) -> NDArray[Any]:
    """Keep an upscaled alpha channel within the range of its 3x3 source neighbourhood.

    Args:
        upscaled: (sH, sW).
        alpha: (H, W), its source.
        scale: s.
    """
    low, high = (_neighbourhood(alpha, pick) for pick in (np.minimum, np.maximum))
    for bound, clip in ((low, np.maximum), (high, np.minimum)):
        wide = np.repeat(np.repeat(bound, scale, axis=0), scale, axis=1)
        upscaled = clip(upscaled, wide)
    return upscaled


def _fill(color: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blend each pixel with the weighted mean of its surroundings, coarser where less is visible."""
    height, width = weight.shape
    if weight.min() >= 1.0 or (height, width) == (1, 1):
        return color
    odd = ((0, height % 2), (0, width % 2))
    w = np.pad(weight, odd).reshape((height + 1) // 2, 2, (width + 1) // 2, 2)
    c = np.pad(color, (*odd, (0, 0))).reshape(*w.shape, 3)
    total = w.sum(axis=(1, 3))
    mean = (c * w[..., None]).sum(axis=(1, 3)) / np.maximum(total, 1e-12)[..., None]
    coarse = _fill(mean, np.minimum(total, 1.0))
    wide = np.repeat(np.repeat(coarse, 2, axis=0), 2, axis=1)[:height, :width]
    blended: NDArray[np.float32] = weight[..., None] * color + (1.0 - weight[..., None]) * wide
    return blended


def _neighbourhood(alpha: NDArray[Any], pick: np.ufunc) -> NDArray[Any]:
    """Return the minimum or maximum of each pixel's 3x3 neighbourhood."""
    padded = np.pad(alpha, 1, mode="edge")
    rows = pick(pick(padded[:-2], padded[1:-1]), padded[2:])
    return np.asarray(pick(pick(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]))
