"""Metadata at the byte level of JPEG, PNG and WebP files, written exactly as it was read.

libvips would take an EXIF block apart and build it anew, add tags that nobody wrote, leave long XMP out of JPEG, and
put it into a compressed chunk of PNG that few readers look at. Here the blocks are added to the encoded file instead,
while it streams by.
Sources: JFIF 1.02, Exif 2.32, PNG (third edition), WebP container specification.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from rlfn.images.exif import PREFIX
from rlfn.images.picture import Metadata

JPEG_EXIF_MAX = 65_533 - len(PREFIX)
"""Bytes of EXIF that fit into a JPEG segment."""
_JPEG_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
JPEG_XMP_MAX = 65_533 - len(_JPEG_XMP_NAME)
"""Bytes of XMP that fit into a JPEG segment, beside its 29-byte name."""

Splice = Callable[[bytes], bytes | None]
"""Takes the first bytes of an encoded file; returns them with metadata added, or ``None`` when it needs more."""


def splice_for(format: str, metadata: Metadata, width: int, height: int) -> Splice | None:
    """Return what adds ``metadata`` to a file of ``format``; ``None`` where the encoder does it all."""
    if format == "jpg":
        return lambda head: _jpeg(head, metadata)
    if format == "png":
        return lambda head: _png(head, metadata)
    if format == "webp" and metadata.exif is not None:
        exif = metadata.exif
        return lambda head: _webp(head, exif, width, height)
    return None


def _jpeg(head: bytes, metadata: Metadata) -> bytes | None:
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
        size = 2 + len(_JPEG_XMP_NAME) + len(metadata.xmp)
        added += b"\xff\xe1" + struct.pack(">H", size) + _JPEG_XMP_NAME + metadata.xmp
    return head[:2] + added + head[2:]


def _png(head: bytes, metadata: Metadata) -> bytes | None:
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
        kept += _png_chunk(b"eXIf", metadata.exif)
    if metadata.xmp is not None:
        kept += _png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)
    return bytes(kept) + head[at:]


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _webp(head: bytes, exif: bytes, width: int, height: int) -> bytes | None:
    """Add an EXIF chunk, and the header that announces it."""
    if len(head) < 12 or len(head) < (whole := 8 + int(struct.unpack_from("<I", head, 4)[0])):
        return None
    body = bytearray(head[12:whole])
    if body[:4] == b"VP8X":
        body[8] |= 0x08
    else:
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        body[:0] = struct.pack("<4sI", b"VP8X", 10) + b"\x08\0\0\0" + sides
    at = body.find(b"XMP ", _webp_end_of_picture(body))  # EXIF goes before XMP
    chunk = struct.pack("<4sI", b"EXIF", len(exif)) + exif + b"\0" * (len(exif) % 2)
    at = len(body) if at < 0 else at
    body[at:at] = chunk
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + bytes(body)


def _webp_end_of_picture(body: bytearray) -> int:
    """Return where the chunks after the pixels begin."""
    at = end = 0
    while at + 8 <= len(body):
        name, size = struct.unpack_from("<4sI", body, at)
        at += 8 + size + size % 2
        if name in (b"VP8 ", b"VP8L"):
            end = at
    return end
