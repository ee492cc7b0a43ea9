"""What an evaluation returns, and the settings that determine its scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from rlfn.evaluation.spoil import CLEAN

RULES = (
    ("value range", "RGB in [0, 255], 8 bit in and out"),
    ("colour", "Y of BT.601 in 16..235, in floating point; RGB beside it"),
    ("kernel", "MATLAB bicubic, a = -0.5, antialiased, rounded after each of its two passes"),
    ("border", "as many px as the scale, cropped from each side, for Y and RGB"),
    ("rounding", "results rounded to 8 bit before they are measured"),
    ("gray", "repeated in three channels for the network"),
    ("SSIM", "Gaussian window of 11 px, sigma 1.5, valid region, K 0.01 and 0.03, data range 255"),
    ("mean", "of the pictures' own values"),
)
"""The settings that determine the scores, printed in the header of every report."""


@dataclass(frozen=True)
class ImageResult:
    """One picture's scores: dB on Y, SSIM on Y, dB on RGB; the seconds of upscaling, while scoring runs in parallel.

    ``extra_metrics`` has the requested metrics of :data:`rlfn.evaluation.similarity.METRICS`.
    """

    name: str
    psnr: float
    ssim: float
    psnr_rgb: float
    seconds: float
    extra_metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """One candidate on one set with one kind of spoiling; the properties are means over the pictures."""

    set: str
    scale: int
    model: str
    engine: str
    images: tuple[ImageResult, ...]
    precision: str = "fp32"
    spoil: str = CLEAN

    @property
    def psnr(self) -> float:
        """Mean PSNR on Y in dB."""
        return _mean(image.psnr for image in self.images)

    @property
    def ssim(self) -> float:
        """Mean SSIM on Y."""
        return _mean(image.ssim for image in self.images)

    @property
    def psnr_rgb(self) -> float:
        """Mean PSNR on RGB in dB."""
        return _mean(image.psnr_rgb for image in self.images)

    @property
    def seconds(self) -> float:
        """Seconds of upscaling the whole set while scoring runs; use :mod:`rlfn.evaluation.profile` for timing."""
        return sum(image.seconds for image in self.images)

    @property
    def extra_metrics(self) -> dict[str, float]:
        """Means of the additional metrics."""
        return {
            name: _mean(image.extra_metrics[name] for image in self.images) for name in self.images[0].extra_metrics
        }


@dataclass(frozen=True)
class SetFacts:
    """The measured set: folder, source of the LR pictures, fingerprints of the pixels, and a warning or None."""

    name: str
    scale: int
    root: str
    lr_source: str
    pictures: int
    hr_fingerprint: str
    lr_fingerprint: str
    warning: str | None


@dataclass(frozen=True)
class Failure:
    """Something that could not be measured; ``message`` is a template for :func:`rlfn.wording.worded`."""

    set: str
    scale: int
    model: str | None
    message: str


@dataclass(frozen=True)
class BenchmarkReport:
    """The results of an evaluation."""

    sets: tuple[SetFacts, ...]
    results: tuple[Result, ...]
    failures: tuple[Failure, ...]


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
