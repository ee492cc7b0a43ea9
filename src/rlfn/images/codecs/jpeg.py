"""JPEG. Sources: JFIF 1.02, Exif 2.32."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import BinaryIO

from rlfn.images.codecs import vips
from rlfn.images.codecs.codec import Codec, Content, Encoding, Opened, starts_with
from rlfn.images.exif import PREFIX
from rlfn.images.picture import Metadata

_EXIF_MAX = 65_533 - len(PREFIX)
"""Bytes of EXIF that fit into a segment."""
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_MAX = 65_533 - len(_XMP_NAME)
"""Bytes of XMP that fit into a segment, beside its 29-byte name."""


def _open(data: bytes) -> Opened:
    image = vips.load("jpeg", data)
    resolution = (image.xres, image.yres) if image.get_typeof("resolution-unit") else None

    def decode(warnings: list[str]) -> Content:
        content = vips.content(image, replace(vips.metadata(image), resolution=resolution), warnings)
        if b"Corrupt JPEG data" in vips.remarks():
            warnings.append("damaged JPEG data: part of the picture may be wrong")
        return content

    return Opened(image.width, image.height, decode, vips.field(image, "n-pages") or 1, vips.orientation(image))


def _save(given: Encoding, stream: BinaryIO, warnings: list[str]) -> None:
    metadata = given.metadata
    if metadata.exif is not None and len(metadata.exif) > _EXIF_MAX:
        warnings.append(f"EXIF of {len(metadata.exif):,} bytes dropped: JPEG holds {_EXIF_MAX:,}")
        metadata = replace(metadata, exif=None)
    if metadata.xmp is not None and len(metadata.xmp) > _XMP_MAX:
        warnings.append(f"XMP of {len(metadata.xmp):,} bytes dropped: JPEG holds {_XMP_MAX:,}")
        metadata = replace(metadata, xmp=None)
    # Full colour resolution. Optimal tables would make files a few per cent smaller, but hold the whole picture as
    # coefficients: twice the memory of its pixels once more.
    vips.save("jpeg", given, stream, splice=lambda head: _spliced(head, metadata), subsample_mode="off")


def _spliced(head: bytes, metadata: Metadata) -> bytes | None:
    """Put JFIF (resolution), EXIF and XMP segments first."""
    if len(head) < 2:
        return None
    unit, across, down = 0, 1, 1
    if metadata.resolution is not None:
        per_inch = [value * 25.4 for value in metadata.resolution]
        per_cm = [value * 10 for value in metadata.resolution]
        unit, values = min(((1, per_inch), (2, per_cm)), key=lambda pair: sum(abs(v - round(v)) for v in pair[1]))
        across, down = (min(max(round(value), 1), 65_535) for value in values)
    added = b"\xff\xe0" + struct.pack(">H5sHBHHBB", 16, b"JFIF\0", 0x0102, unit, across, down, 0, 0)
    if metadata.exif is not None:
        added += b"\xff\xe1" + struct.pack(">H", 2 + len(PREFIX) + len(metadata.exif)) + PREFIX + metadata.exif
    if metadata.xmp is not None:
        size = 2 + len(_XMP_NAME) + len(metadata.xmp)
        added += b"\xff\xe1" + struct.pack(">H", size) + _XMP_NAME + metadata.xmp
    return head[:2] + added + head[2:]


JPEG = Codec(
    "jpg",
    "JPEG",
    (".jpg", ".jpeg", ".jpe", ".jfif"),
    starts_with(b"\xff\xd8\xff"),
    _open,
    _save,
    max_side=65_500,
    lossy=True,
    alpha=False,
    default_quality=95,
)
