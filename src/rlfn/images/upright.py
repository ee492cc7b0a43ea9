"""Pixels and metadata as a file holds them, made upright."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rlfn.images import exif as exif_block
from rlfn.images import xmp as xmp_packet
from rlfn.images.picture import Metadata, Pixels, fitting_profile


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation (1 to 8)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def upright_metadata(
    metadata: Metadata, stored: tuple[int, int], orientation: int, gray: bool, warnings: list[str]
) -> Metadata:
    """Make metadata fit the upright picture: orientation 1, its sizes, a sound profile of the right kind.

    Args:
        metadata: as it was read.
        stored: width and height before the picture is turned.
        orientation: EXIF's (1 to 8).
        gray: whether the pixels are gray.
        warnings: gets what was lost.
    """
    turn = exif_block.Turn(stored, stored[::-1] if orientation >= 5 else stored, orientation)
    icc, exif, xmp, resolution, place = metadata.icc, metadata.exif, metadata.xmp, metadata.resolution, metadata.geo
    if icc is not None:
        icc, problem = fitting_profile(icc, gray)
        if icc is None:
            warnings.append(f"colour profile dropped: {problem}")
    if exif is not None:
        if resolution is None:
            resolution = exif_block.resolution(exif)
        exif = exif_block.reset_or_dropped(exif, turn, warnings)
    if xmp is not None:
        xmp = xmp_packet.reset(xmp, turn)
    if resolution is not None and turn.turned:
        resolution = resolution[::-1]
    if place is not None and orientation != 1:
        warnings.append("GeoTIFF tags dropped: the picture was turned")
        place = None
    return replace(metadata, icc=icc, exif=exif, xmp=xmp, resolution=resolution, geo=place, size=turn.after)
