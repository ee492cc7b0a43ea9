"""Colour conversions of the super-resolution field."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# ITU-R BT.601, full-range RGB to limited-range Y, as MATLAB's rgb2ycbcr defines it
_Y_WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255.0
_Y_OFFSET = 16.0

_LUMA = np.array([0.299, 0.587, 0.114])


def luminance(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the Y channel on which the field measures PSNR and SSIM.

    Args:
        image: (H, W) gray, taken as RGB with equal channels, or (H, W, 3) RGB; values in [0, 255].

    Returns:
        (H, W) float64 in [16, 235]: BT.601, not rounded.
    """
    if image.ndim == 2:
        return np.asarray(image.astype(np.float64) * _Y_WEIGHTS.sum() + _Y_OFFSET)
    return np.asarray(image.astype(np.float64) @ _Y_WEIGHTS + _Y_OFFSET)


def to_rgb(image: NDArray[Any]) -> NDArray[Any]:
    """Repeat a gray picture (H, W) in three channels; return an (H, W, 3) picture as it is."""
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def to_gray(image: NDArray[Any]) -> NDArray[Any]:
    """Return the full-range BT.601 luma (H, W) of an (H, W, 3) float picture, in the same range."""
    return np.asarray(image @ _LUMA.astype(image.dtype))


def over_white(image: NDArray[Any]) -> NDArray[Any]:
    """Lay an (H, W, 4) integer picture over white; return (H, W, 3) of its type, rounded half up."""
    top = int(np.iinfo(image.dtype).max)
    alpha = image[:, :, 3:].astype(np.uint64)
    mixed = image[:, :, :3] * alpha + np.uint64(top) * (np.uint64(top) - alpha)
    return np.asarray(((2 * mixed + np.uint64(top)) // np.uint64(2 * top)).astype(image.dtype))
