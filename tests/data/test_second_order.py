"""Real-ESRGAN's degradation: its parts against torch and their definitions, and what comes out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rlfn.data.degradations import make_degradation
from rlfn.data.second_order import SecondOrder, blur_kernel, convolve, resample, sinc_kernel
from rlfn.errors import OptionError
from synthetic import synthetic


@pytest.mark.parametrize("mode", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(23, 61), (80, 20), (40, 50)])
def test_resampling_is_that_of_torch(mode: str, size: tuple[int, int]) -> None:
    x = np.random.default_rng(0).random((3, 40, 50)).astype(np.float32)
    corners = {} if mode == "area" else {"align_corners": False}
    wanted = F.interpolate(torch.from_numpy(x)[None], size=size, mode=mode, **corners)[0].numpy()
    assert np.abs(resample(x, *size, mode) - wanted).max() < 1e-5


def test_filtering_is_a_correlation_with_mirrored_borders() -> None:
    x = np.random.default_rng(0).random((3, 31, 40)).astype(np.float32)
    kernel = np.random.default_rng(1).random((7, 7))
    padded = torch.from_numpy(np.pad(x, ((0, 0), (3, 3), (3, 3)), mode="symmetric"))[:, None].double()
    wanted = F.conv2d(padded, torch.from_numpy(kernel)[None, None])[:, 0].numpy()
    assert np.abs(convolve(x, kernel) - wanted).max() < 1e-4


def test_kernels_match_their_names() -> None:
    gaussian = blur_kernel(21, 2.0, 2.0, 0.0, 1.0, plateau=False)
    assert gaussian.sum() == pytest.approx(1.0)
    assert gaussian[10, 12] / gaussian[10, 10] == pytest.approx(math.exp(-0.5))
    turned = blur_kernel(21, 3.0, 1.0, math.pi / 2, 1.0, plateau=False)
    assert turned[10 + 3, 10] / turned[10, 10] == pytest.approx(math.exp(-0.5))
    plateau = blur_kernel(21, 2.0, 2.0, 0.0, 2.0, plateau=True)
    assert plateau[10, 12] / plateau[10, 10] == pytest.approx(0.5)
    low_pass = sinc_kernel(math.pi / 3, 21)
    spectrum = np.abs(np.fft.fft2(np.pad(low_pass, 40)))
    assert spectrum[0, 0] == pytest.approx(1.0)
    assert spectrum[0, int(101 / 2 * 0.8)] < 0.1  # beyond the cutoff
    assert low_pass.min() < 0.0  # it rings


def test_samples_differ_and_repeat_and_keep_the_place() -> None:
    degradation = make_degradation("real-esrgan")
    hr = synthetic(120, 160, 3)
    made = [degradation.apply(hr, 4, np.random.default_rng(seed)) for seed in (1, 1, 2, 3, 4, 5)]
    assert all(lr.shape == (30, 40, 3) and lr.dtype == np.uint8 for lr in made)
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
    plain = {
        "noise": [1e-3, 1e-3], "noise_2": [1e-3, 1e-3], "gaussian": 1.0, "resize": [1.0, 1.0], "resize_2": [1.0, 1.0],
        "blur_sigma": [0.2, 0.2], "blur_2": 0.0, "sinc": 0.0, "final_sinc": 0.0, "jpeg_quality": [98.0, 98.0],
        "jpeg_quality_2": [98.0, 98.0],
    }  # fmt: skip
    faithful = make_degradation("real-esrgan", plain).apply(hr, 4, np.random.default_rng(0))
    area = hr.reshape(30, 4, 40, 4, 3).mean(axis=(1, 3))
    assert np.abs(faithful - area).mean() < 12.0


def test_its_parameters_are_the_published_ones_and_are_checked() -> None:
    assert SecondOrder().resize == (0.15, 1.5)
    assert SecondOrder().noise == (1.0, 30.0)
    with pytest.raises(OptionError, match=r"noise = \(5.0, 1.0\) is not a range"):
        make_degradation("real-esrgan", {"noise": [5.0, 1.0]})
    with pytest.raises(OptionError, match="sum is 1"):
        make_degradation("real-esrgan", {"resize_shares": [0.5, 0.1, 0.1]})
    with pytest.raises(OptionError, match="Did you mean 'sinc'"):
        make_degradation("real-esrgan", {"sink": 0.5})
