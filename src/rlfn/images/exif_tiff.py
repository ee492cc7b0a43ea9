"""EXIF in and out of TIFF files, whose first table holds what an EXIF block does. Sources: Exif 2.32, TIFF 6.0."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import BinaryIO

from rlfn.images.exif import HEADER, RESOLUTION, classic
from rlfn.images.ifd import EXIF_IFD, GPS_IFD, SHORT, SIZES, Entry, Layout, TagRecord, built, parse

_PHOTOMETRIC, _RGB, _CIELAB = 0x0106, 2, 8

# What a TIFF file says about the photograph, as against how its pixels are stored: document, description, maker, model,
# software, date, artist, host, copyright, rating (two), how to print it; and Windows' title, comment, author, keywords,
# subject.
_ABOUT = frozenset((0x010D, 0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298, 0x4746, 0x4749, 0xC4A5))
CARRIED = _ABOUT | frozenset(range(0x9C9B, 0x9CA0)) | {EXIF_IFD, GPS_IFD}
"""Tags of a first table that go from TIFF to EXIF and back."""
OF_PIXELS = frozenset(
    {*range(254, 260), *range(262, 267), 269, 273, 274, *range(277, 294), 296, 297, 317, *range(320, 329), 330, 332}
    | {334, *range(338, 343), 347, *range(512, 516), *range(517, 522), *range(529, 533), 559, *range(32995, 32998)}
    | {33421, 33422, 0xEA1C}
)
"""Tags of a first table that say how the pixels are stored, or, like the last one, nothing: it is padding."""


def tiff_lab_as_rgb(data: bytes, order: Layout, records: Mapping[int, TagRecord]) -> bytes | None:
    """Relabel a TIFF file's page of Lab pixels as RGB, for a decoder that cannot open it; ``None`` for any other."""
    record = records.get(_PHOTOMETRIC)
    if record is None or record.kind != SHORT or order.numbers(data, record, 1) != (_CIELAB,):
        return None
    return data[: record.field] + struct.pack(order.order + "H", _RGB) + data[record.field + 2 :]


def from_tiff(data: bytes | memoryview, order: Layout, table: int, first: int | None = None) -> bytes | None:
    """Collect what a TIFF file's table says about the photograph as an EXIF block; ``None`` when it says nothing.

    What it does not say is taken from the table ``first``, save the resolution.

    Raises:
        DamagedExif: the file is damaged.
    """
    found = parse(data, order, table, CARRIED | RESOLUTION)
    if first is not None:
        own = {entry.tag for entry in found}
        found += tuple(entry for entry in parse(data, order, first, CARRIED) if entry.tag not in own)
    return HEADER + built(found, "<", 8) if any(entry.tag in CARRIED for entry in found) else None


def for_tiff(exif: bytes) -> tuple[Entry, ...]:
    """Return the entries of a block that a TIFF file's table can have.

    Raises:
        DamagedExif: the block is damaged.
    """
    order = classic(exif)
    return parse(exif, order, order.first(exif), CARRIED)


def not_for_tiff(exif: bytes) -> list[str]:
    """Name the tags of a block's first table that a TIFF file's table does not get, save those of the old pixels.

    Raises:
        DamagedExif: the block is damaged.
    """
    order = classic(exif)
    tags = sorted({record.tag for record in order.records(exif, order.first(exif)) if record.kind in SIZES})
    return [f"EXIF tag {tag:#06x}" for tag in tags if tag not in CARRIED | OF_PIXELS]


def into_tiff(stream: BinaryIO, entries: Iterable[Entry]) -> None:
    """Add entries to the first table of the TIFF file in ``stream`` (open for reading and writing).

    A new first table is appended and the file's header pointed at it. Makers' notes are carried as they are: positions
    inside them that count from the start of the block lose their meaning.

    Raises:
        DamagedExif: the file is a BigTIFF.
    """
    entries = tuple(entries)
    stream.seek(0)
    head = stream.read(8)
    order = classic(head)
    at = order.first(head)
    stream.seek(at)
    count = order.unpack("H", stream.read(2), 0)
    table = stream.read(12 * count)
    new = {entry.tag for entry in entries}
    stored = [
        (tag, table[here : here + 12])
        for here in range(0, 12 * count, 12)
        if (tag := order.unpack("H", table, here)) not in new
    ]
    end = stream.seek(0, 2)
    base = end + end % 2
    stream.write(b"\0" * (base - end) + built(entries, order.order, base, stored))
    stream.seek(4)
    stream.write(struct.pack(order.order + "I", base))
