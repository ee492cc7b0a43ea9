"""EXIF blocks as plain bytes: reset what an upscaled picture changes, and move them in and out of TIFF files.

An EXIF block is a small TIFF file (``II*`` or ``MM*``, then tables of tags called IFDs), here always without the
``Exif\\0\\0`` prefix that JPEG puts before it. Source: Exif 2.32 (CIPA DC-008), TIFF 6.0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

PREFIX = b"Exif\0\0"
_HEADER = b"II*\0\x08\0\0\0"

_EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 0x8769, 0x8825, 0xA005
_WIDTHS, _HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)
_ORIENTATION = 0x0112
_XRES, _YRES, _RES_UNIT = 0x011A, 0x011B, 0x0128
_THUMBNAIL, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_PHOTOMETRIC, _RGB, _CIELAB = 0x0106, 2, 8
_SHORT, _LONG = 3, 4
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_MAX_BYTES = 16 << 20  # in one table; tables can point at the same bytes again and again
_ITEM_SIZES = _SIZES | {5: 4, 10: 4}

# What a TIFF file says about the photograph, as against how its pixels are stored: description, maker, model, software,
# date, artist, copyright, rating (two), Windows' title, comment, author, keywords and subject, EXIF, GPS.
_ABOUT = frozenset((0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x4746, 0x4749))
_CARRIED = _ABOUT | frozenset(range(0x9C9B, 0x9CA0)) | {_EXIF_IFD, _GPS_IFD}
_RESOLUTION = frozenset((_XRES, _YRES, _RES_UNIT))


class DamagedExif(ValueError):  # noqa: N818 - it never leaves the package
    """The block cannot be followed."""


@dataclass(frozen=True)
class _Entry:
    """A tag with its value: little-endian bytes, or the entries of the IFD that it points to."""

    tag: int
    kind: int
    value: bytes | tuple[_Entry, ...]


def _order(data: bytes | bytearray | memoryview) -> str:
    head = bytes(data[:4])
    if head == b"II*\0":
        return "<"
    if head == b"MM\0*":
        return ">"
    raise DamagedExif("not a TIFF header")


def _unpack(order: str, code: str, data: bytes | bytearray | memoryview, at: int) -> int:
    try:
        value: int = struct.unpack_from(order + code, data, at)[0]
    except struct.error as error:
        raise DamagedExif(str(error)) from None
    return value


def _records(data: bytes | bytearray | memoryview, order: str, at: int) -> list[tuple[int, int, int, int]]:
    """List an IFD's entries as (position, tag, kind, count)."""
    count = _unpack(order, "H", data, at)
    if at + 2 + 12 * count + 4 > len(data) + 4:  # some writers leave out the last pointer
        raise DamagedExif("a table runs past the end")
    return [(here, *struct.unpack_from(order + "HHI", data, here)) for here in range(at + 2, at + 2 + 12 * count, 12)]


def _swapped(value: bytes, kind: int) -> bytes:
    """Reverse the byte order of every number in ``value``."""
    size = _ITEM_SIZES[kind]
    if size == 1:
        return value
    return b"".join(value[at : at + size][::-1] for at in range(0, len(value), size))


def _parse(
    data: bytes | memoryview, order: str, at: int, depth: int = 0, wanted: frozenset[int] | None = None
) -> tuple[_Entry, ...]:
    """Read an IFD, each tag once, and those below it; of the first one only the tags ``wanted``."""
    entries: dict[int, _Entry] = {}
    total = 0
    for here, tag, kind, count in _records(data, order, at):
        if kind not in _SIZES or tag in entries or (wanted is not None and tag not in wanted):
            continue
        if tag in (_EXIF_IFD, _GPS_IFD, _INTEROP_IFD):
            if depth < 2:
                entries[tag] = _Entry(tag, _LONG, _parse(data, order, _unpack(order, "I", data, here + 8), depth + 1))
            continue
        size = _SIZES[kind] * count
        total += size
        start = here + 8 if size <= 4 else _unpack(order, "I", data, here + 8)
        if total > _MAX_BYTES or start + size > len(data):
            raise DamagedExif(f"tag {tag:#06x} is too long")
        value = bytes(data[start : start + size])
        entries[tag] = _Entry(tag, kind, value if order == "<" else _swapped(value, kind))
    return tuple(entries.values())


def _built(entries: Iterable[_Entry], order: str, base: int, stored: Iterable[tuple[int, bytes]] = ()) -> bytes:
    """Lay out an IFD for position ``base`` (even); ``stored`` are records (tag, 12 bytes) whose values exist."""
    entries, records = tuple(entries), list(stored)
    end = base + 2 + 12 * (len(entries) + len(records)) + 4
    values = bytearray()
    for entry in entries:
        at = end + len(values)
        if isinstance(entry.value, tuple):
            values += _built(entry.value, order, at)
            field, count = struct.pack(order + "I", at), 1
        else:
            value = entry.value if order == "<" else _swapped(entry.value, entry.kind)
            count = len(value) // _SIZES[entry.kind]
            if len(value) <= 4:
                field = value.ljust(4, b"\0")
            else:
                field = struct.pack(order + "I", at)
                values += value + b"\0" * (len(value) % 2)
        records.append((entry.tag, struct.pack(order + "HHI", entry.tag, entry.kind, count) + field))
    table = b"".join(record for _, record in sorted(records))
    return struct.pack(order + "H", len(records)) + table + b"\0\0\0\0" + bytes(values)


def reset(exif: bytes, width: int, height: int) -> bytes:
    """Return the block for an upright picture of ``width`` x ``height`` pixels.

    Orientation becomes 1, stated pixel sizes become the new ones, the thumbnail of the old picture goes. All else stays
    at its place, so that the makers' notes, which hold positions, stay readable.

    Raises:
        DamagedExif: the block cannot be followed.
    """
    data = bytearray(exif.removeprefix(PREFIX))
    order = _order(data)
    first = _unpack(order, "I", data, 4)
    tables = [first]
    for table in tables:
        for here, tag, kind, _ in _records(data, order, table):
            if tag == _ORIENTATION:
                struct.pack_into(order + "HIHH", data, here + 2, _SHORT, 1, 1, 0)
            elif tag in (*_WIDTHS, *_HEIGHTS) and kind in (_SHORT, _LONG):
                struct.pack_into(order + "HII", data, here + 2, _LONG, 1, width if tag in _WIDTHS else height)
            elif tag == _EXIF_IFD and table == first:
                tables.append(_unpack(order, "I", data, here + 8))
    _drop_thumbnail(data, order, first)
    return bytes(data)


def _drop_thumbnail(data: bytearray, order: str, first: int) -> None:
    """Cut the second IFD off the chain and wipe the picture that it points to."""
    link = first + 2 + 12 * _unpack(order, "H", data, first)
    if link + 4 > len(data) or not (second := _unpack(order, "I", data, link)):
        return
    struct.pack_into(order + "I", data, link, 0)
    try:
        found = {tag: _unpack(order, "I", data, here + 8) for here, tag, *_ in _records(data, order, second)}
    except DamagedExif:
        return
    start, length = found.get(_THUMBNAIL, 0), found.get(_THUMBNAIL_LENGTH, 0)
    if start < 8 or start + length > len(data):
        return
    if start + length == len(data):
        del data[start:]
    else:
        data[start : start + length] = bytes(length)


def from_tiff(data: bytes | memoryview) -> bytes | None:
    """Collect what a TIFF file's first page says about the photograph as an EXIF block; ``None`` when it says nothing.

    Raises:
        DamagedExif: the file is damaged, or a BigTIFF, whose tables are laid out otherwise.
    """
    order = _order(data)
    found = _parse(data, order, _unpack(order, "I", data, 4), wanted=_CARRIED | _RESOLUTION)
    return _HEADER + _built(found, "<", 8) if any(entry.tag in _CARRIED for entry in found) else None


def resolution(exif: bytes) -> tuple[float, float] | None:
    """Return the stated horizontal and vertical pixels per millimetre; ``None`` when there are none, or damaged."""
    try:
        order = _order(exif)
        values = {e.tag: e.value for e in _parse(exif, order, _unpack(order, "I", exif, 4), wanted=_RESOLUTION)}
        across, down = (struct.unpack("<II", values[tag]) for tag in (_XRES, _YRES))  # type: ignore[arg-type]
        unit = struct.unpack("<H", values.get(_RES_UNIT, b"\2\0"))[0]  # type: ignore[arg-type]
        millimetres = {2: 25.4, 3: 10.0}[unit]
        result = across[0] / across[1] / millimetres, down[0] / down[1] / millimetres
    except (DamagedExif, KeyError, TypeError, struct.error, ZeroDivisionError):
        return None
    return result if min(result) > 0 else None


def from_resolution(per_millimetre: tuple[float, float]) -> bytes:
    """Make a block that states nothing but a resolution."""
    across, down = (struct.pack("<II", min(round(value * 25_400), 2**32 - 1), 1000) for value in per_millimetre)
    entries = (_Entry(_XRES, 5, across), _Entry(_YRES, 5, down), _Entry(_RES_UNIT, _SHORT, b"\2\0"))
    return _HEADER + _built(entries, "<", 8)


def tiff_lab_as_rgb(data: bytes) -> bytes | None:
    """Relabel a TIFF file of 8-bit Lab pixels as RGB, for a decoder that cannot open it; ``None`` for any other."""
    try:
        order = _order(data)
        for here, tag, kind, _ in _records(data, order, _unpack(order, "I", data, 4)):
            if tag == _PHOTOMETRIC and kind == _SHORT and _unpack(order, "H", data, here + 8) == _CIELAB:
                return data[: here + 8] + struct.pack(order + "H", _RGB) + data[here + 10 :]
    except DamagedExif:
        pass
    return None


def into_tiff(stream: BinaryIO, exif: bytes) -> None:
    """Add an EXIF block's tags to the TIFF file in ``stream`` (open for reading and writing, first page only).

    A new first table is appended and the file's header pointed at it. Makers' notes are carried as they are: positions
    inside them that count from the start of the block lose their meaning.

    Raises:
        DamagedExif: the block is damaged, or the file is a BigTIFF.
    """
    source = _order(exif)
    entries = _parse(exif, source, _unpack(source, "I", exif, 4), wanted=_CARRIED)
    stream.seek(0)
    head = stream.read(8)
    order = _order(head)
    at = _unpack(order, "I", head, 4)
    stream.seek(at)
    count = _unpack(order, "H", stream.read(2), 0)
    table = stream.read(12 * count)
    new = {entry.tag for entry in entries}
    stored = [
        (tag, table[here : here + 12])
        for here in range(0, 12 * count, 12)
        if (tag := _unpack(order, "H", table, here)) not in new
    ]
    end = stream.seek(0, 2)
    base = end + end % 2
    stream.write(b"\0" * (base - end) + _built(entries, order, base, stored))
    stream.seek(4)
    stream.write(struct.pack(order + "I", base))
