"""Metrics against scikit-image's independent implementation, and their laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from rlfn.errors import OptionError
from rlfn.evaluation.metrics import psnr, score_rgb, score_y, ssim
from rlfn.images.color import luminance

# sides around the blocks of 16 filtered samples in which SSIM works
SIDES = st.integers(11, 60)


def noisy(height: int, width: int, seed: int, noise: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    smooth = np.cumsum(rng.normal(0, 4, (height, width, 3)), axis=1) + 128
    picture = np.clip(smooth, 0, 255).astype(np.uint8)
    other = np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
    return picture, other


def independent_ssim(x: NDArray[Any], y: NDArray[Any]) -> float:
    _, full = structural_similarity(
        x, y, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    return float(full[5:-5, 5:-5].mean())


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, st.integers(0, 2**32 - 1), st.floats(1.0, 60.0))
def test_psnr_and_ssim_equal_scikit_image(height: int, width: int, seed: int, noise: float) -> None:
    x, y = (luminance(picture) for picture in noisy(height, width, seed, noise))
    assert psnr(x, y) == pytest.approx(peak_signal_noise_ratio(x, y, data_range=255), abs=1e-6)
    assert ssim(x, y) == pytest.approx(independent_ssim(x, y), abs=1e-6)


def test_luminance_equals_scikit_image() -> None:
    picture, _ = noisy(20, 30, 1, 5.0)
    assert np.allclose(luminance(picture), rgb2ycbcr(picture)[:, :, 0], rtol=0, atol=1e-9)
    assert luminance(np.array([[0, 255]], np.uint8)).tolist() == [[16.0, pytest.approx(235.0)]]


def test_gray_counts_as_equal_channels() -> None:
    gray = noisy(20, 30, 2, 5.0)[0][:, :, 0]
    assert np.allclose(luminance(gray), luminance(np.dstack([gray] * 3)), rtol=0, atol=1e-9)


def test_score_y_crops_the_border_first() -> None:
    picture, other = noisy(40, 50, 3, 9.0)
    x, y = luminance(picture[4:-4, 4:-4]), luminance(other[4:-4, 4:-4])
    score = score_y(other, picture, border=4)
    assert score.psnr == pytest.approx(peak_signal_noise_ratio(x, y, data_range=255), abs=1e-9)
    assert score.ssim == pytest.approx(independent_ssim(x, y), abs=1e-9)
    other[:4] = 0
    other[:, -4:] = 255
    assert score_y(other, picture, border=4) == score


def test_score_rgb_is_the_mean_square_over_all_three_channels() -> None:
    picture, other = noisy(40, 50, 4, 9.0)
    wanted = peak_signal_noise_ratio(picture[2:-2, 2:-2], other[2:-2, 2:-2], data_range=255)
    assert score_rgb(other, picture, border=2) == pytest.approx(wanted, abs=1e-9)
    gray = picture[:, :, 0]
    assert score_rgb(gray, np.dstack([gray] * 3), border=2) == math.inf


def test_equal_pictures() -> None:
    picture, _ = noisy(30, 30, 5, 1.0)
    score = score_y(picture, picture, border=0)
    assert score.psnr == math.inf
    assert score.ssim == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(SIDES, SIDES, st.integers(0, 2**32 - 1))
def test_laws(height: int, width: int, seed: int) -> None:
    x, y = (luminance(picture) for picture in noisy(height, width, seed, 12.0))
    assert psnr(x, y) == psnr(y, x)
    assert ssim(x, y) == pytest.approx(ssim(y, x), abs=1e-12)
    assert -1.0 <= ssim(x, y) <= 1.0
    assert ssim(x[::-1], y[::-1]) == pytest.approx(ssim(x, y), abs=1e-9)
    assert ssim(x.T, y.T) == pytest.approx(ssim(x, y), abs=1e-9)
    # ten times the error is 20 dB less
    assert psnr(y + 10 * (x - y), y) == pytest.approx(psnr(x, y) - 20.0, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: psnr(np.zeros((4, 4)), np.zeros((4, 5))), r"\(4, 4\).*\(4, 5\)"),
        (lambda: ssim(np.zeros((10, 30)), np.zeros((10, 30))), "at least 11 px"),
        (lambda: ssim(np.zeros((30, 30, 3)), np.zeros((30, 30, 3))), "one channel"),
        (lambda: score_y(np.zeros((30, 30), np.uint8), np.zeros((30, 31), np.uint8), 4), "sizes must be equal"),
        (lambda: score_y(np.zeros((18, 30), np.uint8), np.zeros((18, 30), np.uint8), 4), "border of 4 px"),
        (lambda: score_y(np.zeros((30, 30), np.uint8), np.zeros((30, 30), np.uint8), -1), "border of -1 px"),
        (lambda: score_rgb(np.zeros((30, 30), np.uint8), np.zeros((31, 30), np.uint8), 4), "sizes must be equal"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        call()


@pytest.mark.parametrize(
    "wrong", [np.zeros((20, 20, 4), np.uint8), np.zeros((20, 20, 3), np.uint16), np.zeros((20, 20))]
)
def test_only_8_bit_pictures_are_scored(wrong: NDArray[Any]) -> None:
    right = np.zeros((20, 20, 3), np.uint8)
    for score in (score_y, score_rgb):
        for pair in ((wrong, right), (right, wrong)):
            with pytest.raises(OptionError, match=r"Allowed: uint8, \(H, W\) or \(H, W, 3\)"):
                score(*pair, 2)
