"""Real-ESRGAN's second-order degradation: blur, resizing, noise and JPEG twice, and a final sinc filter.

Wang et al., 2021 (arXiv 2107.10833), sections 3.1 to 3.3, with the parameters of the authors' recipe for their x4
model. Their sharpening of the high-resolution pictures is not included, and libjpeg is used instead of their
differentiable JPEG.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from rlfn.data.photo import compress
from rlfn.errors import OptionError

_Value = TypeVar("_Value")

UnitPlanes = NDArray[np.float32]
"""An image as (3, H, W) in [0, 1]."""

_SIZES = range(7, 22, 2)
_KINDS = ("gaussian", "gaussian", "generalised", "generalised", "plateau", "plateau")
_ISOTROPIC = (True, False) * 3
_KIND_SHARES = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
_MODES = ("area", "bilinear", "bicubic")
_TORCH_CUBIC = -0.75  # the cubic that deep-learning frameworks interpolate with


@dataclass(frozen=True, kw_only=True)
class SecondOrder:
    """Two rounds of blur, resizing, noise and JPEG; settings of the second round end with ``_2``.

    Attributes:
        blur_sigma: the standard deviations of the blur, in px of the image it is applied to.
        sinc: probability that a blur is a sinc filter, which causes ringing.
        resize_shares: probabilities to enlarge, to reduce, and to keep the size.
        resize: the smallest and the largest factor; in the second round relative to the final size.
        gaussian: probability that noise is Gaussian; otherwise it is Poisson noise.
        noise: standard deviation of Gaussian noise, in levels of 255.
        poisson: scale of Poisson noise.
        gray: probability that noise is the same in all channels.
        jpeg_quality: quality of JPEG, with 4:2:0.
        blur_2: probability of a blur in the second round.
        final_sinc: probability of a sinc filter before or after the last JPEG.
    """

    blur_sigma: tuple[float, float] = (0.2, 3.0)
    sinc: float = 0.1
    resize_shares: tuple[float, float, float] = (0.2, 0.7, 0.1)
    resize: tuple[float, float] = (0.15, 1.5)
    gaussian: float = 0.5
    noise: tuple[float, float] = (1.0, 30.0)
    poisson: tuple[float, float] = (0.05, 3.0)
    gray: float = 0.4
    jpeg_quality: tuple[float, float] = (30.0, 95.0)
    blur_2: float = 0.8
    blur_sigma_2: tuple[float, float] = (0.2, 1.5)
    resize_shares_2: tuple[float, float, float] = (0.3, 0.4, 0.3)
    resize_2: tuple[float, float] = (0.3, 1.2)
    noise_2: tuple[float, float] = (1.0, 25.0)
    poisson_2: tuple[float, float] = (0.05, 2.5)
    jpeg_quality_2: tuple[float, float] = (30.0, 95.0)
    final_sinc: float = 0.8

    packed: ClassVar[bool] = False
    clean: ClassVar[float] = 0.0
    margin: ClassVar[int] = 16

    def __post_init__(self) -> None:
        wrong = []
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, float):
                fits = isinstance(value, float | int) and 0.0 <= value <= 1.0
                wanted = "a probability from 0 to 1"
            elif field.name.startswith("resize_shares"):
                fits = len(value) == 3 and min(value) >= 0.0 and math.isclose(sum(value), 1.0)
                wanted = "three probabilities whose sum is 1"
            else:
                fits = len(value) == 2 and 0.0 < value[0] <= value[1]
                wanted = "a range (low, high) with 0 < low <= high"
            if not fits:
                wrong.append(f"{field.name} = {value} is not {wanted}")
        if wrong:
            raise OptionError(f"The real-esrgan degradation cannot be used: {'; '.join(wrong)}.")

    def apply(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Reduce and degrade ``hr``, see :meth:`rlfn.data.degradations.Degradation.apply`.

        Raises:
            MissingExtraError: simplejpeg is not installed.
        """
        height, width = hr.shape[0] // scale, hr.shape[1] // scale
        x: UnitPlanes = hr.transpose(2, 0, 1).astype(np.float32) / 255.0
        x = convolve(x, self._kernel(self.blur_sigma, random))
        factor = _factor(self.resize_shares, self.resize, random)
        x = resample(x, _scaled(hr.shape[0], factor), _scaled(hr.shape[1], factor), _choose(_MODES, random))
        x = self._add_noise(x, self.noise, self.poisson, random)
        x = _compress(x, self.jpeg_quality, random)
        if random.random() < self.blur_2:
            x = convolve(x, self._kernel(self.blur_sigma_2, random))
        factor = _factor(self.resize_shares_2, self.resize_2, random)
        x = resample(x, _scaled(height, factor), _scaled(width, factor), _choose(_MODES, random))
        x = self._add_noise(x, self.noise_2, self.poisson_2, random)
        last = sinc_kernel(random.uniform(math.pi / 3, math.pi), _choose(_SIZES, random))
        filtered, early = random.random() < self.final_sinc, random.random() < 0.5
        mode = _choose(_MODES, random)
        if not early:
            x = _compress(x, self.jpeg_quality_2, random)
        x = resample(x, height, width, mode)
        x = convolve(x, last) if filtered else x
        if early:
            x = _compress(x, self.jpeg_quality_2, random)
        return np.asarray(np.clip(np.floor(x * 255.0 + 0.5), 0, 255).astype(np.uint8).transpose(1, 2, 0))

    def degrade(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Same as :meth:`apply`: no sample stays clean."""
        return self.apply(hr, scale, random)

    def _kernel(self, sigma: tuple[float, float], random: np.random.Generator) -> NDArray[np.float64]:
        size = _choose(_SIZES, random)
        if random.random() < self.sinc:
            return sinc_kernel(random.uniform(math.pi / (3 if size < 13 else 5), math.pi), size)
        number = int(random.choice(len(_KINDS), p=_KIND_SHARES))
        kind, along = _KINDS[number], random.uniform(*sigma)
        across, angle = (along, 0.0) if _ISOTROPIC[number] else (random.uniform(*sigma), random.uniform(0.0, math.pi))
        most = 4.0 if kind == "generalised" else 2.0
        least = 0.5 if kind == "generalised" else 1.0
        beta = random.uniform(least, 1.0) if random.random() < 0.5 else random.uniform(1.0, most)
        return blur_kernel(size, along, across, angle, 1.0 if kind == "gaussian" else beta, plateau=kind == "plateau")

    def _add_noise(
        self, x: UnitPlanes, sigma: tuple[float, float], factor: tuple[float, float], random: np.random.Generator
    ) -> UnitPlanes:
        """Add Gaussian or Poisson noise and clip."""
        gaussian, gray = random.random() < self.gaussian, random.random() < self.gray
        strength = random.uniform(*(sigma if gaussian else factor))
        seen = x.mean(axis=0, keepdims=True) if gray else x
        if gaussian:
            noise = strength / 255.0 * random.standard_normal(seen.shape, np.float32)
        else:
            levels = np.clip(np.floor(seen * 255.0 + 0.5), 0, 255) / 255.0
            light = 2.0 ** math.ceil(math.log2(max(2, len(np.unique(levels)))))
            noise = strength * (random.poisson(levels * light) / light - levels)
        return np.clip(x + noise, 0.0, 1.0).astype(np.float32)


def blur_kernel(
    size: int, along: float, across: float, angle: float, beta: float, *, plateau: bool
) -> NDArray[np.float64]:
    """Return a normalised blur kernel (size, size): exp(-q^beta / 2), or 1 / (1 + q^beta) for a plateau.

    q is the squared distance from the centre, scaled by the deviations ``along`` and ``across`` the ``angle``.
    """
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    q = ((u / along) ** 2 + (v / across) ** 2) ** beta
    weights = 1.0 / (1.0 + q) if plateau else np.exp(-0.5 * q)
    return np.asarray(weights / weights.sum())


def sinc_kernel(cutoff: float, size: int) -> NDArray[np.float64]:
    """Return the normalised circular low-pass filter (size, size) with a ``cutoff`` in radians."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    radius = np.hypot(x, y)
    radius[size // 2, size // 2] = 1.0
    angles = (np.arange(128) + 0.5) * (math.pi / 128)  # the first Bessel function is the mean of this cosine
    bessel = np.cos(angles - cutoff * radius[..., None] * np.sin(angles)).mean(axis=-1)
    weights = cutoff * bessel / (2.0 * math.pi * radius)
    weights[size // 2, size // 2] = cutoff**2 / (4.0 * math.pi)
    return np.asarray(weights / weights.sum())


def convolve(x: UnitPlanes, kernel: NDArray[np.float64]) -> UnitPlanes:
    """Filter (3, H, W) with a square kernel of odd size, with mirrored borders."""
    reach = kernel.shape[0] // 2
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach)), mode="symmetric")
    shape = padded.shape[1:]
    spectrum = np.fft.rfft2(padded) * np.fft.rfft2(kernel[::-1, ::-1], shape)
    filtered = np.fft.irfft2(spectrum, shape)[:, 2 * reach :, 2 * reach :]
    return np.asarray(filtered, np.float32)


def resample(x: UnitPlanes, height: int, width: int, mode: str) -> UnitPlanes:
    """Resize (3, H, W) by ``area``, or by ``bilinear`` or ``bicubic`` without antialiasing, as torch does."""
    rows, columns = (_matrix(old, new, mode) for old, new in zip(x.shape[1:], (height, width), strict=True))
    return np.asarray(rows @ x @ columns.T, np.float32)


def _matrix(old: int, new: int, mode: str) -> NDArray[np.float32]:
    """Return the weights (new, old) of one axis."""
    matrix = np.zeros((new, old), np.float32)
    places = np.arange(new)
    if mode == "area":
        for row in range(new):
            first, last = row * old // new, -(-(row + 1) * old // new)
            matrix[row, first:last] = 1.0 / (last - first)
        return matrix
    centre = (places + 0.5) * old / new - 0.5
    if mode == "bilinear":
        centre = np.maximum(centre, 0.0)
    before = np.floor(centre).astype(int)
    for tap in range(-1, 3) if mode == "bicubic" else range(2):
        distance = np.abs(centre - (before + tap))
        weight = _cubic(distance) if mode == "bicubic" else np.maximum(0.0, 1.0 - distance)
        np.add.at(matrix, (places, np.clip(before + tap, 0, old - 1)), weight)
    return matrix


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    a = _TORCH_CUBIC
    near = (a + 2.0) * distance**3 - (a + 3.0) * distance**2 + 1.0
    far = a * (distance**3 - 5.0 * distance**2 + 8.0 * distance - 4.0)
    return np.where(distance <= 1.0, near, np.where(distance < 2.0, far, 0.0))


def _factor(shares: tuple[float, float, float], span: tuple[float, float], random: np.random.Generator) -> float:
    larger, smaller = random.uniform(1.0, max(1.0, span[1])), random.uniform(min(span[0], 1.0), 1.0)
    return float((larger, smaller, 1.0)[int(random.choice(3, p=shares))])


def _scaled(side: int, factor: float) -> int:
    return max(1, int(side * factor))


def _choose(values: Sequence[_Value], random: np.random.Generator) -> _Value:
    return values[int(random.integers(len(values)))]


def _compress(x: UnitPlanes, quality: tuple[float, float], random: np.random.Generator) -> UnitPlanes:
    image = np.clip(np.floor(x * 255.0 + 0.5), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    image = compress(np.ascontiguousarray(image), round(random.uniform(*quality)), halved=True)
    return image.transpose(2, 0, 1).astype(np.float32) / 255.0
