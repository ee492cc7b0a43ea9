"""Keeps EXIF blocks from libvips on which it, which takes every block apart, would work for minutes or for ever.

Only metadata is looked at and changed. Where it cannot be told from the pixels, which only damaged or hostile files do,
the whole rest of the file counts as metadata.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from itertools import islice

from rlfn.images.codecs import webp_chunks
from rlfn.images.codecs.boxes import boxes
from rlfn.images.codecs.jpeg_scan import metadata_spans
from rlfn.images.codecs.png_chunks import MAX_CHUNKS, iter_chunks
from rlfn.images.ifd import Buffer, exhausting

_HEADERS = (b"II*\0", b"MM\0*")
_MAX_HEADERS = 1000
"""The most TIFF headers that are judged; others count as exhausting. Files of cameras have a few."""

_MAX_EXTENTS = 10_000
_BEHIND = 1 << 16
"""Bytes behind an item that are judged with it: a table may run past the end."""

ByteRange = tuple[int, int]


class _Unclear(ValueError):  # noqa: N818 - it never leaves the module
    """The boxes cannot be followed to their end."""


def without_exhausting(loader: str, data: bytes) -> bytes:
    """Return a file without the EXIF blocks that would exhaust libvips: the very same bytes where it has none.

    Args:
        loader: libvips' name for the format, one of :data:`GUARDED`.
        data: the file.
    """
    if loader == "heif":
        try:
            places = list(_heif_places(data))
        except (IndexError, _Unclear):
            places = list(_header_places(data, [(0, len(data))]))
    else:
        places = list(_header_places(data, _SPANS[loader](data)))
    if not places:
        return data
    changed = bytearray(data)
    for at in places:
        changed[at : at + 4] = b"\0\0\0\0"
    return bytes(changed)


def _header_places(data: bytes, spans: Iterator[ByteRange] | list[ByteRange]) -> Iterator[int]:
    """Yield where the TIFF headers of exhausting blocks lie."""
    view = memoryview(data)
    headers = (at for start, end in spans for at in _headers(data, start, end))
    for count, at in enumerate(headers):
        if count >= _MAX_HEADERS or exhausting(view[at:]):
            yield at


def _headers(data: bytes, start: int, end: int) -> Iterator[int]:
    for word in _HEADERS:
        at = data.find(word, start, end)
        while at >= 0:
            yield at
            at = data.find(word, at + 4, end)


def _png_spans(data: bytes) -> Iterator[ByteRange]:
    """Yield the bodies of the chunks that hold no pixels."""
    stop, pixels = 0, False
    for name, start, size in islice(iter_chunks(io.BytesIO(data)), MAX_CHUNKS):
        stop = start + size + 4
        if name in (b"IDAT", b"fdAT"):
            pixels = True
        else:
            yield start, start + size
    if not pixels:
        yield stop, len(data)


def _webp_spans(data: bytes) -> Iterator[ByteRange]:
    """Yield the chunks that hold no pixels, those inside frames too, as libwebp looks for EXIF there."""
    stream, at = io.BytesIO(data), webp_chunks.FIRST
    for _ in range(webp_chunks.MAX_CHUNKS):
        name, start, end = next(webp_chunks.iter_chunks(stream, at), (b"", at, at))
        if not name:
            break
        at = start + webp_chunks.FRAME_HEADER if name == b"ANMF" else end
        if name not in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF"):
            yield start, end
    if data[at : at + 4] not in (b"VP8 ", b"VP8L", b"ALPH"):
        yield at, len(data)


_SPANS: dict[str, Callable[[bytes], Iterator[ByteRange]]] = {
    "jpeg": metadata_spans,
    "png": _png_spans,
    "webp": _webp_spans,
}

GUARDED = frozenset(("heif", *_SPANS))
"""The loaders of libvips that take EXIF apart."""


def _heif_places(data: bytes) -> Iterator[int]:
    """Yield where the types of items stand that are exhausting EXIF blocks: without it they are of no known type."""
    for kind, start, end in _all_boxes(data, 0, len(data)):
        if kind == b"meta":
            parts = _all_boxes(data, start + 4, end)
            content = next((a for kind, a, _ in parts if kind == b"idat"), None)
            blocks: dict[int, list[list[ByteRange] | None]] = {}
            for kind, a, b in parts:
                if kind == b"iloc":
                    for number, block in _located(data, a, b, content):
                        blocks.setdefault(number, []).append(block)
            for number, place in _exif_items(data, parts):
                if any(_is_exhausting(data, block) for block in blocks.get(number, ())):
                    yield place


def _all_boxes(data: bytes, at: int, end: int) -> list[tuple[bytes, int, int]]:
    found = list(boxes(data, at, end))
    if (found[-1][2] if found else at) != end:
        raise _Unclear
    return found


def _exif_items(data: bytes, parts: list[tuple[bytes, int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the number of each EXIF item, and where its type stands."""
    for kind, start, end in parts:
        if kind != b"iinf":
            continue
        for name, a, _ in _all_boxes(data, start + (6 if data[start] == 0 else 8), end):
            wide = 2 if data[a] == 2 else 4
            place = a + 4 + wide + 2
            if name == b"infe" and data[a] >= 2 and data[place : place + 4].lower() == b"exif":
                yield int.from_bytes(data[a + 4 : a + 4 + wide], "big"), place


def _located(data: bytes, at: int, end: int, content: int | None) -> Iterator[tuple[int, list[ByteRange] | None]]:
    """Yield the number of each item of an ``iloc`` box and where its parts lie, None where that is elsewhere.

    Args:
        data: the file.
        at: where the box's content begins.
        end: where it ends.
        content: where the content of the ``idat`` box begins.
    """

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > end:
            raise _Unclear
        return int.from_bytes(data[at - size : at], "big")

    version, _ = number(1), number(3)
    if version > 2:
        raise _Unclear
    offset, length, base, index = (half for byte in (number(1), number(1)) for half in (byte >> 4, byte & 15))
    left = _MAX_EXTENTS
    for _ in range(number(4 if version == 2 else 2)):
        item = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else 0
        number(2)
        origin = number(base) + ((content or 0) if method == 1 else 0)
        spans = []
        for _ in range(number(2)):
            left -= 1
            if left < 0:
                raise _Unclear
            number(index if version else 0)
            start = origin + number(offset)
            size = number(length)
            spans.append((start, start + size if size else len(data)))
        elsewhere = method > 1 or (method == 1 and content is None)
        yield item, None if elsewhere else spans


def _is_exhausting(data: bytes, block: list[ByteRange] | None) -> bool:
    if block is None or sum(end - start for start, end in block) > len(data):
        return True
    if not block:
        return False
    joined = b"".join(data[start:end] for start, end in block)
    view: Buffer = memoryview(joined + data[block[-1][1] : block[-1][1] + _BEHIND])
    headers = list(islice(_headers(joined, 0, len(joined)), _MAX_HEADERS + 1))
    return len(headers) > _MAX_HEADERS or any(exhausting(view[at:]) for at in headers)
