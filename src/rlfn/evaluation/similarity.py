"""Perceptual similarity metrics from third-party packages (the extra ``metrics``), closer to human vision than PSNR."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import MissingExtraError, OptionError, unknown

EXTRA = "metrics"


@dataclass(frozen=True)
class Metric:
    """A similarity metric; more is better.

    Attributes:
        title: its name in tables.
        digits: decimal places in tables.
        equal: the score of equal pictures.
        apply: takes a picture and its reference, (H, W, 3) uint8 RGB.
    """

    title: str
    digits: int
    equal: float
    apply: Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]


def _ssimulacra2(image: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    try:
        from ssimulacra2 import compute_ssimulacra2
    except ImportError as error:
        raise MissingExtraError("SSIMULACRA2", EXTRA) from error
    return float(compute_ssimulacra2(_png(reference), _png(image)))


def _ms_ssim(image: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    try:
        import blazediff_ssim
    except ImportError as error:
        raise MissingExtraError("MS-SSIM", EXTRA) from error
    height, width = image.shape[:2]
    given = [np.dstack([one, np.full(one.shape[:2], 255, np.uint8)]).tobytes() for one in (reference, image)]
    try:
        return float(blazediff_ssim.compare_rgba(*given, width, height, metric="ms-ssim").score)
    except (ValueError, RuntimeError) as error:
        raise OptionError(f"MS-SSIM cannot be measured on {width}x{height} pixels ({error}).") from error


METRICS: dict[str, Metric] = {
    "ssimulacra2": Metric("SSIMULACRA2", 1, 100.0, _ssimulacra2),
    "ms-ssim": Metric("MS-SSIM", 4, 1.0, _ms_ssim),
}
"""Every additional metric by its name."""


def check_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names, each once.

    Raises:
        OptionError: there is no such metric.
    """
    chosen = tuple(dict.fromkeys(names))
    for name in chosen:
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
    return chosen


def similarity_score(metric: str, image: NDArray[np.uint8], reference: NDArray[np.uint8], border: int) -> float:
    """Return the similarity of a picture and its reference, with ``border`` px cropped from each side.

    Args:
        metric: a name of :data:`METRICS`.
        image: (H, W, 3) uint8 RGB.
        reference: the same shape.
        border: px cropped from each side; by convention the scale, as for PSNR.

    Raises:
        MissingExtraError: the metric's package is not installed.
        OptionError: the pictures are too small for the metric.
    """
    inner = np.s_[border : image.shape[0] - border, border : image.shape[1] - border]
    return METRICS[metric].apply(np.ascontiguousarray(image[inner]), np.ascontiguousarray(reference[inner]))


def _png(image: NDArray[np.uint8]) -> Any:
    from rlfn.images.files import Picture, write_picture

    stream = BytesIO()
    write_picture(Picture(image), stream, format="png")
    stream.seek(0)
    return stream
