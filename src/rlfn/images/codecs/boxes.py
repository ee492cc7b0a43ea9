"""The boxes of AVIF, HEIC and JPEG XL files: what they say of the colours, and what else the file holds.

Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (items, properties).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from rlfn.images.coding import CodingInfo
from rlfn.images.stated import StatedColor

_MAX_BOXES = 20_000
_KNOWN_ITEMS = {b"av01", b"hvc1", b"grid", b"iovl", b"iden", b"Exif", b"mime", b"unci"}

_IDENTITY = 0


@dataclass
class ItemsFound:
    """What the file's ``meta`` box says."""

    codes: tuple[int, int] | None = None
    premultiplied: bool = False
    matrix: int | None = None
    lost: dict[str, None] = field(default_factory=dict)

    @property
    def color(self) -> StatedColor | None:
        """The colours that are stated; ``None`` where that is nothing."""
        return None if self.codes is None or self.codes[0] == self.codes[1] == 2 else StatedColor(self.codes)

    @property
    def coding(self) -> CodingInfo:
        """How the pixels were coded: RGB as it is (the identity matrix) is what encoders take where nothing is lost."""
        return CodingInfo(lossy=self.matrix != _IDENTITY)


def boxes(data: bytes, at: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Go through boxes side by side: type, and where the content starts and ends."""
    end = len(data) if end is None else end
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        size, head = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif size == 0:
            size = end - at
        if size < head or at + size > end:
            return
        yield data[at + 4 : at + 8], at + head, at + size
        at += size


def items(data: bytes) -> ItemsFound:
    """Read what counts here of the ``meta`` box; damage ends the reading."""
    found = ItemsFound()
    for kind, start, end in boxes(data):
        if kind == b"meta":
            with contextlib.suppress(IndexError):
                _meta(data, start + 4, end, found)
        elif kind in (b"moov", b"mpvd"):
            found.lost["the video in the file"] = None
        elif kind == b"uuid" and data[start : start + 4] == b"\xd8\xfe\xc3\xd6":
            found.lost["content credentials (C2PA, JUMBF)"] = None
    return found


def _meta(data: bytes, start: int, end: int, found: ItemsFound) -> None:
    parts = {kind: (a, b) for kind, a, b in boxes(data, start, end)}
    primary = None
    if b"pitm" in parts:
        at = parts[b"pitm"][0]
        primary = _number(data, at + 4, 2 if data[at] == 0 else 4)
    if b"iinf" in parts:
        _items(data, *parts[b"iinf"], found)
    if b"iref" in parts:
        at, stop = parts[b"iref"]
        found.premultiplied = any(kind == b"prem" for kind, _, _ in boxes(data, at + 4, stop))
    if b"iprp" in parts and primary is not None:
        inside = {kind: (a, b) for kind, a, b in boxes(data, *parts[b"iprp"])}
        if b"ipco" in inside and b"ipma" in inside:
            _properties(data, inside[b"ipco"], inside[b"ipma"], primary, found)


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


def _items(data: bytes, start: int, end: int, found: ItemsFound) -> None:
    """Name items that are neither pictures nor their metadata."""
    at = start + (6 if data[start] == 0 else 8)
    for kind, a, b in boxes(data, at, end):
        if kind != b"infe" or data[a] < 2:
            continue
        place = a + 4 + (2 if data[a] == 2 else 4) + 2
        item = data[place : min(place + 4, b)]
        if item == b"tmap":
            found.lost["further pictures (HDR gain map)"] = None
        elif item not in _KNOWN_ITEMS:
            found.lost[f"item {item.decode('latin-1').strip()}"] = None


def _properties(data: bytes, store: tuple[int, int], links: tuple[int, int], primary: int, found: ItemsFound) -> None:
    """Find the primary item's code points, and auxiliary pictures other than alpha."""
    properties = list(boxes(data, *store))
    for kind, a, b in properties:
        if kind == b"auxC":
            name = data[a + 4 : b].partition(b"\0")[0].lower()
            if b"depth" in name or b"disparity" in name or name == b"urn:mpeg:hevc:2015:auxid:2":
                found.lost["further pictures (depth map)"] = None
            elif b"hdrgainmap" in name or b"gainmap" in name:
                found.lost["further pictures (HDR gain map)"] = None
            elif b"alpha" not in name and name != b"urn:mpeg:hevc:2015:auxid:1":  # HEVC's names are numbers
                found.lost["further pictures (auxiliary)"] = None
    for index in _linked(data, *links, primary):
        if 0 < index <= len(properties):
            kind, a, _ = properties[index - 1]
            if kind == b"colr" and data[a : a + 4] == b"nclx" and found.codes is None:
                found.codes = _number(data, a + 4, 2), _number(data, a + 6, 2)
                found.matrix = _number(data, a + 8, 2)


def _linked(data: bytes, start: int, end: int, item: int) -> list[int]:
    """Return the numbers, from 1, of an item's properties."""
    wide_item, wide_index = data[start] >= 1, data[start + 3] & 1
    at = start + 8
    for _ in range(min(_number(data, start + 4, 4), _MAX_BOXES)):
        if at + 3 > end:
            return []
        number = _number(data, at, 4 if wide_item else 2)
        at += 4 if wide_item else 2
        count, size = data[at], 2 if wide_index else 1
        at += 1
        if number == item:
            mask = 0x7FFF if wide_index else 0x7F
            return [_number(data, at + i * size, size) & mask for i in range(count)]
        at += count * size
    return []
