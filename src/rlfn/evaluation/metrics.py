"""PSNR and SSIM as reported in super-resolution papers: on Y of BT.601, borders cropped, mean over pictures.

Every function takes one picture and its reference; a set's score is the mean of its pictures' scores, never the score
of all pixels pooled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import OptionError
from rlfn.images.color import luminance, to_rgb

SSIM_WINDOW = 11
_SSIM_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03
_BLOCK = 16


@dataclass(frozen=True)
class Score:
    """PSNR in dB and SSIM of one picture, or the means of a set."""

    psnr: float
    ssim: float


def psnr(image: NDArray[Any], reference: NDArray[Any], data_range: float = 255.0) -> float:
    """Return the peak signal-to-noise ratio in dB over all samples; infinite for equal pictures.

    Args:
        image: any shape, values in [0, ``data_range``].
        reference: the same shape and range.
        data_range: the peak value.

    Raises:
        OptionError: the shapes differ.

    >>> import numpy as np
    >>> round(psnr(np.full((4, 4), 100), np.full((4, 4), 110)), 4)
    28.1308
    """
    _same_shape(image, reference)
    error = image.astype(np.float64) - reference.astype(np.float64)
    mse = float(np.mean(error * error))
    return math.inf if mse == 0.0 else 10.0 * math.log10(data_range * data_range / mse)


def ssim(image: NDArray[Any], reference: NDArray[Any], data_range: float = 255.0) -> float:
    """Return the structural similarity of two single-channel pictures.

    The original definition (Wang et al., 2004): Gaussian window of 11 px and sigma 1.5, the valid region only,
    K1 = 0.01, K2 = 0.03, covariances normalised by the window's sum (not n - 1).

    Args:
        image: (H, W), at least 11 px a side.
        reference: the same shape and range.
        data_range: the peak value.

    Raises:
        OptionError: the shapes differ, are not (H, W), or are smaller than the window.
    """
    _same_shape(image, reference)
    if image.ndim != 2 or min(image.shape) < SSIM_WINDOW:
        raise OptionError(
            f"SSIM cannot be computed for an array of shape {image.shape}. "
            f"It needs one channel of at least {SSIM_WINDOW} px a side."
        )
    rows, columns = (side - SSIM_WINDOW + 1 for side in image.shape)
    total = 0.0
    for start in range(0, rows, _BLOCK):
        stop = min(start + _BLOCK, rows) + SSIM_WINDOW - 1
        total += _ssim_sum(image[start:stop], reference[start:stop], data_range)
    return float(total / (rows * columns))


def score_y(image: NDArray[Any], reference: NDArray[Any], border: int) -> Score:
    """Score a uint8 picture against its reference on Y, with ``border`` px cropped from each side.

    Args:
        image: (H, W) or (H, W, 3), uint8: rounded before it is measured, as in a file.
        reference: the same height and width; gray counts as RGB with equal channels.
        border: px cropped from each side; by convention the scale.

    Raises:
        OptionError: the sizes differ, or nothing is left to measure.
    """
    inner = _inside(image, reference, border)
    x, y = luminance(image[inner]), luminance(reference[inner])
    return Score(psnr(x, y), ssim(x, y))


def score_rgb(image: NDArray[Any], reference: NDArray[Any], border: int) -> float:
    """Return the PSNR in dB over all three channels, as in the NTIRE challenges; arguments as for :func:`score_y`."""
    inner = _inside(image, reference, border)
    return psnr(to_rgb(image[inner]), to_rgb(reference[inner]))


def _inside(image: NDArray[Any], reference: NDArray[Any], border: int) -> tuple[slice, slice]:
    """Return the area to measure, after checking that it is not empty."""
    if image.shape[:2] != reference.shape[:2]:
        raise _different(image.shape, reference.shape)
    for array in (image, reference):
        if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
            raise OptionError(
                f"A picture to score was given as an array of {array.dtype} of shape {array.shape}. "
                "Allowed: uint8, (H, W) or (H, W, 3)."
            )
    if border < 0 or min(image.shape[:2]) - 2 * border < SSIM_WINDOW:
        raise OptionError(
            f"A border of {border} px leaves too little of a picture of {image.shape[1]}x{image.shape[0]}. "
            f"At least {SSIM_WINDOW} px a side must remain. Score a larger picture."
        )
    return np.s_[border : image.shape[0] - border, border : image.shape[1] - border]


def _ssim_sum(image: NDArray[Any], reference: NDArray[Any], data_range: float) -> float:
    """Return the sum of SSIM over the valid region of a band of at most 26 rows.

    The band is cut into blocks of 16 filtered columns. With small matrix products and maps that fit into the cache this
    is several times as fast as sums of shifted pictures.
    """
    height, width = image.shape
    columns = width - SSIM_WINDOW + 1
    blocks = math.ceil(columns / _BLOCK)
    maps = np.zeros((4, height, blocks * _BLOCK + SSIM_WINDOW - 1))
    x, y = maps[0, :, :width], maps[1, :, :width]
    x[...], y[...] = image, reference
    # only the sum of the two variances is needed, so four filtered maps are enough
    maps[2, :, :width] = x * y
    maps[3, :, :width] = x * x + y * y
    plane, row, sample = maps.strides
    views = np.lib.stride_tricks.as_strided(
        maps, (4, blocks, height, _BLOCK + SSIM_WINDOW - 1), (plane, _BLOCK * sample, row, sample), writeable=False
    )
    window = _window_matrix()
    rows = height - SSIM_WINDOW + 1
    mean_x, mean_y, cross, squares = window[:rows, :height] @ (views @ window.T)
    product = mean_x * mean_y
    both = mean_x * mean_x + mean_y * mean_y
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    index = (2.0 * product + c1) * (2.0 * (cross - product) + c2) / ((both + c1) * (squares - both + c2))
    return float(index[:-1].sum() + index[-1, :, : columns - (blocks - 1) * _BLOCK].sum())


@lru_cache(maxsize=1)
def _window_matrix() -> NDArray[np.float64]:
    """Return the matrix (16, 26) that computes 16 filtered samples from 26."""
    x = np.arange(SSIM_WINDOW) - (SSIM_WINDOW - 1) / 2.0
    window = np.exp(-(x * x) / (2.0 * _SSIM_SIGMA**2))
    window /= window.sum()
    matrix = np.zeros((_BLOCK, _BLOCK + SSIM_WINDOW - 1))
    for place in range(_BLOCK):
        matrix[place, place : place + SSIM_WINDOW] = window
    return matrix


def _same_shape(image: NDArray[Any], reference: NDArray[Any]) -> None:
    if image.shape != reference.shape:
        raise _different(image.shape, reference.shape)


def _different(given: tuple[int, ...], wanted: tuple[int, ...]) -> OptionError:
    return OptionError(
        f"A picture of shape {given} was compared with one of shape {wanted}. Their sizes must be equal."
    )
