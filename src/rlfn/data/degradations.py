"""How training makes low-resolution pictures from high-resolution ones: one class and one table row each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from rlfn.data.second_order import SecondOrder
from rlfn.errors import MissingExtraError, OptionError, listing, unknown
from rlfn.images.resize import cubic, resize

KERNELS = ("bicubic", "area", "bilinear")
_JPEG_BLOCK = 8


class Degradation(Protocol):
    """Makes a low-resolution picture."""

    @property
    def packed(self) -> bool:
        """Whether the low-resolution pictures of the pack are used as they are."""
        ...

    @property
    def margin(self) -> int:
        """The context, in low-resolution pixels, that a crop needs on each side for its borders to be right."""
        ...

    def apply(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Reduce ``hr`` by ``scale``.

        Args:
            hr: (H, W, 3) uint8, both sides multiples of ``scale``.
            scale: a whole number from 2 up.
            random: where every random choice comes from.

        Returns:
            (H // scale, W // scale, 3) uint8.
        """
        ...


@dataclass(frozen=True)
class Bicubic:
    """The paper's: MATLAB's bicubic reduction with antialiasing; in training, the pictures that the pack holds."""

    packed: ClassVar[bool] = True
    margin: ClassVar[int] = 0

    def apply(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Reduce ``hr``, see :meth:`Degradation.apply`; nothing is random."""
        return resize(hr, scale=1 / scale)


@dataclass(frozen=True, kw_only=True)
class Photo:
    """What happens to real pictures: blur, reduction, noise of light and sensor, JPEG; each by chance, in this order.

    Ranges are drawn from uniformly, those of noise and light uniformly in their logarithm.

    Attributes:
        blur: probability of a Gaussian blur before the reduction.
        blur_sigma: its standard deviation in **low-resolution** pixels, 0 < low <= high <= 3.
        kernels: the reductions to choose from: ``bicubic``, ``area``, ``bilinear``, all antialiased.
        poisson: probability of Poisson (photon) noise.
        poisson_photons: photons that make white; fewer are noisier.
        gaussian: probability of Gaussian noise, independent in each sample.
        gaussian_sigma: its standard deviation in levels of 255.
        jpeg: probability of JPEG compression.
        jpeg_quality: libjpeg's quality, whole numbers within 1..100.
        jpeg_halved: probability, when compressed, that colour is stored at half the size (4:2:0 in place of 4:4:4).
    """

    blur: float = 0.6
    blur_sigma: tuple[float, float] = (0.1, 0.6)
    kernels: tuple[str, ...] = KERNELS
    poisson: float = 0.3
    poisson_photons: tuple[float, float] = (300.0, 10_000.0)
    gaussian: float = 0.4
    gaussian_sigma: tuple[float, float] = (0.5, 6.0)
    jpeg: float = 0.75
    jpeg_quality: tuple[int, int] = (30, 95)
    jpeg_halved: float = 0.5

    packed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        wrong = [
            f"{name} = {getattr(self, name)} is not a probability from 0 to 1"
            for name in ("blur", "poisson", "gaussian", "jpeg", "jpeg_halved")
            if not 0.0 <= getattr(self, name) <= 1.0
        ]
        limits = {"blur_sigma": 3.0, "poisson_photons": 1e9, "gaussian_sigma": 255.0, "jpeg_quality": 100}
        for name, most in limits.items():
            given = getattr(self, name)
            if len(given) != 2 or not 0 < given[0] <= given[1] <= most:
                wrong.append(f"{name} = {given} is not a range (low, high) with 0 < low <= high <= {most:g}")
            elif name == "jpeg_quality" and any(int(end) != end for end in given):
                wrong.append(f"{name} = {given} has to be whole numbers")
        if not self.kernels or not set(self.kernels) <= set(KERNELS):
            wrong.append(f"kernels = {self.kernels} is not a choice from {listing(KERNELS)}")
        if wrong:
            raise OptionError(f"The photo degradation cannot be used: {'; '.join(wrong)}.")

    @property
    def margin(self) -> int:
        """See :attr:`Degradation.margin`: what the blur, the widest kernel and a block of JPEG reach."""
        return math.ceil(3 * self.blur_sigma[1] * (self.blur > 0)) + 2 + (_JPEG_BLOCK if self.jpeg > 0 else 0)

    def apply(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Reduce and degrade ``hr``, see :meth:`Degradation.apply`.

        Raises:
            MissingExtraError: JPEG was drawn and simplejpeg is not installed.
        """
        sigma = random.uniform(*self.blur_sigma) * scale if random.random() < self.blur else 0.0
        kernel = self.kernels[int(random.integers(len(self.kernels)))]
        lr: NDArray[Any] = reduce(hr, scale, kernel, sigma)
        if random.random() < self.poisson:
            photons = _log_uniform(random, self.poisson_photons) / 255.0
            lr = random.poisson(np.maximum(lr, 0.0) * photons) / photons
        if random.random() < self.gaussian:
            lr = lr + _log_uniform(random, self.gaussian_sigma) * random.standard_normal(lr.shape, np.float32)
        out = np.clip(np.floor(lr + 0.5), 0, 255).astype(np.uint8)
        if random.random() < self.jpeg:
            quality = int(random.integers(self.jpeg_quality[0], self.jpeg_quality[1] + 1))
            out = compress(out, quality, halved=random.random() < self.jpeg_halved)
        return out


DEGRADATIONS: dict[str, Callable[..., Degradation]] = {
    "bicubic": Bicubic,
    "photo": Photo,
    "real-esrgan": SecondOrder,
}
"""Every degradation by the name that recipes use; each is a dataclass whose fields are its settings."""


def make_degradation(name: str, settings: Mapping[str, Any] | None = None) -> Degradation:
    """Return the degradation of a row of ``DEGRADATIONS``, with ``settings`` for its fields (lists serve as tuples).

    Raises:
        OptionError: an unknown name or field, a value out of range.
    """
    if name not in DEGRADATIONS:
        raise unknown("degradation", name, DEGRADATIONS)
    kind = DEGRADATIONS[name]
    allowed = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in settings or {}:
        if key not in allowed:
            raise unknown(f"setting of the degradation {name}", key, allowed or ["(none)"])
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in (settings or {}).items()}
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(f"The degradation {name} cannot be used: a setting has a value of another kind.") from error


def reduce(hr: NDArray[np.uint8], scale: int, kernel: str, sigma: float = 0.0) -> NDArray[np.float32]:
    """Blur and reduce a picture, with symmetric borders.

    Both are convolutions, and every output sees the same phase of them, so that one row of weights an axis does both.

    Args:
        hr: (H, W, 3) uint8, both sides multiples of ``scale``.
        scale: a whole number from 2 up.
        kernel: ``bicubic`` (a = -0.5), ``area`` (mean of scale x scale pixels) or ``bilinear`` (a triangle, widened).
        sigma: the standard deviation of a Gaussian blur before it, in high-resolution pixels; cut off at 3 sigma.

    Returns:
        (H // scale, W // scale, 3) float32 in levels of 255, not clipped.
    """
    first, weights = _taps(scale, kernel, sigma)
    planes = hr.transpose(2, 0, 1).astype(np.float32)
    for axis in (1, 2):
        length = planes.shape[axis]
        pads = [(0, 0)] * 3
        pads[axis] = (-first, first + len(weights) - scale)
        padded = np.pad(planes, pads, mode="symmetric").swapaxes(0, axis)
        planes = np.zeros((length // scale, *padded.shape[1:]), np.float32)
        part = np.empty_like(planes)
        for tap, weight in enumerate(weights):
            np.multiply(padded[tap : tap + length - scale + 1 : scale], weight, out=part)
            planes += part
        planes = planes.swapaxes(0, axis)
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def compress(picture: NDArray[np.uint8], quality: int, *, halved: bool) -> NDArray[np.uint8]:
    """Return the (H, W, 3) picture after JPEG of a ``quality`` from 1 to 100; ``halved`` means 4:2:0.

    Raises:
        MissingExtraError: simplejpeg is not installed.
    """
    try:
        import simplejpeg
    except ImportError as error:
        raise MissingExtraError("JPEG in the photo degradation", "train") from error
    colours = "420" if halved else "444"
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality, "RGB", colours)
    decoded: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False)
    return decoded


def _taps(scale: int, kernel: str, sigma: float) -> tuple[int, NDArray[np.float32]]:
    """Return where, relative to the first pixel of an output's own ``scale`` pixels, its weights begin, and them."""
    first = -2 * scale
    distance = np.abs(np.arange(first, 3 * scale) - (scale - 1) / 2) / scale
    if kernel == "bicubic":
        weights = cubic(distance)
    else:
        weights = np.where(distance < 0.5, 1.0, 0.0) if kernel == "area" else np.maximum(0.0, 1.0 - distance)
    if sigma > 0:
        radius = math.ceil(3 * sigma)
        weights = np.convolve(weights, np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2))
        first -= radius
    used = np.flatnonzero(weights)
    weights = weights[used[0] : used[-1] + 1] / weights.sum()
    return first + int(used[0]), weights.astype(np.float32)


def _log_uniform(random: np.random.Generator, span: tuple[float, float]) -> float:
    return math.exp(random.uniform(math.log(span[0]), math.log(span[1])))
