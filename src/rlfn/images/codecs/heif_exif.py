"""EXIF into an encoded AVIF file, byte for byte.

libvips takes a block apart and rebuilds it: it leaves out tags that it does not know, adds some that nobody wrote,
and drops makers' notes and places where the block is longer than 64 KB. So it writes a small block, and the item is
then made to point at the true one, behind all else. Source: ISO/IEC 14496-12 (``iloc``), ISO/IEC 23008-12 (``Exif``).
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from rlfn.images.codecs.boxes import boxes
from rlfn.images.exif import HEADER
from rlfn.images.ifd import built

PLACE = HEADER + built((), "<", 8)
"""The block that stands in for the true one while libvips encodes."""
_META_MAX = 64 << 20  # with profiles, which lie in it


class NoPlace(ValueError):  # noqa: N818 - it never leaves the package
    """The file has no EXIF item of the usual form."""


def put(stream: BinaryIO, exif: bytes) -> None:
    """Let the EXIF item of the file in ``stream`` (open for reading and writing) be ``exif``.

    Raises:
        NoPlace: there is no such item, or it lies in several parts.
    """
    start, meta = _meta(stream)
    parts = {kind: (a, b) for kind, a, b in boxes(meta, 4)}
    if b"iinf" not in parts or b"iloc" not in parts:
        raise NoPlace
    try:
        base, at, wide = _extent(meta, parts[b"iloc"][0], _number_of(meta, *parts[b"iinf"]))
    except (struct.error, IndexError):
        raise NoPlace from None
    body = bytes(4) + exif  # an Exif item starts with how far behind it the TIFF header lies
    end = stream.seek(0, 2)
    if end + 8 + len(body) > 2 ** (32 if wide == "I" else 64) - 1:
        raise NoPlace
    stream.write(struct.pack(">I4s", 8 + len(body), b"mdat") + body)
    stream.seek(start + base[0])
    stream.write(bytes(base[1]))  # the offset counts from the start of the file
    stream.seek(start + at)
    stream.write(struct.pack(">" + 2 * wide, end + 8, len(body)))


def _meta(stream: BinaryIO) -> tuple[int, bytes]:
    """Return where the content of the ``meta`` box starts, and that content."""
    at = stream.seek(0)
    while len(head := stream.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        if size < 8:
            break
        if kind == b"meta" and size <= _META_MAX:
            return at + 8, stream.read(size - 8)
        at = stream.seek(at + size)
    raise NoPlace


def _number_of(meta: bytes, start: int, end: int) -> int:
    """Return the number of the EXIF item."""
    for kind, a, _ in boxes(meta, start + (6 if meta[start] == 0 else 8), end):
        code, place = ("H", a + 6) if meta[a] == 2 else ("I", a + 8)
        if kind == b"infe" and meta[a] >= 2 and meta[place + 2 : place + 6] == b"Exif":
            number: int = struct.unpack_from(">" + code, meta, a + 4)[0]
            return number
    raise NoPlace


def _extent(meta: bytes, start: int, item: int) -> tuple[tuple[int, int], int, str]:
    """Return where an item's base offset stands and its bytes, where its extent does, and what numbers that has."""
    version = meta[start]
    offset, length, base, index = (half for byte in meta[start + 4 : start + 6] for half in (byte >> 4, byte & 15))
    wide = {(4, 4): "I", (8, 8): "Q"}.get((offset, length))
    if wide is None or version > 2:
        raise NoPlace
    number = "I" if version == 2 else "H"
    index = index if version else 0
    at = start + 6 + struct.calcsize(number)
    for _ in range(*struct.unpack_from(">" + number, meta, start + 6)):
        (found,) = struct.unpack_from(">" + number, meta, at)
        at += struct.calcsize(number)
        method = meta[at + 1] & 15 if version else 0
        at += 4 if version else 2
        (extents,) = struct.unpack_from(">H", meta, at + base)
        if found == item:
            if method or extents != 1:
                raise NoPlace
            return (at, base), at + base + 2 + index, wide
        at += base + 2 + extents * (index + offset + length)
    raise NoPlace
