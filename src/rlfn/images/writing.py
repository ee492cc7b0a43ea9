"""Arrays to picture files: whole or not at all, with all that belongs to them."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyvips

from rlfn.atomic import to_path, to_stream
from rlfn.errors import OptionError
from rlfn.images import exif as exif_block
from rlfn.images import xmp as xmp_packet
from rlfn.images.carried import KEPT_SOMEWHERE, fate
from rlfn.images.codecs.codec import Codec, Encoding
from rlfn.images.exif import Turn
from rlfn.images.formats import FORMATS, check_quality, check_writable_size, result_format
from rlfn.images.picture import Metadata, Picture, Text, fitting_profile
from rlfn.images.profiles import is_convertible, is_held, profile_to_srgb
from rlfn.images.stated import StatedColor


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
    row = FORMATS[result_format(format, target if is_path else None)]  # type: ignore[arg-type]
    _check_kind(picture)
    check_writable_size(row.name, picture.width, picture.height)
    warnings: list[str] = []
    quality = _quality(row, quality, warnings)
    metadata = fitting_metadata(
        picture.metadata, row, (picture.width, picture.height), gray=_is_gray(picture), warnings=warnings
    )
    image, depth = _fitting_pixels(picture, row, metadata.icc, warnings)
    if fate(row, "icc") == "converted":
        metadata = replace(metadata, icc=None)
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


def fitting_metadata(
    metadata: Metadata, row: Codec, size: tuple[int, int], *, gray: bool, warnings: list[str]
) -> Metadata:
    """Make metadata fit the pixels and the format.

    Args:
        metadata: of an upright picture.
        row: the format.
        size: (width, height) of what is written.
        gray: whether its colours are gray.
        warnings: gets what is lost.
    """
    metadata = _without(_for_size(metadata, size, warnings), row, warnings)
    converted = fate(row, "icc") == "converted"
    icc, exif = metadata.icc, metadata.exif
    if icc is not None:
        icc, problem = fitting_profile(icc, gray)
        if icc is None:
            warnings.append(f"colour profile dropped: {problem}")
    if icc is not None and gray and (not row.gray or converted):
        reason = "stores gray as RGB" if not row.gray else "is written as sRGB"
        warnings.append(f"gray colour profile dropped: {row.title} {reason}")
        icc = None
    color = metadata.color
    if color is not None and fate(row, "hdr" if color.hdr else "color") == "converted":
        icc = _made_profile(color, gray and row.gray, row, icc, warnings)
        color = None
    if icc is not None and not (is_convertible(icc) if converted else is_held(row.name, icc, gray)):
        reason = "it cannot be used" if converted else f"it is damaged, or of a kind that {row.title} does not hold"
        warnings.append(f"colour profile dropped: {reason}")
        icc = None
    if metadata.resolution is not None and fate(row, "resolution") == "converted":
        with contextlib.suppress(exif_block.DamagedExif):
            exif = exif_block.with_resolution(exif, metadata.resolution)
    if exif is not None and row.exif_max is not None and len(exif) > row.exif_max:
        warnings.append(f"EXIF of {len(exif):,} bytes dropped: {row.title} holds {row.exif_max:,}")
        exif = None
    texts = metadata.texts
    if texts and fate(row, "texts") == "converted":
        exif, texts = _texts_in_exif(exif, texts, row, warnings)
    return replace(metadata, icc=icc, exif=exif, color=color, texts=texts)


def _for_size(metadata: Metadata, now: tuple[int, int], warnings: list[str]) -> Metadata:
    """Return metadata with the sizes and positions of pixels that have this size now."""
    turn = Turn(metadata.size or now, now)
    exif, xmp, place = metadata.exif, metadata.xmp, metadata.geo
    if exif is not None:
        exif = exif_block.reset_or_dropped(exif, turn, warnings)
    if xmp is not None:
        xmp = xmp_packet.reset(xmp, turn)
    return replace(metadata, exif=exif, xmp=xmp, geo=place)


def _without(metadata: Metadata, row: Codec, warnings: list[str]) -> Metadata:
    """Drop what the format has no place for, and say so."""
    for item in ("icc", "exif", "xmp", "iptc", "resolution", "texts", "color", "geo"):
        value = getattr(metadata, item)
        kind = "hdr" if item == "color" and value is not None and value.hdr else item
        if value and fate(row, kind) == "warned":
            warnings.append(f"{KEPT_SOMEWHERE[kind][0]} dropped: {row.title} has no place for it")
            nothing: Any = () if item == "texts" else None
            metadata = replace(metadata, **{item: nothing})
    return metadata


def _made_profile(color: StatedColor, gray: bool, row: Codec, own: bytes | None, warnings: list[str]) -> bytes | None:
    """Return a profile that says what was stated; the picture's own where there is no such profile."""
    try:
        icc = color.profile(gray)
    except ValueError as error:
        warnings.append(f"stated colours dropped: there is no profile for {error}")
        return own
    if color.hdr:
        warnings.append(
            f"the colours are {color.name}: {row.title} says so in a profile that not every viewer heeds; PNG says it "
            "plainly"
        )
    return icc


def _texts_in_exif(
    exif: bytes | None, texts: tuple[Text, ...], row: Codec, warnings: list[str]
) -> tuple[bytes | None, tuple[Text, ...]]:
    """Put texts into EXIF's user comment; return the block, and the texts that the format has a place for."""
    own = tuple(text for text in texts if row.comments and text.keyword == "Comment")
    others = [text for text in texts if text not in own]
    if not others:
        return exif, own
    one = others[0].text if len(others) == 1 else "\n".join(f"{text.keyword}: {text.text}" for text in others)
    try:
        made = exif_block.with_comment(exif, one)
    except exif_block.DamagedExif:
        made = None
    if made is not None and (row.exif_max is None or len(made) <= row.exif_max):
        return made, own
    if row.comments:
        return exif, texts
    warnings.append(f"texts dropped: {row.title} has no place for them, and EXIF has a comment already")
    return exif, own


def _fitting_pixels(picture: Picture, row: Codec, icc: bytes | None, warnings: list[str]) -> tuple[Any, int]:
    """Wrap the pixels, without a copy, in a pyvips image that converts to what the format holds as it is read.

    Returns the image and the depth at which to write it.
    """
    pixels = picture.pixels
    image = pyvips.Image.new_from_array(pixels if pixels.flags.c_contiguous else np.ascontiguousarray(pixels))
    if _is_gray(picture) and image.bands >= 3:
        image = image.extract_band(0) if image.bands == 3 else image.extract_band(0).bandjoin(image.extract_band(3))
    deep = pixels.dtype == np.uint16
    bits = 8 if not deep else picture.bits if picture.bits > 8 else 16
    depth = row.depth_for(bits)
    if icc is not None and fate(row, "icc") == "converted":
        warnings.append(f"colours converted from their profile to sRGB: {row.title} is written in no other")
        image = profile_to_srgb(image, icc, deep)
    top = 65_535 if deep else 255
    flat = image.bands in (2, 4) and not row.alpha
    if flat:
        warnings.append(f"transparency flattened over white: {row.title} has none")
        alpha = image.extract_band(image.bands - 1).cast("double")
        colors = image.extract_band(0, n=image.bands - 1).cast("double")
        image = colors * alpha / top + (top - alpha)
    if depth < bits:
        warnings.append(f"{bits} bit reduced to {depth}: {row.title} has no more")
    if deep and depth < 16:
        image = (image * ((2**depth - 1) / top) + 0.5).floor().cast("ushort")
        image = image.cast("uchar") if depth == 8 else image << (16 - depth)
    elif flat:
        image = (image + 0.5).floor().cast("ushort" if deep else "uchar")
    kinds = ("b-w", "srgb") if depth == 8 else ("grey16", "rgb16")
    return image.copy(interpretation=kinds[image.bands >= 3]), depth
