"""PNG. Source: PNG, third edition."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from typing import BinaryIO

from rlfn.images.codecs import vips
from rlfn.images.codecs.codec import Codec, Content, Encoding, Opened, starts_with
from rlfn.images.picture import Metadata

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _open(data: bytes) -> Opened:
    image = vips.load("png", data)
    end = data.find(b"IDAT")
    pages = 1
    if (at := data.find(b"acTL", 0, end)) > 0:
        pages = int.from_bytes(data[at + 4 : at + 8], "big")
    found = vips.metadata(image)
    if data.find(b"pHYs", 0, end) > 0:
        found = replace(found, resolution=(image.xres, image.yres))
    else:
        found = replace(found, resolution=None)

    def decode(warnings: list[str]) -> Content:
        return vips.content(image, found, warnings)

    return Opened(image.width, image.height, decode, pages, vips.orientation(image))


def _save(given: Encoding, stream: BinaryIO, warnings: list[str]) -> None:
    # benchmarks/png_level.py, 8 bit: level 2 with the one filter "up" takes 0.037 s a megapixel for 1.45 MB. libvips'
    # default (6, "none") takes 0.087 s for 2.43 MB; the smallest (6, "all") 0.158 s for 1.32 MB.
    vips.save("png", given, stream, splice=lambda head: _spliced(head, given.metadata), compression=2, filter="up")


def _spliced(head: bytes, metadata: Metadata) -> bytes | None:
    """Put EXIF and XMP before the first IDAT, and take away a resolution that nobody stated."""
    kept = bytearray(head[:8])
    at = 8
    while True:
        if len(head) < at + 8:
            return None
        size, name = struct.unpack_from(">I4s", head, at)
        if name == b"IDAT":
            break
        if len(head) < at + 12 + size:
            return None
        if name != b"pHYs" or metadata.resolution is not None:
            kept += head[at : at + 12 + size]
        at += 12 + size
    if metadata.exif is not None:
        kept += _chunk(b"eXIf", metadata.exif)
    if metadata.xmp is not None:
        kept += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)
    return bytes(kept) + head[at:]


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


PNG = Codec("png", "PNG", (".png",), starts_with(_SIGNATURE), _open, _save, max_side=1_000_000, depths=(8, 16))
