"""PSNR and SSIM as the super-resolution field prints them: on Y of BT.601, borders cropped, mean over pictures.

Every function takes one picture and its reference; a set's score is the mean of its pictures' scores, never the score
of all their pixels together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import OptionError
from rlfn.images.color import luminance

_SSIM_WINDOW = 11
_SSIM_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03


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
    if image.ndim != 2 or min(image.shape) < _SSIM_WINDOW:
        raise OptionError(
            f"SSIM was asked for an array of shape {image.shape}. "
            f"It needs one channel of at least {_SSIM_WINDOW} px a side."
        )
    x, y = image.astype(np.float64), reference.astype(np.float64)
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x * mean_x
    var_y = _blur(y * y) - mean_y * mean_y
    cov = _blur(x * y) - mean_x * mean_y
    top = (2.0 * mean_x * mean_y + c1) * (2.0 * cov + c2)
    bottom = (mean_x * mean_x + mean_y * mean_y + c1) * (var_x + var_y + c2)
    return float(np.mean(top / bottom))


def score_y(image: NDArray[Any], reference: NDArray[Any], border: int) -> Score:
    """Score a uint8 picture against its reference on Y, with ``border`` px cropped from each side.

    Args:
        image: (H, W) or (H, W, 3), uint8: rounded before it is measured, as a file would hold it.
        reference: the same height and width; gray counts as RGB with equal channels.
        border: px cropped from each side; the field crops as many as the scale.

    Raises:
        OptionError: the sizes differ, or nothing is left to measure.
    """
    if image.shape[:2] != reference.shape[:2]:
        raise _different(image.shape, reference.shape)
    if border < 0 or min(image.shape[:2]) - 2 * border < _SSIM_WINDOW:
        raise OptionError(
            f"A border of {border} px leaves too little of a picture of {image.shape[1]}x{image.shape[0]}. "
            f"At least {_SSIM_WINDOW} px a side must remain."
        )
    inner = np.s_[border : image.shape[0] - border, border : image.shape[1] - border]
    x, y = luminance(image[inner]), luminance(reference[inner])
    return Score(psnr(x, y), ssim(x, y))


def _blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Filter with the separable Gaussian window, keeping the valid region."""
    x = np.arange(_SSIM_WINDOW) - (_SSIM_WINDOW - 1) / 2.0
    window = np.exp(-(x * x) / (2.0 * _SSIM_SIGMA**2))
    window /= window.sum()
    rows = image.shape[0] - _SSIM_WINDOW + 1
    columns = image.shape[1] - _SSIM_WINDOW + 1
    tall = sum(w * image[k : k + rows] for k, w in enumerate(window))
    return np.asarray(sum(w * np.asarray(tall)[:, k : k + columns] for k, w in enumerate(window)))


def _same_shape(image: NDArray[Any], reference: NDArray[Any]) -> None:
    if image.shape != reference.shape:
        raise _different(image.shape, reference.shape)


def _different(given: tuple[int, ...], wanted: tuple[int, ...]) -> OptionError:
    return OptionError(
        f"A picture of shape {given} was compared with one of shape {wanted}. Their sizes must be equal."
    )
