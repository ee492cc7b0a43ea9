"""TIFF's tables of tags (IFDs), which EXIF blocks and TIFF files are made of. Every walk is bounded.

Source: TIFF 6.0, and Adobe's and the BigTIFF designers' notes on 64-bit offsets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
BYTE, SHORT, LONG, RATIONAL, UNDEFINED = 1, 3, 4, 5, 7
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_ITEM_SIZES = SIZES | {5: 4, 10: 4}
_MAX_ENTRIES = 4096  # of one table; cameras write fewer than a hundred
_MANY_ENTRIES = 1000
_MAX_BYTES = 16 << 20  # of all values together; tables can point at the same bytes again and again


class DamagedExif(ValueError):  # noqa: N818 - it never leaves the package
    """The block cannot be followed."""


@dataclass(frozen=True)
class Entry:
    """A tag with its value: little-endian bytes, or the entries of the IFD that it points to."""

    tag: int
    kind: int
    value: bytes | tuple[Entry, ...]


class TagRecord(NamedTuple):
    """An entry: its position, tag, kind and number of values, and the position of its value or of its offset."""

    at: int
    tag: int
    kind: int
    amount: int
    field: int


Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Layout:
    """How a file's tables are laid out: byte order, and whether offsets have 64 bits (BigTIFF)."""

    order: str
    big: bool = False

    def unpack(self, code: str, data: Buffer, at: int) -> int:
        """Return one number at ``at``.

        Raises:
            DamagedExif: it lies beyond the end.
        """
        try:
            value: int = struct.unpack_from(self.order + code, data, at)[0]
        except struct.error as error:
            raise DamagedExif(str(error)) from None
        return value

    def offset(self, data: Buffer, at: int) -> int:
        """Return the offset at ``at``."""
        return self.unpack("Q" if self.big else "I", data, at)

    def first(self, data: Buffer) -> int:
        """Return where the first table lies."""
        return self.offset(data, 8 if self.big else 4)

    def records(self, data: Buffer, at: int) -> list[TagRecord]:
        """List the entries of the table at ``at``.

        Raises:
            DamagedExif: it has too many, or runs past the end.
        """
        head, size, code = (8, 20, "HHQ") if self.big else (2, 12, "HHI")
        count = self.unpack("Q" if self.big else "H", data, at)
        if count > _MAX_ENTRIES or at + head + size * count > len(data):  # some writers leave out the last pointer
            raise DamagedExif("a table runs past the end, or has too many entries")
        field = size - (8 if self.big else 4)
        made = []
        for place in range(at + head, at + head + size * count, size):
            tag, kind, amount = struct.unpack_from(self.order + code, data, place)
            made.append(TagRecord(place, tag, kind, amount, place + field))
        return made

    def next(self, data: Buffer, at: int) -> int:
        """Return where the table after the one at ``at`` lies; 0 where there is none."""
        head, size = (8, 20) if self.big else (2, 12)
        link = at + head + size * self.unpack("Q" if self.big else "H", data, at)
        try:
            return self.offset(data, link)
        except DamagedExif:
            return 0

    def chain(self, data: Buffer, limit: int) -> Iterator[int]:
        """Go through the positions of the tables, each once, at most ``limit``; a damaged one ends it."""
        seen: set[int] = set()
        at = self.first(data)
        while at and at not in seen and len(seen) < limit:
            seen.add(at)
            yield at
            try:
                at = self.next(data, at)
            except DamagedExif:
                return

    def value_at(self, data: Buffer, record: TagRecord) -> tuple[int, int]:
        """Return where a record's value lies, and its bytes; (0, 0) for a kind of value that is not known."""
        size = SIZES.get(record.kind, 0) * record.amount
        inline = size <= (8 if self.big else 4)
        return (record.field if inline else self.offset(data, record.field)) if size else 0, size

    def numbers(self, data: Buffer, record: TagRecord, limit: int = 64) -> tuple[int, ...]:
        """Return up to ``limit`` whole numbers of a record; none where it holds others, or lies beyond the end."""
        code = {BYTE: "B", SHORT: "H", LONG: "I", 13: "I", 16: "Q", 18: "Q"}.get(record.kind)
        if code is None:
            return ()
        count = min(record.amount, limit)
        size = struct.calcsize(code) * record.amount
        at = record.field
        try:
            if size > (8 if self.big else 4):
                at = self.offset(data, at)
            return struct.unpack_from(f"{self.order}{count}{code}", data, at)
        except (DamagedExif, struct.error):
            return ()


def layout(data: Buffer) -> Layout:
    """Return how a block or file is laid out.

    Raises:
        DamagedExif: it is no TIFF.
    """
    head = bytes(data[:4])
    found = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}.get(head)
    if found is None:
        raise DamagedExif("not a TIFF header")
    return Layout(*found)


def exhausting(data: Buffer) -> bool:
    """Tell whether a block would keep a simple reader busy without end, or far too long.

    That is one whose tables point at each other or at themselves, more than once at tables of one kind, or are huge.
    """
    pointers = (EXIF_IFD, GPS_IFD, INTEROP_IFD)
    try:
        order = layout(data)
        tables = [order.first(data)]
        for table in tables:
            records = order.records(data, table)
            below = [record for record in records if record.tag in pointers]
            if len(records) > _MANY_ENTRIES or len({record.tag for record in below}) < len(below):
                return True
            tables += [order.offset(data, record.field) for record in below]
            if len(set(tables)) < len(tables) or len(tables) > len(pointers) + 1:
                return True
    except DamagedExif:
        head = bytes(data[:10])
        return len(head) == 10 and _crowded(head, data)
    return False


def _crowded(head: bytes, data: Buffer) -> bool:
    """Tell whether the first table claims very many entries, of which some are there."""
    order = layout(head) if head[:4] in (b"II*\0", b"MM\0*") else None
    try:
        return order is not None and order.unpack("H", data, order.first(head)) > _MANY_ENTRIES
    except DamagedExif:
        return False


def _swapped(value: bytes, kind: int) -> bytes:
    """Reverse the byte order of every number in ``value``."""
    size = _ITEM_SIZES[kind]
    return value if size == 1 else np.frombuffer(value, f"<u{size}").byteswap().tobytes()


@dataclass
class _Budget:
    """What one parse may still read, over all its tables."""

    bytes: int = _MAX_BYTES
    tables: set[int] = field(default_factory=set)


def parse(
    data: Buffer,
    order: Layout,
    at: int,
    wanted: frozenset[int] | None = None,
    *,
    depth: int = 0,
    budget: _Budget | None = None,
) -> tuple[Entry, ...]:
    """Read the table at ``at``, each tag once, and those below it; of the first one only the tags ``wanted``.

    Raises:
        DamagedExif: a table or a value lies beyond the end, or they are too long.
    """
    budget = budget or _Budget()
    if at in budget.tables:
        raise DamagedExif("a table points at itself")
    budget.tables.add(at)
    entries: dict[int, Entry] = {}
    for record in order.records(data, at):
        tag = record.tag
        if record.kind not in SIZES or tag in entries or (wanted is not None and tag not in wanted):
            continue
        if tag in (EXIF_IFD, GPS_IFD, INTEROP_IFD):
            if depth < 2:
                below = order.unpack("I", data, record.field)
                entries[tag] = Entry(tag, LONG, parse(data, order, below, depth=depth + 1, budget=budget))
            continue
        start, size = order.value_at(data, record)
        budget.bytes -= size
        if budget.bytes < 0 or start + size > len(data):
            raise DamagedExif(f"tag {tag:#06x} is too long")
        value = bytes(data[start : start + size])
        entries[tag] = Entry(tag, record.kind, value if order.order == "<" else _swapped(value, record.kind))
    return tuple(entries.values())


def built(entries: Iterable[Entry], order: str, base: int, stored: Iterable[tuple[int, bytes]] = ()) -> bytes:
    """Lay out a table for position ``base`` (even); ``stored`` are records (tag, 12 bytes) whose values exist."""
    entries, records = tuple(entries), list(stored)
    end = base + 2 + 12 * (len(entries) + len(records)) + 4
    values = bytearray()
    for entry in entries:
        at = end + len(values)
        if isinstance(entry.value, tuple):
            values += built(entry.value, order, at)
            place, count = struct.pack(order + "I", at), 1
        else:
            value = entry.value if order == "<" else _swapped(entry.value, entry.kind)
            count = len(value) // SIZES[entry.kind]
            if len(value) <= 4:
                place = value.ljust(4, b"\0")
            else:
                place = struct.pack(order + "I", at)
                values += value + b"\0" * (len(value) % 2)
        records.append((entry.tag, struct.pack(order + "HHI", entry.tag, entry.kind, count) + place))
    table = b"".join(record for _, record in sorted(records))
    return struct.pack(order + "H", len(records)) + table + b"\0\0\0\0" + bytes(values)
