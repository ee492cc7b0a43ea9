"""Pixels of other kinds to the public ones: colour spaces, depths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from rlfn.images.picture import Pixels, Unreadable


def eight_bit(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return uint16 pixels as uint8, rounded."""
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def lab_of(image: Any) -> Any:
    """Read 8-bit Lab that was relabelled as RGB (libvips 8.18 refuses to open it); ``None`` when it is not 8-bit."""
    if image.format != "uchar" or image.bands != 3:
        return None
    lightness, a, b = image[0] * (100 / 255), (image[1] ^ 128) - 128.0, (image[2] ^ 128) - 128.0
    return lightness.bandjoin([a, b]).copy(interpretation="lab")


def icc_lab_of(image: Any) -> Any:
    """Read 8-bit Lab as ICC profiles code it, which differs from TIFF's own in the signs."""
    return (image[0] * (100 / 255)).bandjoin([image[1] - 128.0, image[2] - 128.0]).copy(interpretation="lab")


def as_srgb(image: Any, bits: int, warnings: list[str]) -> Any:
    """Convert CMYK and Lab; a profile that came with the file is used and does not stay."""
    depth = 16 if bits > 8 else 8
    if image.interpretation != "cmyk":
        warnings.append("Lab converted to sRGB")
        return image.colourspace("lab").icc_export(output_profile="srgb", pcs="lab", depth=depth)
    warnings.append("CMYK converted to sRGB")
    profile = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else None
    if profile is not None and _tells_inks(profile):
        pixel = pyvips.Image.black(1, 1, bands=4).cast(image.format).copy(interpretation="cmyk")
        pixel.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
        try:
            _inks_converted(pixel, depth).write_to_memory()
        except pyvips.Error:
            pass
        else:
            return _inks_converted(image, depth)
    if profile is not None:
        warnings.append("colour profile dropped: it does not say how inks look")
    return _plain_rgb(image)


def _inks_converted(image: Any, depth: int) -> Any:
    """Convert CMYK to sRGB with the profile that came with it."""
    ways = {"pcs": "lab", "intent": "relative", "black_point_compensation": True}
    return image.icc_import(embedded=True, **ways).icc_export(output_profile="srgb", depth=depth, **ways)


def _tells_inks(profile: bytes) -> bool:
    """Tell whether a profile can be used for CMYK; libvips would take one of its own without a word."""
    names = {profile[at : at + 4] for at in range(132, min(len(profile), 132 + 12 * 100), 12)}
    return len(profile) > 132 and profile[16:20] == b"CMYK" and not names.isdisjoint((b"A2B0", b"A2B1", b"A2B2"))


def _plain_rgb(image: Any) -> Any:
    """Take ink away from white: what programs do where no profile says how the inks look. Full black is black."""
    top = 65_535 if image.format == "ushort" else 255
    left = top - image
    mixed = left.extract_band(0, n=3) * left[3] / top + 0.5
    return mixed.floor().cast(image.format).copy(interpretation="rgb16" if top > 255 else "srgb")


def unpremultiplied(pixels: Pixels) -> Pixels:
    """Divide an RGBA picture's colours by its alpha, rounded; where nothing is visible they stay."""
    top = np.iinfo(pixels.dtype).max
    alpha = pixels[:, :, 3:].astype(np.float32)
    colors = np.minimum(pixels[:, :, :3] * (top / np.maximum(alpha, 1)) + 0.5, top).astype(pixels.dtype)
    result: Pixels = np.concatenate([np.where(alpha > 0, colors, pixels[:, :, :3]), pixels[:, :, 3:]], axis=2)
    return result


def from_float(pixels: Pixels, warnings: list[str]) -> Pixels:
    """Make uint16 of values from 0 to 1.

    Raises:
        Unreadable: there are others among them.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1) or math.isnan(low + high):
        raise Unreadable(
            f"holds floating-point pixels from {low:g} to {high:g}; allowed are 0 to 1. "
            "Scale them, or convert the picture to 16 bit first."
        )
    warnings.append("floating-point pixels converted to 16 bit")
    result: Pixels = (pixels * 65_535 + 0.5).astype(np.uint16)
    return result


def full_range(pixels: Pixels, bits: int) -> Pixels:
    """Spread ``bits``-deep values, which arrive in the upper bits, over 0 to 65535 by repeating their upper bits."""
    if bits < 16:
        pixels |= pixels >> bits
    return pixels
