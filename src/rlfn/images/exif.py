"""EXIF blocks as plain bytes: reset what an upscaled picture changes.

An EXIF block is a small TIFF file (``II*`` or ``MM*``, then tables of tags), here always without the ``Exif\\0\\0``
prefix that JPEG puts before it. Source: Exif 2.32 (CIPA DC-008), TIFF 6.0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from rlfn.images.ifd import (
    EXIF_IFD,
    LONG,
    RATIONAL,
    SHORT,
    UNDEFINED,
    DamagedExif,
    Entry,
    Layout,
    TagRecord,
    built,
    layout,
    parse,
)

__all__ = ["PREFIX", "DamagedExif", "Turn", "parse"]

PREFIX = b"Exif\0\0"
HEADER = b"II*\0\x08\0\0\0"

_WIDTHS, _HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)
_ORIENTATION = 0x0112
_XRES, _YRES, _RES_UNIT = 0x011A, 0x011B, 0x0128
_FOCAL_X, _FOCAL_Y = 0xA20E, 0xA20F
_SUBJECT = (0x9214, 0xA214)  # area and location, in pixels
_USER_COMMENT = 0x9286
_THUMBNAIL, _THUMBNAIL_LENGTH = 0x0201, 0x0202

RESOLUTION = frozenset((_XRES, _YRES, _RES_UNIT))
"""Tags of a first table that state a resolution."""


@dataclass(frozen=True)
class Turn:
    """How a picture becomes another: stored size (width, height), its orientation, and the size of the new one."""

    before: tuple[int, int]
    after: tuple[int, int]
    orientation: int = 1

    @property
    def turned(self) -> bool:
        """Whether width and height change places."""
        return self.orientation >= 5

    @property
    def ratios(self) -> tuple[float, float]:
        """New pixels for each upright old one, across and down."""
        across, down = self.before[::-1] if self.turned else self.before
        return self.after[0] / across, self.after[1] / down

    def point(self, x: int, y: int) -> tuple[int, int]:
        """Return where the stored pixel (x, y) lies in the new picture."""
        right, bottom = self.before[0] - 1, self.before[1] - 1
        if self.orientation in (2, 3, 7, 8):
            x = right - x
        if self.orientation in (3, 4, 6, 7):
            y = bottom - y
        if self.turned:
            x, y = y, x
        across, down = self.ratios
        return round(x * across), round(y * down)

    def share(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point lies in the new picture; both count in shares (0 to 1) of the sides."""
        if self.orientation in (2, 3, 7, 8):
            x = 1 - x
        if self.orientation in (3, 4, 6, 7):
            y = 1 - y
        return (y, x) if self.turned else (x, y)


def reset_or_dropped(exif: bytes, turn: Turn, warnings: list[str]) -> bytes | None:
    """Return the block as :func:`reset` does; None where it cannot be followed, which ``warnings`` then tell."""
    try:
        return reset(exif, turn)
    except DamagedExif:
        warnings.append("damaged EXIF dropped")
        return None


def reset(exif: bytes, turn: Turn) -> bytes:
    """Return the block for the upright, larger picture.

    Orientation becomes 1, stated pixel sizes become the new ones, what is stated across and down changes places with a
    turn, positions and resolutions of the sensor are scaled, the thumbnail of the old picture goes. All else stays at
    its place, so that the makers' notes, which hold positions, stay readable.

    Raises:
        DamagedExif: the block cannot be followed.
    """
    data = bytearray(exif.removeprefix(PREFIX))
    order = classic(data)
    first = order.first(data)
    tables = [first]
    for table in tables:
        found: dict[int, TagRecord] = {}
        for record in order.records(data, table):
            found.setdefault(record.tag, record)
        for tag, record in found.items():
            if tag == _ORIENTATION:
                struct.pack_into(order.order + "HIHH", data, record.at + 2, SHORT, 1, 1, 0)
            elif tag in (*_WIDTHS, *_HEIGHTS) and record.kind in (SHORT, LONG):
                side = turn.after[tag in _HEIGHTS]
                struct.pack_into(order.order + "HII", data, record.at + 2, LONG, 1, side)
            elif tag in _SUBJECT:
                _move(data, order, record, turn)
        for pair in ((_XRES, _YRES), (_FOCAL_X, _FOCAL_Y)):
            if turn.turned and pair[0] in found and pair[1] in found:
                _exchange(data, found[pair[0]], found[pair[1]])
        for tag, ratio in zip((_FOCAL_X, _FOCAL_Y), turn.ratios, strict=True):
            if tag in found:
                _scale(data, order, found[tag], ratio)
        if EXIF_IFD in found and len(tables) == 1 and (below := order.offset(data, found[EXIF_IFD].field)) != first:
            tables.append(below)
    _drop_thumbnail(data, order, first)
    return bytes(data)


def classic(data: bytes | bytearray) -> Layout:
    """Return how a block is laid out.

    Raises:
        DamagedExif: it is none.
    """
    order = layout(data)
    if order.big:
        raise DamagedExif("a BigTIFF header")
    return order


def _exchange(data: bytearray, one: TagRecord, other: TagRecord) -> None:
    """Let two tags of a table change their values."""
    a, b = slice(one.at + 2, one.at + 12), slice(other.at + 2, other.at + 12)
    data[a], data[b] = data[b], data[a]


def _move(data: bytearray, order: Layout, record: TagRecord, turn: Turn) -> None:
    """Move a subject's place: a point, and perhaps a diameter, or a width and a height."""
    values = list(order.numbers(data, record, 4))
    if record.kind != SHORT or not 2 <= record.amount <= 4 or len(values) != record.amount:
        return
    values[:2] = turn.point(values[0], values[1])
    across, down = turn.ratios
    if len(values) == 3:
        values[2] = round(values[2] * (across * down) ** 0.5)
    elif len(values) == 4:
        sides = values[:1:-1] if turn.turned else values[2:]
        values[2:] = round(sides[0] * across), round(sides[1] * down)
    start, _ = order.value_at(data, record)
    struct.pack_into(f"{order.order}{len(values)}H", data, start, *(min(max(value, 0), 65_535) for value in values))


def _scale(data: bytearray, order: Layout, record: TagRecord, ratio: float) -> None:
    """Multiply a rational number."""
    start, size = order.value_at(data, record)
    if record.kind != RATIONAL or size != 8 or start + 8 > len(data) or ratio == 1:
        return
    above, below = struct.unpack_from(order.order + "II", data, start)
    value = above * ratio
    while value > 2**32 - 1 and below > 1:
        value, below = value / 2, below // 2
    if below and value <= 2**32 - 1:
        struct.pack_into(order.order + "II", data, start, round(value), below)


def _drop_thumbnail(data: bytearray, order: Layout, first: int) -> None:
    """Cut the second IFD off the chain and wipe the picture that it points to."""
    second = order.next(data, first)
    if not second:
        return
    link = first + 2 + 12 * order.unpack("H", data, first)
    struct.pack_into(order.order + "I", data, link, 0)
    try:
        found = {record.tag: order.unpack("I", data, record.field) for record in order.records(data, second)}
    except DamagedExif:
        return
    start, length = found.get(_THUMBNAIL, 0), found.get(_THUMBNAIL_LENGTH, 0)
    if start < 8 or start + length > len(data):
        return
    if start + length == len(data):
        del data[start:]
    else:
        data[start : start + length] = bytes(length)


def orientation(exif: bytes) -> int:
    """Return the stated orientation (1 to 8); 1 when there is none, or the block is damaged."""
    try:
        order = classic(exif)
        for record in order.records(exif, order.first(exif)):
            if record.tag == _ORIENTATION:
                value = order.numbers(exif, record, 1)
                return value[0] if value and 1 <= value[0] <= 8 else 1
    except DamagedExif:
        pass
    return 1


def resolution(exif: bytes) -> tuple[float, float] | None:
    """Return the stated horizontal and vertical pixels per millimetre; ``None`` when there are none, or damaged."""
    try:
        order = layout(exif)
        return stated_resolution(parse(exif, order, order.first(exif), RESOLUTION))
    except DamagedExif:
        return None


def stated_resolution(entries: Iterable[Entry]) -> tuple[float, float] | None:
    """Return the pixels per millimetre that entries of a first table state; ``None`` without a unit."""
    values = {entry.tag: entry.value for entry in entries}
    try:
        across, down = (struct.unpack("<II", values[tag]) for tag in (_XRES, _YRES))  # type: ignore[arg-type]
        unit = struct.unpack("<H", values.get(_RES_UNIT, b"\2\0"))[0]  # type: ignore[arg-type]
        millimetres = {2: 25.4, 3: 10.0}[unit]
        result = across[0] / across[1] / millimetres, down[0] / down[1] / millimetres
    except (KeyError, TypeError, struct.error, ZeroDivisionError):
        return None
    return result if min(result) > 0 else None


def with_resolution(exif: bytes | None, per_millimetre: tuple[float, float]) -> bytes:
    """Return the block with a resolution where it states none; a new one for ``None``.

    Raises:
        DamagedExif: the block cannot be followed.
    """
    if exif is not None and resolution(exif) is not None:
        return exif
    across, down = (struct.pack("<II", min(round(value * 25_400), 2**32 - 1), 1000) for value in per_millimetre)
    entries = (Entry(_XRES, RATIONAL, across), Entry(_YRES, RATIONAL, down), Entry(_RES_UNIT, SHORT, b"\2\0"))
    if exif is None:
        return HEADER + built(entries, "<", 8)
    data = bytearray(exif)
    order = classic(data)
    start = _appended(data, order, order.first(data), *entries)
    struct.pack_into(order.order + "I", data, 4, start)
    return bytes(data)


def with_comment(exif: bytes | None, text: str) -> bytes | None:
    """Return the block with ``text`` as its user comment; ``None`` where it has another one already.

    The tables that change are rewritten at the end, so that all else keeps its place.

    Raises:
        DamagedExif: the block cannot be followed.
    """
    data = bytearray(HEADER + built((), "<", 8) if exif is None else exif)
    order = classic(data)
    first = order.first(data)
    below = {r.tag: order.offset(data, r.field) for r in order.records(data, first)}.get(EXIF_IFD)
    for record in order.records(data, below) if below else ():
        start, size = order.value_at(data, record)
        if record.tag == _USER_COMMENT and bytes(data[start + 8 : start + size]).strip(b"\0 "):
            return None
    coded = b"ASCII\0\0\0" + text.encode() if text.isascii() else b"UNICODE\0" + text.encode(_utf16(order), "replace")
    new = _appended(data, order, below, Entry(_USER_COMMENT, UNDEFINED, coded))
    if below is None:
        start = _appended(data, order, first, Entry(EXIF_IFD, LONG, struct.pack("<I", new)))
        struct.pack_into(order.order + "I", data, 4, start)
    else:
        record = next(r for r in order.records(data, first) if r.tag == EXIF_IFD)
        struct.pack_into(order.order + "I", data, record.field, new)
    return bytes(data)


def _utf16(order: Layout) -> str:
    return "utf-16-le" if order.order == "<" else "utf-16-be"


def _appended(data: bytearray, order: Layout, table: int | None, *entries: Entry) -> int:
    """Rewrite a table at the end of ``data``, with more entries; return where."""
    data += b"\0" * (len(data) % 2)
    records = order.records(data, table) if table is not None else []
    new = {entry.tag for entry in entries}
    stored = [(r.tag, bytes(data[r.at : r.at + 12])) for r in records if r.tag not in new]
    at = len(data)
    data += built(entries, order.order, at, stored)
    return at


def ratio(entries: Iterable[Entry]) -> tuple[int, int] | None:
    """Return the pixels across and down that are stated for one length, whatever the length; ``None`` for nonsense."""
    values = {entry.tag: entry.value for entry in entries}
    try:
        across, down = (struct.unpack("<II", values[tag]) for tag in (_XRES, _YRES))  # type: ignore[arg-type]
    except (KeyError, TypeError, struct.error):
        return None
    shape = across[0] * down[1], down[0] * across[1]
    return shape if min(shape) > 0 else None
