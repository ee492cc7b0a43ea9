"""WebP. Source: the WebP container specification."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from rlfn.images.codecs import vips
from rlfn.images.codecs.codec import Codec, Content, Encoding, Opened, tell_lost
from rlfn.images.coding import CodingInfo

_KNOWN = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "))
_MAX_CHUNKS = 1_000_000
_FRAME_HEADER = 24
"""Bytes of an ANMF chunk before the chunks inside it."""


def _open(data: bytes) -> Opened:
    pages = 0
    lost: dict[str, None] = {}
    first = 12
    for name, _, stop in _chunks(data):
        if name == b"ANMF":
            pages += 1
            if pages == 1:
                first = stop
        elif name not in _KNOWN:
            text = name.decode("latin-1").strip()
            lost["content credentials (C2PA)" if text == "C2PA" else f"WebP chunk {text}"] = None
    lossy = is_lossy(data)
    if pages > 1:
        data = _first_frame(data, first)
    image = vips.load("webp", data)

    def decode(warnings: list[str]) -> Content:
        tell_lost(lost, warnings)
        return vips.content(image, vips.metadata(image), warnings)

    return Opened(image.width, image.height, decode, max(pages, 1), vips.orientation(image), CodingInfo(lossy))


def is_lossy(data: bytes) -> bool:
    """Tell whether a file's picture, or the first frame of its animation, is coded with loss."""
    for name, at, _ in _chunks(data):
        if name == b"ANMF":
            name = next((name for name, _, _ in _chunks(data, at + _FRAME_HEADER) if name != b"ALPH"), b"")
        if name in (b"VP8 ", b"VP8L", b""):
            return name == b"VP8 "
    return False


def _chunks(data: bytes, at: int = 12) -> Iterator[tuple[bytes, int, int]]:
    """Go through the chunks from ``at`` on: name, start and end, padding included."""
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(data):
            return
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        if end - size % 2 > len(data):
            return
        yield data[at : at + 4], at, end
        at = end


def _first_frame(data: bytes, first: int) -> bytes:
    """Return the file with its first frame alone: the decoder's time grows with the square of their number."""
    behind = [data[at:end] for name, at, end in _chunks(data) if at >= first and name in (b"EXIF", b"XMP ")]
    body = data[12:first] + b"".join(behind)
    return data[:4] + struct.pack("<I", 4 + len(body)) + data[8:12] + body


def _save(given: Encoding, stream: BinaryIO, warnings: list[str]) -> None:
    exif = given.metadata.exif
    width, height = given.image.width, given.image.height
    splice = None if exif is None else lambda head: _spliced(head, exif, width, height)
    # "exact" keeps the colours under transparent pixels.
    vips.save("webp", given, stream, keep=("icc", "xmp"), splice=splice, smart_subsample=True, exact=True)


def _spliced(head: bytes, exif: bytes, width: int, height: int) -> bytes | None:
    """Add an EXIF chunk, and the header that announces it."""
    if len(head) < 12 or len(head) < (whole := 8 + int(struct.unpack_from("<I", head, 4)[0])):
        return None
    body = bytearray(head[12:whole])
    if body[:4] == b"VP8X":
        body[8] |= 0x08
    else:
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        body[:0] = struct.pack("<4sI", b"VP8X", 10) + b"\x08\0\0\0" + sides
    at = body.find(b"XMP ", _end_of_pixels(body))  # EXIF goes before XMP
    chunk = struct.pack("<4sI", b"EXIF", len(exif)) + exif + b"\0" * (len(exif) % 2)
    at = len(body) if at < 0 else at
    body[at:at] = chunk
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + bytes(body)


def _end_of_pixels(body: bytearray) -> int:
    """Return where the chunks after the pixels begin."""
    at = end = 0
    while at + 8 <= len(body):
        name, size = struct.unpack_from("<4sI", body, at)
        at += 8 + size + size % 2
        if name in (b"VP8 ", b"VP8L"):
            end = at
    return end


WEBP = Codec(
    "webp",
    "WebP",
    (".webp",),
    lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    _open,
    _save,
    max_side=16_383,
    lossy=True,
    gray=False,
    default_quality=95,
    carries={
        "icc": "kept",
        "exif": "kept",
        "xmp": "kept",
        "resolution": "converted",
        "texts": "converted",
        "color": "converted",
        "hdr": "converted",
    },
)
