"""The degradation of real photographs from the scene to the file: lens, sensor, camera and web."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import MissingExtraError, OptionError
from rlfn.images.resize import cubic, resize
from rlfn.wording import listing

KERNELS = ("bicubic", "area", "bilinear")
_JPEG_BLOCK = 8


@dataclass(frozen=True, kw_only=True)
class Photo:
    """Degradation of real photographs: blur, downscaling, photon and sensor noise, JPEG or WebP, optionally JPEG again.

    Each step is applied with a probability, in this order; a fraction of the samples stays clean. Values are drawn
    uniformly from ranges; those of noise and photons uniformly in the logarithm.

    Attributes:
        clean: fraction of samples that are exactly the bicubic reduction, to keep the quality on clean pictures.
        blur: probability of a Gaussian blur before the reduction.
        blur_sigma: its standard deviation in **low-resolution** pixels, 0 < low <= high <= 3.
        blur_uneven: probability of an anisotropic blur with two deviations, each drawn from ``blur_sigma``, along two
            perpendicular directions at any angle, as from a lens or camera shake.
        kernels: the downscaling kernels to choose from: ``bicubic``, ``area``, ``bilinear``, all antialiased; one that
            is listed twice is twice as likely.
        poisson: probability of photon noise, drawn from a normal distribution with the variance of a Poisson's.
        poisson_photons: number of photons for white; fewer give more noise.
        gaussian: probability of Gaussian noise, independent in each sample.
        gaussian_sigma: its standard deviation in levels of 255.
        smoothed: probability that noise, if there is any, is smoothed, as by a camera's denoising.
        smoothed_sigma: standard deviation of the smoothing Gaussian, in low-resolution pixels, at most 3. It also makes
            the noise weaker.
        jpeg: probability of JPEG compression.
        jpeg_quality: libjpeg's quality, whole numbers within 1..100.
        jpeg_halved: probability, when compressed, of chroma subsampling (4:2:0 instead of 4:4:4).
        jpeg_again: probability, when compressed, that the picture is cropped and compressed again, with a separately
            drawn quality and another position of the 8 px grid.
        webp: probability that a picture is compressed as WebP, with ``jpeg_quality``, instead of JPEG; applies to the
            first of two compressions.
    """

    clean: float = 0.25
    blur: float = 0.35
    blur_sigma: tuple[float, float] = (0.1, 0.6)
    blur_uneven: float = 0.5
    kernels: tuple[str, ...] = ("bicubic", *KERNELS)
    poisson: float = 0.15
    poisson_photons: tuple[float, float] = (300.0, 10_000.0)
    gaussian: float = 0.4
    gaussian_sigma: tuple[float, float] = (1.0, 14.0)
    smoothed: float = 0.3
    smoothed_sigma: tuple[float, float] = (0.3, 0.8)
    jpeg: float = 0.68
    jpeg_quality: tuple[int, int] = (30, 98)
    jpeg_halved: float = 0.5
    jpeg_again: float = 0.2
    webp: float = 0.04

    packed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        wrong = [
            f"{name} = {getattr(self, name)} is not a probability from 0 to 1"
            for name in _CHANCES
            if not 0.0 <= getattr(self, name) <= 1.0
        ]
        for name, most in _LIMITS.items():
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
        """The reach of the blur, the widest kernel and a JPEG block, in low-resolution pixels."""
        return math.ceil(3 * self.blur_sigma[1] * (self.blur > 0)) + 2 + (_JPEG_BLOCK if self.jpeg > 0 else 0)

    def apply(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Reduce and degrade ``hr``, see :meth:`~rlfn.data.degradations.Degradation.apply`.

        Raises:
            MissingExtraError: JPEG was drawn and simplejpeg is not installed.
        """
        if random.random() < self.clean:
            return resize(hr, scale=1 / scale)
        return self.degrade(hr, scale, random)

    def degrade(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """See :meth:`~rlfn.data.degradations.Degradation.degrade`."""
        blur = self._draw_blur(scale, random)
        kernel = self.kernels[int(random.integers(len(self.kernels)))]
        lr = self._add_noise(reduce(hr, scale, kernel, *blur), random)
        out: NDArray[np.uint8] = np.clip(np.floor(lr + 0.5), 0, 255).astype(np.uint8)
        if random.random() < self.jpeg:
            out = self._compress(out, random)
        return out

    def _draw_blur(self, scale: int, random: np.random.Generator) -> tuple[float, float, float]:
        """Return two deviations in high-resolution pixels and the angle of the first one, in radians."""
        if random.random() >= self.blur:
            return 0.0, 0.0, 0.0
        along = random.uniform(*self.blur_sigma) * scale
        if random.random() >= self.blur_uneven:
            return along, along, 0.0
        return along, random.uniform(*self.blur_sigma) * scale, random.uniform(0.0, math.pi)

    def _add_noise(self, lr: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        """Add photon noise, whose variance is proportional to the intensity, and sensor noise."""
        light = 255.0 / _log_uniform(random, self.poisson_photons) if random.random() < self.poisson else 0.0
        sensor = _log_uniform(random, self.gaussian_sigma) if random.random() < self.gaussian else 0.0
        if not (light or sensor):
            return lr
        noise = random.standard_normal(lr.shape, np.float32)
        variance = np.maximum(lr, 0.0) * np.float32(light) + np.float32(sensor**2)
        noise *= np.sqrt(variance)
        if random.random() < self.smoothed:
            noise = _smooth(noise, random.uniform(*self.smoothed_sigma))
        return lr + noise

    def _compress(self, picture: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        """Compress once, or twice with a crop in between; the few rows and columns cropped off stay unchanged."""
        webp, again = random.random() < self.webp, random.random() < self.jpeg_again
        quality = int(random.integers(self.jpeg_quality[0], self.jpeg_quality[1] + 1))
        halved = random.random() < self.jpeg_halved
        picture = compress_webp(picture, quality) if webp else compress(picture, quality, halved=halved)
        if again and min(picture.shape[:2]) > _JPEG_BLOCK:
            quality = int(random.integers(self.jpeg_quality[0], self.jpeg_quality[1] + 1))
            top, left = (int(offset) for offset in random.integers(_JPEG_BLOCK, size=2))
            picture = picture.copy()
            picture[top:, left:] = compress(picture[top:, left:], quality, halved=random.random() < self.jpeg_halved)
        return picture


_CHANCES = (
    "clean",
    "blur",
    "blur_uneven",
    "poisson",
    "gaussian",
    "smoothed",
    "jpeg",
    "jpeg_halved",
    "jpeg_again",
    "webp",
)
_LIMITS = {
    "blur_sigma": 3.0,
    "poisson_photons": 1e9,
    "gaussian_sigma": 255.0,
    "smoothed_sigma": 3.0,
    "jpeg_quality": 100,
}


def reduce(
    hr: NDArray[np.uint8], scale: int, kernel: str, sigma: float = 0.0, across: float | None = None, angle: float = 0.0
) -> NDArray[np.float32]:
    """Blur and downscale a picture, with symmetric borders.

    Both are convolutions with the same phase for every output, so they are combined into one row of weights per axis.
    An anisotropic blur at an angle is a sum of a few such pairs of rows, one for each singular value above 0.1% of the
    largest.

    Args:
        hr: (H, W, 3) uint8, both sides multiples of ``scale``.
        scale: a whole number of at least 2.
        kernel: ``bicubic`` (a = -0.5), ``area`` (mean of scale x scale pixels) or ``bilinear`` (a widened triangle).
        sigma: the standard deviation of a Gaussian blur before it, in high-resolution pixels; cut off at 3 sigma.
        across: its deviation at right angles to ``angle``, by default ``sigma``.
        angle: the direction of ``sigma``, in radians from the rows' direction towards the columns'.

    Returns:
        (H // scale, W // scale, 3) float32 in levels of 255, not clipped.
    """
    first, line = _taps(scale, kernel)
    across = sigma if across is None else across
    planes = hr.transpose(2, 0, 1).astype(np.float32)
    if sigma == across:
        if sigma > 0:
            blur = _gaussian(sigma)
            line = np.convolve(line, blur)
            first -= len(blur) // 2
        weights = line.astype(np.float32)
        reduced = _reduce_axis(_reduce_axis(planes, 1, scale, first, weights), 2, scale, first, weights)
    else:
        left, values, right = np.linalg.svd(_gaussian_at(sigma, across, angle))
        kept = int(np.count_nonzero(values > 1e-3 * values[0]))
        first -= len(values) // 2
        share = float(np.sum(values[:kept] * left[:, :kept].sum(axis=0) * right[:kept].sum(axis=1)))
        reduced = np.zeros((3, hr.shape[0] // scale, hr.shape[1] // scale), np.float32)
        for part in range(kept):
            down = np.convolve(line, left[:, part] * (values[part] / share)).astype(np.float32)
            side = np.convolve(line, right[part]).astype(np.float32)
            reduced += _reduce_axis(_reduce_axis(planes, 1, scale, first, down), 2, scale, first, side)
    return np.ascontiguousarray(reduced.transpose(1, 2, 0))


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


def compress_webp(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return the (H, W, 3) picture after lossy WebP of a ``quality`` from 0 to 100, which always uses 4:2:0."""
    import pyvips

    height, width = picture.shape[:2]
    image = pyvips.Image.new_from_memory(np.ascontiguousarray(picture).data, width, height, 3, "uchar")
    data = image.copy(interpretation="srgb").webpsave_buffer(Q=quality, effort=1, keep="none")
    decoded = pyvips.Image.webpload_buffer(data).write_to_memory()
    return np.frombuffer(decoded, np.uint8).reshape(height, width, -1)[:, :, :3]


def _taps(scale: int, kernel: str) -> tuple[int, NDArray[np.float64]]:
    """Return the offset of the weights from the first of an output's own ``scale`` pixels, and the weights."""
    first = -2 * scale
    distance = np.abs(np.arange(first, 3 * scale) - (scale - 1) / 2) / scale
    if kernel == "bicubic":
        weights = cubic(distance)
    else:
        weights = np.where(distance < 0.5, 1.0, 0.0) if kernel == "area" else np.maximum(0.0, 1.0 - distance)
    used = np.flatnonzero(weights)
    weights = weights[used[0] : used[-1] + 1] / weights.sum()
    return first + int(used[0]), weights


def _gaussian(sigma: float) -> NDArray[np.float64]:
    """Return the normalised weights of a Gaussian, an odd number, cut off at 3 sigma."""
    radius = math.ceil(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum())


def _gaussian_at(sigma: float, across: float, angle: float) -> NDArray[np.float64]:
    """Return the square kernel of an anisotropic Gaussian at an angle, cut off at 3 times the larger deviation."""
    radius = math.ceil(3 * max(sigma, across))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return np.asarray(np.exp(-0.5 * ((u / sigma) ** 2 + (v / across) ** 2)))


def _reduce_axis(
    planes: NDArray[np.float32], axis: int, scale: int, first: int, weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Convolve (3, H, W) planes along ``axis``, with symmetric borders, and keep every ``scale``-th sample.

    Args:
        planes: the planes to downscale; the side along ``axis`` is a multiple of ``scale``.
        axis: 1 or 2.
        scale: the downscaling factor.
        first: offset of the weights from the first of an output's own ``scale`` samples, <= 0.
        weights: (taps,), which reach at least to the output's last own sample.
    """
    length = planes.shape[axis]
    pads = [(0, 0)] * 3
    pads[axis] = (-first, first + len(weights) - scale)
    padded = np.pad(planes, pads, mode="symmetric").swapaxes(0, axis)
    reduced = np.zeros((length // scale, *padded.shape[1:]), np.float32)
    part = np.empty_like(reduced)
    for tap, weight in enumerate(weights):
        np.multiply(padded[tap : tap + length - scale + 1 : scale], weight, out=part)
        reduced += part
    return reduced.swapaxes(0, axis)


def _smooth(noise: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Blur (H, W, 3) noise with a Gaussian, with symmetric borders."""
    line = _gaussian(sigma).astype(np.float32)
    reach = len(line) // 2
    for axis in (0, 1):
        length = noise.shape[axis]
        pads = [(0, 0)] * 3
        pads[axis] = (reach, reach)
        padded = np.pad(noise, pads, mode="symmetric").swapaxes(0, axis)
        noise = sum(weight * padded[tap : tap + length] for tap, weight in enumerate(line)).swapaxes(0, axis)
    return noise


def _log_uniform(random: np.random.Generator, span: tuple[float, float]) -> float:
    return math.exp(random.uniform(math.log(span[0]), math.log(span[1])))
