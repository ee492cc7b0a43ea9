"""Arrays to picture files: whole or not at all, with all that belongs to them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyvips

from rlfn.atomic import to_path, to_stream
from rlfn.errors import OptionError
from rlfn.images import exif as exif_block
from rlfn.images.codecs.codec import Codec, Encoding
from rlfn.images.formats import check_quality, check_writable_size, format_for
from rlfn.images.picture import Metadata, Picture, profile_problem


def write_picture(
    picture: Picture,
    target: str | os.PathLike[str] | BinaryIO,
    *,
    format: str | None = None,
    quality: int | None = None,
) -> tuple[str, ...]:
    """Write ``picture`` as an upright picture file and return warnings about what the format could not keep.

    A path is written under a temporary name in the same folder and then renamed, replacing what was there; whatever
    goes wrong, nothing partial stays. A stream gets the file's bytes once it has been encoded as a whole.

    Args:
        picture: what to write; its ``warnings`` are not repeated.
        target: a path, or a binary stream.
        format: a writable name of ``FORMATS``; by default the path's suffix, and ``png`` for a stream.
        quality: 1 to 100 for lossy formats; by default the format's ``default_quality``.

    Raises:
        OptionError: unknown format, quality out of range, or an array of the wrong kind.
        OutputError: too large for the format, or the target cannot be written.
    """
    is_path = isinstance(target, (str, os.PathLike))
    row = format_for(format if format is not None else (Path(target) if is_path else "png"))  # type: ignore[arg-type]
    _check_kind(picture)
    check_writable_size(row.name, picture.width, picture.height)
    warnings: list[str] = []
    quality = _quality(row, quality, warnings)
    metadata = _fitting(picture, row, warnings)
    image, depth = _fitting_pixels(picture, row, warnings)
    given = Encoding(image, metadata, depth, quality)

    def encode(stream: BinaryIO) -> None:
        assert row.save is not None
        row.save(given, stream, warnings)

    if is_path:
        to_path(Path(target), encode)  # type: ignore[arg-type]
    else:
        to_stream(target, encode)  # type: ignore[arg-type]
    return tuple(warnings)


def _check_kind(picture: Picture) -> None:
    pixels = picture.pixels
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise OptionError(
            f"A picture cannot be an array of {pixels.dtype} with shape {pixels.shape}. "
            "Allowed: uint8 or uint16, (H, W), (H, W, 3) or (H, W, 4)."
        )
    if 0 in pixels.shape:
        raise OptionError(f"A picture needs at least one pixel; this array has shape {pixels.shape}.")


def _quality(row: Codec, quality: int | None, warnings: list[str]) -> int | None:
    if quality is None:
        return row.default_quality
    check_quality(quality)
    if row.lossy:
        return quality
    warnings.append(f"quality {quality} ignored: {row.title} keeps every pixel")
    return None


def _is_gray(picture: Picture) -> bool:
    return picture.gray or picture.pixels.ndim == 2


def _fitting(picture: Picture, row: Codec, warnings: list[str]) -> Metadata:
    """Make metadata fit the pixels and the format."""
    metadata = picture.metadata
    icc, exif, xmp = metadata.icc, metadata.exif, metadata.xmp
    if icc is not None and (problem := profile_problem(icc, _is_gray(picture))):
        warnings.append(f"colour profile dropped: {problem}")
        icc = None
    if icc is not None and not row.gray and _is_gray(picture):
        warnings.append(f"gray colour profile dropped: {row.title} stores gray as RGB")
        icc = None
    if exif is not None:
        try:
            exif = exif_block.reset(exif, picture.width, picture.height)
        except exif_block.DamagedExif:
            warnings.append("damaged EXIF dropped")
            exif = None
    elif metadata.resolution is not None and row.resolution_in_exif:
        exif = exif_block.from_resolution(metadata.resolution)
    return replace(metadata, icc=icc, exif=exif, xmp=xmp)


def _fitting_pixels(picture: Picture, row: Codec, warnings: list[str]) -> tuple[Any, int]:
    """Wrap the pixels, without a copy, in a pyvips image that converts to what the format holds as it is read.

    Returns the image and the depth at which it is to be written.
    """
    pixels = picture.pixels
    image = pyvips.Image.new_from_array(pixels if pixels.flags.c_contiguous else np.ascontiguousarray(pixels))
    if _is_gray(picture) and image.bands >= 3:
        image = image.extract_band(0) if image.bands == 3 else image.extract_band(0).bandjoin(image.extract_band(3))
    deep = pixels.dtype == np.uint16
    bits = 8 if not deep else picture.bits if picture.bits > 8 else 16
    depth = row.depth_for(bits)
    top = 65_535 if deep else 255
    flat = image.bands in (2, 4) and not row.alpha
    if flat:
        warnings.append(f"transparency flattened over white: {row.title} has none")
        alpha = image.extract_band(image.bands - 1).cast("double")
        colours = image.extract_band(0, n=image.bands - 1).cast("double")
        image = colours * alpha / top + (top - alpha)
    if depth < bits:
        warnings.append(f"{bits} bit reduced to {depth}: {row.title} has no more")
    if deep and depth < 16:
        image = (image * ((2**depth - 1) / top) + 0.5).floor().cast("ushort")
        image = image.cast("uchar") if depth == 8 else image << (16 - depth)
    elif flat:
        image = (image + 0.5).floor().cast("ushort" if deep else "uchar")
    kinds = ("b-w", "srgb") if depth == 8 else ("grey16", "rgb16")
    return image.copy(interpretation=kinds[image.bands >= 3]), depth
