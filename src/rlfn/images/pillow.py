"""Pillow's pictures to ours and back."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import MissingExtraError, OptionError
from rlfn.images.convert import as_srgb, from_float, lab_of
from rlfn.images.exif import HEADER, DamagedExif
from rlfn.images.exif import PREFIX as EXIF_PREFIX
from rlfn.images.exif import orientation as exif_orientation
from rlfn.images.exif_tiff import for_tiff
from rlfn.images.ifd import built
from rlfn.images.picture import Metadata, Picture, Text, Unreadable
from rlfn.images.stated import StatedColor
from rlfn.images.upright import upright as turned
from rlfn.images.upright import upright_metadata

if TYPE_CHECKING:
    from PIL.Image import Image

_CARRIED = ("exif", "dpi", "xmp", "comment", "photoshop")
_CONVERTED = ("CMYK", "LAB")
_NO_TEXTS = ("XML:com.adobe.xmp", "Raw profile type ")
_IPTC = 0x0404


def is_pillow(given: object) -> bool:
    """Tell whether an object is a Pillow picture, without importing Pillow."""
    return hasattr(given, "mode") and hasattr(given, "getbands")


def require_pillow() -> Any:
    """Return ``PIL.Image``.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("Returning a Pillow picture", "pillow") from None
    return Image


def from_pillow(given: Any, *, upright: bool) -> Picture:
    """Return a Pillow picture's pixels and metadata; ``upright``: turned as its EXIF says.

    The pixels are those that the same file gives when it is read from its path: palettes become RGB, a transparent
    colour becomes alpha, CMYK is converted with its profile, 32-bit values that fit become 16-bit ones.

    Raises:
        OptionError: a mode that has no RGB, gray or transparent form, or values out of range.
    """
    warnings: list[str] = []
    try:
        pixels, gray = _pixels(given, warnings)
    except Unreadable as error:
        raise OptionError(f"The Pillow picture {error}") from None
    metadata = _metadata(given)
    if given.mode in _CONVERTED:
        metadata = replace(metadata, icc=None)
    if upright:
        orientation = exif_orientation(metadata.exif) if metadata.exif else 1
        metadata = upright_metadata(metadata, given.size, orientation, gray, warnings)
        pixels = turned(pixels, orientation)
    return Picture(pixels, metadata, gray=gray, bits=8 * pixels.itemsize, warnings=tuple(warnings))


def _metadata(given: Any) -> Metadata:
    info = given.info
    dots = info.get("dpi")
    exif = info.get("exif") or None
    if exif is None and given.format == "TIFF":
        with contextlib.suppress(DamagedExif, OSError, ValueError):
            entries = for_tiff(given.getexif().tobytes().removeprefix(EXIF_PREFIX))
            exif = HEADER + built(entries, "<", 8) if entries else None
    resources = info.get("photoshop")
    texts = [Text(key, str(text)) for key, text in getattr(given, "text", {}).items() if not key.startswith(_NO_TEXTS)]
    if isinstance(comment := info.get("comment"), bytes):
        texts.append(Text("Comment", comment.decode("utf-8", "replace")))
    return Metadata(
        icc=info.get("icc_profile") or None,
        exif=exif.removeprefix(EXIF_PREFIX) if exif else None,
        xmp=info.get("xmp") if isinstance(info.get("xmp"), bytes) else None,
        resolution=(float(dots[0]) / 25.4, float(dots[1]) / 25.4) if dots and min(dots) > 0 else None,
        iptc=resources.get(_IPTC) if isinstance(resources, dict) else None,
        texts=tuple(texts),
        color=None if info.get("icc_profile") else _color(info),
        size=given.size,
    )


def _color(info: dict[str, Any]) -> StatedColor | None:
    """Return what a PNG file says of its colours; Pillow knows no cICP chunk."""
    gamma, points, intent = (info.get(key) for key in ("gamma", "chromaticity", "srgb"))
    if gamma is None and points is None and intent is None:
        return None
    return StatedColor(
        intent=intent,
        gamma=None if gamma is None else round(gamma * 100_000),
        chromaticities=None if points is None else tuple(round(value * 100_000) for value in points),
    )


def to_pillow(result: Picture, source: Any = None, warnings: list[str] | None = None) -> Image:
    """Return a picture as Pillow's: gray with alpha where it is, with the metadata of ``source`` or its own.

    What is said of the colours becomes a profile; texts and IPTC stand where Pillow's own readers put them.

    Args:
        result: the picture.
        source: the Pillow picture that it was made of.
        warnings: gets what is lost.

    Raises:
        OptionError: 16-bit colour, which Pillow does not support.
        MissingExtraError: Pillow is not installed.
    """
    check_pillow_can(result)
    made: Image = require_pillow().fromarray(result.pixels)
    if result.gray and made.mode == "RGBA":
        made = made.convert("LA")
    metadata = result.metadata
    icc = _profile(result, [] if warnings is None else warnings)
    if source is not None:
        keys = (*_CARRIED, *getattr(source, "text", ()))
        found = {key: source.info[key] for key in keys if key in source.info}
    else:
        found = {
            **_texts(result),
            "exif": metadata.exif and EXIF_PREFIX + metadata.exif,
            "xmp": metadata.xmp,
            "dpi": metadata.resolution and tuple(side * 25.4 for side in metadata.resolution),
            "photoshop": metadata.iptc and {_IPTC: metadata.iptc},
        }
        if metadata.geo is not None and warnings is not None:
            warnings.append("GeoTIFF dropped: a Pillow picture has no place for it")
    made.info.update({key: value for key, value in {**found, "icc_profile": icc}.items() if value})
    return made


def _profile(result: Picture, warnings: list[str]) -> bytes | None:
    """Return the profile of a picture, or one that says what is stated of its colours."""
    icc, color = result.metadata.icc, result.metadata.color
    if color is None:
        return icc
    try:
        made = color.profile(result.gray)
    except ValueError as error:
        warnings.append(f"stated colours dropped: there is no profile for {error}")
        return icc
    if color.hdr:
        warnings.append(f"the colours are {color.name}: not every program heeds the profile that says so")
    return made


def _texts(result: Picture) -> dict[str, Any]:
    """Return the texts as Pillow's readers of PNG, and of JPEG and GIF, put them into ``info``."""
    texts = result.metadata.texts
    if result.format == "png":
        return {text.keyword: text.text for text in texts}
    return {"comment": "\n".join(text.text for text in texts).encode()} if texts else {}


def check_pillow_can(picture: Picture) -> None:
    """Refuse what Pillow cannot hold.

    Raises:
        OptionError: 16-bit colour.
    """
    if picture.pixels.dtype == np.uint16 and picture.pixels.ndim == 3:
        raise OptionError(
            "Pillow has no 16-bit colour pictures. Pass output= to write a PNG or TIFF, or pass the pixels as an array."
        )


def _pixels(given: Any, warnings: list[str]) -> tuple[NDArray[Any], bool]:
    """Return the pixels, and whether their colours are gray."""
    mode, clear = given.mode, given.info.get("transparency")
    if mode in _CONVERTED:
        return _converted(given, warnings), False
    if mode.startswith("I;16") or mode in ("I", "F"):
        return _with_clear(_deep(np.asarray(given), warnings), clear), True
    if mode in ("L", "1"):
        clear = (255 if clear else 0) if mode == "1" and isinstance(clear, int) else clear
        return _with_clear(np.array(given.convert("L")), clear), True
    if mode == "RGB":
        return _with_clear(np.array(given), clear), False
    if mode in ("P", "PA"):
        palette = given.palette.mode if given.palette is not None else "RGB"
        see_through = mode == "PA" or clear is not None or palette.endswith("A")
        return np.array(given.convert("RGBA" if see_through else "RGB")), False
    if mode in ("La", "LA"):
        return np.ascontiguousarray(np.asarray(given.convert("LA"))[..., [0, 0, 0, 1]]), True
    if mode in ("RGBa", "RGBA"):
        return np.array(given.convert("RGBA")), False
    if mode in ("YCbCr", "HSV", "RGBX"):
        return np.array(given.convert("RGB")), False
    raise Unreadable(f"has the mode {mode}, which cannot be upscaled. Convert it to L, RGB, RGBA or I;16 first.")


def _deep(values: NDArray[Any], warnings: list[str]) -> NDArray[Any]:
    """Make uint16 of a gray picture's wider values."""
    if values.dtype.kind == "f":
        return from_float(values, warnings)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65_535:
        raise Unreadable(f"holds values from {low} to {high}; allowed are 0 to 65535. Scale them first.")
    return values.astype(np.uint16)


def _with_clear(pixels: NDArray[Any], clear: Any) -> NDArray[Any]:
    """Add alpha where a colour is stated to be transparent."""
    if not isinstance(clear, int if pixels.ndim == 2 else tuple):
        return pixels
    top = np.iinfo(pixels.dtype).max
    seen = pixels != clear if pixels.ndim == 2 else (pixels != np.array(clear)).any(axis=2)
    colors = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    return np.dstack([colors, seen * pixels.dtype.type(top)])


def _converted(given: Any, warnings: list[str]) -> NDArray[Any]:
    """Convert CMYK and Lab as those of files are."""
    import pyvips

    from rlfn.images.codecs.vips import FORK_GUARD

    FORK_GUARD.enter()
    image = pyvips.Image.new_from_array(np.asarray(given))
    if given.mode == "CMYK":
        image = image.copy(interpretation="cmyk")
        if icc := given.info.get("icc_profile"):
            image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    else:
        image = lab_of(image)
    return np.array(as_srgb(image, 8, warnings).numpy()).reshape(given.height, given.width, 3)
