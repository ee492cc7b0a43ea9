"""One picture upscaled and encoded: what files, the Python API and the server have in common."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO

from rlfn.images.files import Picture, check_writable_size, write_picture
from rlfn.inference.enlarge import EnlargePlan, Enlarger
from rlfn.inference.tile_runner import TileProgress

Planner = Callable[[Enlarger, Picture], EnlargePlan]
"""Decides how a picture is upscaled."""


@dataclass(frozen=True)
class UpscaledPicture:
    """A result that is not encoded yet.

    Attributes:
        picture: the result, with the metadata of the input.
        input_size: (width, height) of the input.
        format: the format to encode it in; None if it is not encoded.
        plan: what computed it.
        warnings: what was lost in reading and upscaling, as templates for :func:`rlfn.wording.worded`.
        seconds: time for inference.
    """

    picture: Picture
    input_size: tuple[int, int]
    format: str | None
    plan: EnlargePlan
    warnings: tuple[str, ...]
    seconds: float

    @property
    def output_size(self) -> tuple[int, int]:
        """(width, height) of the result."""
        return self.picture.width, self.picture.height

    def write(self, target: str | os.PathLike[str] | BinaryIO, quality: int | None) -> tuple[str, ...]:
        """Encode the result, see :func:`rlfn.images.files.write_picture`; return the warnings of all steps."""
        return (*self.warnings, *write_picture(self.picture, target, format=self.format, quality=quality))


def upscale_picture(
    given: Picture,
    enlarger: Enlarger,
    format: str | None,
    *,
    progress: TileProgress | None = None,
    plan: Planner | None = None,
) -> UpscaledPicture:
    """Upscale a picture.

    Args:
        given: the picture.
        enlarger: its options choose the size and the model.
        format: the format of the result, which has to allow its size; None if it is not encoded.
        progress: called with the finished share, 0 to 1.
        plan: replaces the enlarger's own plan.

    Raises:
        OutputError: the result is too large for the format.
        OptionError, PictureError, ModelError: see :class:`rlfn.inference.enlarge.Enlarger`.
    """
    if format is not None:
        check_writable_size(format, *enlarger.size(given.width, given.height))
    began = time.perf_counter()
    made = enlarger(given.pixels, progress, given.coding, None if plan is None else plan(enlarger, given))
    seconds = time.perf_counter() - began
    result = replace(given, pixels=made.image)
    size, warnings = (given.width, given.height), (*given.warnings, *made.warnings)
    return UpscaledPicture(result, size, format, made.plan, warnings, seconds)
