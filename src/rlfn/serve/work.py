"""Enlarges one picture, from the bytes of a file to the bytes of another: what a worker runs."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass

from rlfn.errors import PictureError
from rlfn.images.files import picture_size, read_picture, result_format
from rlfn.inference.enlarge import Enlarger
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.picture import upscale_picture
from rlfn.jobs.record import Details
from rlfn.serve.fields import RequestOptions


class TooLargeError(PictureError):
    """A picture or its result has more pixels than the server allows."""


@dataclass(frozen=True)
class WorkItem:
    """One picture and the options for it.

    Attributes:
        picture: the bytes of its file.
        options: the client's options.
        max_pixels, max_result_pixels: the operator's limits.
    """

    picture: bytes
    options: RequestOptions
    max_pixels: int
    max_result_pixels: int


@dataclass(frozen=True)
class JobResult:
    """A result: the bytes of a picture file, and facts about it, whose warnings are not worded yet."""

    data: bytes
    details: Details


def run_item(item: WorkItem, pool: UpscalerPool, progress: Callable[[float], None]) -> JobResult:
    """Enlarge one picture.

    Args:
        item: the picture and the options.
        pool: holds loaded models.
        progress: called with the finished share, 0 to 1; an exception that it raises cancels the work.

    Raises:
        TooLargeError: the picture or its result has too many pixels.
        OptionError, PictureError, ModelError, OutputError, MissingExtraError: see :func:`rlfn.upscale`.
    """
    began = time.perf_counter()
    options = item.options
    enlarger = Enlarger(options.enlarge, pool)
    width, height = picture_size(item.picture, max_pixels=None)
    _check_pixels("picture", width, height, item.max_pixels)
    _check_pixels("result", *enlarger.size(width, height), item.max_result_pixels)
    progress(0.0)
    picture = read_picture(item.picture, max_pixels=item.max_pixels)
    format = result_format(options.format, source=picture.format)
    made = upscale_picture(picture, enlarger.with_auto_engine(None), format, progress=progress)
    stream = io.BytesIO()
    warnings = made.write(stream, options.quality)
    return JobResult(stream.getvalue(), Details.of(made, warnings=warnings, seconds=time.perf_counter() - began))


def _check_pixels(what: str, width: int, height: int, limit: int) -> None:
    if width * height > limit:
        remedy = "Reduce or crop it first." if what == "picture" else "Ask for a smaller size."
        have = "has" if what == "picture" else "would have"
        raise TooLargeError(
            f"The {what} {have} {width} x {height} = {width * height:,} pixels; this server allows at most {limit:,}. "
            f"{remedy}"
        )
