"""TIFF. Source: TIFF 6.0."""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

from rlfn.images import exif_tiff, geo
from rlfn.images.codecs import tiff_pages, tiff_samples, vips
from rlfn.images.codecs.codec import Codec, Content, Encoding, Opened, starts_with, tell_aspect, tell_lost
from rlfn.images.ifd import UNDEFINED, DamagedExif, Entry

_CLASSIC_MAX = 4_000_000_000
"""Bytes of pixels up to which the 32-bit offsets of a classic TIFF file are enough."""
_IPTC = 33723


def _open(data: bytes) -> Opened:
    found = tiff_pages.look(data)
    assert found.page is not None
    tiff_samples.check(found.page)
    image = tiff_samples.load(found)

    def decode(warnings: list[str]) -> Content:
        lost: list[str] = []
        stated = tiff_pages.metadata(found, warnings, lost)
        tell_lost(lost, warnings)
        resolution, aspect = tiff_pages.resolution(found)
        tell_aspect(aspect, warnings)
        blocks = vips.metadata(image)
        metadata = replace(stated, icc=blocks.icc, xmp=blocks.xmp or stated.xmp, resolution=resolution)
        return vips.content(image, metadata, warnings, channels=found.alpha(int(image.bands)))

    return Opened(image.width, image.height, decode, found.count, vips.orientation(image))


def _save(given: Encoding, stream: BinaryIO, warnings: list[str]) -> None:
    image, metadata = given.image, given.metadata
    size = image.width * image.height * image.bands * (2 if given.depth > 8 else 1)
    vips.save(
        "tiff",
        given,
        stream,
        keep=("icc", "xmp"),
        # The one lossless compression that every TIFF reader has; with the predictor 0.05 s a megapixel.
        compression="lzw",
        predictor="horizontal",
        resunit="inch",
        bigtiff=size > _CLASSIC_MAX,
    )
    try:
        entries: list[Entry] = []
        if metadata.exif is not None:
            entries += exif_tiff.for_tiff(metadata.exif)
            tell_lost(exif_tiff.not_for_tiff(metadata.exif), warnings)
        if metadata.geo is not None and metadata.size is not None:
            across, down = image.width / metadata.size[0], image.height / metadata.size[1]
            entries += geo.scaled(metadata.geo, across, down)
        if metadata.iptc is not None:
            entries.append(Entry(_IPTC, UNDEFINED, metadata.iptc))
        if entries:
            exif_tiff.into_tiff(stream, entries)
    except DamagedExif:
        warnings.append("EXIF, IPTC and GeoTIFF dropped: they are damaged, or the TIFF file is over 4 GB")


TIFF = Codec(
    "tiff",
    "TIFF",
    (".tiff", ".tif"),
    "image/tiff",
    starts_with(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    _open,
    _save,
    max_side=1_000_000,
    depths=(8, 16),
    carries={
        "icc": "kept",
        "exif": "kept",
        "xmp": "kept",
        "iptc": "kept",
        "resolution": "kept",
        "texts": "converted",
        "color": "converted",
        "hdr": "converted",
        "geo": "kept",
    },
)
