"""Pillow's pictures to ours and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import MissingExtraError, OptionError
from rlfn.images.exif import PREFIX as EXIF_PREFIX
from rlfn.images.picture import Metadata, Picture

if TYPE_CHECKING:
    from PIL.Image import Image

_CARRIED = ("icc_profile", "exif", "dpi", "xmp")
_GRAY = ("LA", "La")


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

    Raises:
        OptionError: a mode that has no RGB, gray or transparent form.
    """
    if upright:
        from PIL import ImageOps

        given = ImageOps.exif_transpose(given)
    pixels = _pixels(given)
    info = given.info
    dots = info.get("dpi")
    metadata = Metadata(
        icc=info.get("icc_profile"),
        exif=info["exif"].removeprefix(EXIF_PREFIX) or None if "exif" in info else None,
        xmp=info.get("xmp") if isinstance(info.get("xmp"), bytes) else None,
        resolution=(float(dots[0]) / 25.4, float(dots[1]) / 25.4) if dots and min(dots) > 0 else None,
    )
    return Picture(pixels, metadata, gray=pixels.ndim == 2 or given.mode in _GRAY, bits=8 * pixels.itemsize)


def to_pillow(result: Picture, source: Any = None) -> Image:
    """Return a picture as Pillow's: gray with alpha where it is, with the metadata of ``source`` or its own.

    Raises:
        OptionError: 16-bit colour, which Pillow has not.
        MissingExtraError: Pillow is not installed.
    """
    check_pillow_can(result)
    made: Image = require_pillow().fromarray(result.pixels)
    if result.gray and made.mode == "RGBA":
        made = made.convert("LA")
    if source is not None:
        made.info.update({key: source.info[key] for key in _CARRIED if key in source.info})
        return made
    metadata = result.metadata
    found = {
        "icc_profile": metadata.icc,
        "exif": metadata.exif and EXIF_PREFIX + metadata.exif,
        "xmp": metadata.xmp,
        "dpi": metadata.resolution and tuple(side * 25.4 for side in metadata.resolution),
    }
    made.info.update({key: value for key, value in found.items() if value})
    return made


def check_pillow_can(picture: Picture) -> None:
    """Refuse what Pillow cannot hold.

    Raises:
        OptionError: 16-bit colour.
    """
    if picture.pixels.dtype == np.uint16 and picture.pixels.ndim == 3:
        raise OptionError(
            "Pillow has no 16-bit colour pictures. Pass output= to write a PNG or TIFF, or pass the pixels as an array."
        )


def _pixels(given: Any) -> NDArray[Any]:
    mode = given.mode
    if mode.startswith("I;16"):
        return np.asarray(given).astype(np.uint16)
    if mode in ("L", "RGB", "RGBA"):
        return np.array(given)
    if mode == "1":
        return np.array(given.convert("L"))
    if mode in ("La", "RGBa"):
        return np.array(given.convert(mode.upper()).convert("RGBA"))
    if mode in ("P", "PA", "LA"):
        return np.array(given.convert("RGBA" if mode != "P" or "transparency" in given.info else "RGB"))
    if mode in ("CMYK", "YCbCr", "HSV"):
        return np.array(given.convert("RGB"))
    raise OptionError(f"Cannot upscale a Pillow picture of mode {mode}. Convert it to L, RGB, RGBA or I;16 first.")
