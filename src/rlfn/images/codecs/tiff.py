"""TIFF. Source: TIFF 6.0."""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

from rlfn.images import exif as exif_block
from rlfn.images.codecs import vips
from rlfn.images.codecs.codec import Codec, Content, Encoding, Opened, starts_with
from rlfn.images.convert import lab_of

_CLASSIC_MAX = 4_000_000_000
"""Bytes of pixels up to which the 32-bit offsets of a classic TIFF file are enough."""


def _open(data: bytes) -> Opened:
    image = None
    if relabelled := exif_block.tiff_lab_as_rgb(data):
        image = lab_of(vips.load("tiff", relabelled))
    if image is None:
        image = vips.load("tiff", data)

    def decode(warnings: list[str]) -> Content:
        found = replace(vips.metadata(image), exif=_exif(data, warnings))
        return vips.content(image, found, warnings)

    return Opened(image.width, image.height, decode, vips.field(image, "n-pages") or 1, vips.orientation(image))


def _exif(data: bytes, warnings: list[str]) -> bytes | None:
    try:
        return exif_block.from_tiff(data)
    except exif_block.DamagedExif:
        warnings.append("EXIF of this TIFF file, if it has any, is lost: its tables are damaged or those of a BigTIFF")
        return None


def _save(given: Encoding, stream: BinaryIO, warnings: list[str]) -> None:
    image = given.image
    size = image.width * image.height * image.bands * (2 if given.depth > 8 else 1)
    # The one lossless compression that every TIFF reader has; with the predictor 0.05 s a megapixel.
    options = {"compression": "lzw", "predictor": "horizontal", "resunit": "inch", "bigtiff": size > _CLASSIC_MAX}
    vips.save("tiff", given, stream, keep=("icc", "xmp"), **options)
    if given.metadata.exif is not None:
        try:
            exif_block.into_tiff(stream, given.metadata.exif)
        except exif_block.DamagedExif:
            warnings.append("EXIF dropped: it is damaged, or the TIFF file is over 4 GB")


TIFF = Codec(
    "tiff",
    "TIFF",
    (".tiff", ".tif"),
    starts_with(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    _open,
    _save,
    max_side=1_000_000,
    depths=(8, 16),
)
