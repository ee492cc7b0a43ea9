"""Pixels of other kinds to the public ones: colour spaces, depths, orientation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlfn.images.picture import Pixels, Unreadable


def lab_of(image: Any) -> Any:
    """Read 8-bit Lab that was relabelled as RGB (libvips 8.18 refuses to open it); ``None`` when it is not 8-bit."""
    if image.format != "uchar" or image.bands != 3:
        return None
    lightness, a, b = image[0] * (100 / 255), (image[1] ^ 128) - 128.0, (image[2] ^ 128) - 128.0
    return lightness.bandjoin([a, b]).copy(interpretation="lab")


def as_srgb(image: Any, bits: int, warnings: list[str]) -> Any:
    """Convert CMYK and Lab; a profile that came with the file is used and does not stay."""
    deep = bits > 8
    warnings.append(f"{'CMYK' if image.interpretation == 'cmyk' else 'Lab'} converted to sRGB")
    if image.interpretation == "cmyk":
        return image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=16 if deep else 8)
    return image.colourspace("lab").icc_export(output_profile="srgb", pcs="lab", depth=16 if deep else 8)


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


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation (1 to 8)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
