"""The work on one picture, from the bytes of a file to the bytes of another: what a worker does."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from rlfn.errors import PictureError
from rlfn.images.files import FORMATS, check_writable_size, picture_size, read_picture, write_picture
from rlfn.inference.enlarge import Enlarger, UpscalerPool
from rlfn.serve.fields import Asked


class TooLargeError(PictureError):
    """A picture has more pixels than the server takes, or its result would have."""


@dataclass(frozen=True)
class Commission:
    """One picture and what is to be done with it.

    Attributes:
        picture: the bytes of its file.
        asked: the client's options.
        max_pixels, max_result_pixels: the operator's limits.
    """

    picture: bytes
    asked: Asked
    max_pixels: int
    max_result_pixels: int


@dataclass(frozen=True)
class Details:
    """What became of a picture: sizes are (width, height) in px, warnings are not worded yet."""

    input_size: tuple[int, int]
    output_size: tuple[int, int]
    format: str
    model: str
    engine: str
    precision: str
    restore: float
    restore_reason: str
    device: str
    warnings: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Delivery:
    """A result: the bytes of a picture file, and what is to be said about it."""

    data: bytes
    details: Details


def carry_out(commission: Commission, pool: UpscalerPool, progress: Callable[[float], None]) -> Delivery:
    """Enlarge one picture.

    Args:
        commission: what to do.
        pool: where loaded models are kept.
        progress: called with the finished share, 0 to 1; what it raises ends the work.

    Raises:
        TooLargeError: the picture or its result has too many pixels.
        OptionError, PictureError, ModelError, OutputError, MissingExtraError: see :func:`rlfn.upscale`.
    """
    began = time.perf_counter()
    asked = commission.asked
    enlarger = Enlarger(asked.enlarge, pool)
    width, height = picture_size(commission.picture, max_pixels=None)
    _check_pixels("picture", width, height, commission.max_pixels)
    size = enlarger.size(width, height)
    _check_pixels("result", *size, commission.max_result_pixels)
    progress(0.0)
    picture = read_picture(commission.picture, max_pixels=commission.max_pixels)
    format = asked.format or (picture.format if FORMATS[picture.format].writable else "png")
    check_writable_size(format, *size)
    made = enlarger.with_auto_engine(None)(picture.pixels, progress, picture.coding)
    result = replace(picture, pixels=made.image)
    stream = io.BytesIO()
    lost = write_picture(result, stream, format=format, quality=asked.quality)
    details = Details(
        (width, height),
        (result.width, result.height),
        format,
        made.model,
        made.engine,
        made.precision,
        made.restore.strength,
        made.restore.reason,
        made.device,
        (*result.warnings, *made.warnings, *lost),
        time.perf_counter() - began,
    )
    return Delivery(stream.getvalue(), details)


def _check_pixels(what: str, width: int, height: int, most: int) -> None:
    if width * height > most:
        remedy = "Reduce it first, or cut it up." if what == "picture" else "Ask for a smaller size."
        have = "has" if what == "picture" else "would have"
        raise TooLargeError(
            f"The {what} {have} {width} x {height} = {width * height:,} pixels; this server takes at most {most:,}. "
            f"{remedy}"
        )
