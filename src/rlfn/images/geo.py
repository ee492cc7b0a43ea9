"""Where a TIFF's pixels lie on the earth. Sources: OGC GeoTIFF 1.1 (19-008r4); GDAL's tags for metadata and no-data."""

from __future__ import annotations

import struct

from rlfn.images.exif import HEADER
from rlfn.images.ifd import Entry, Layout, built, layout, parse

_PIXEL_SCALE, _TIEPOINTS, _TRANSFORMATION, _KEYS = 33550, 33922, 34264, 34735
TAGS = frozenset((_PIXEL_SCALE, _TIEPOINTS, _TRANSFORMATION, _KEYS, 34736, 34737, 42112, 42113))
_RASTER_TYPE, _PIXEL_IS_POINT = 1025, 2


def from_tiff(data: bytes, order: Layout, table: int) -> bytes | None:
    """Collect the place that a TIFF file's table states as a block of tags; ``None`` when it states none.

    Raises:
        DamagedExif: the file is damaged.
    """
    found = parse(data, order, table, TAGS)
    return HEADER + built(found, "<", 8) if found else None


def scaled(block: bytes, across: float, down: float) -> tuple[Entry, ...]:
    """Return the entries for a picture with ``across`` times as many columns and ``down`` times as many rows.

    Raises:
        DamagedExif: the block is damaged.
    """
    order = layout(block)
    entries = {entry.tag: entry for entry in parse(block, order, order.first(block))}
    centres = _counts_centres(entries.get(_KEYS))
    made = []
    for tag, entry in entries.items():
        values = _doubles(entry)
        if tag == _PIXEL_SCALE and len(values) >= 2:
            values[:2] = values[0] / across, values[1] / down
        elif tag == _TIEPOINTS:
            for at in range(0, len(values) - 5, 6):
                values[at : at + 2] = _moved(values[at], across, centres), _moved(values[at + 1], down, centres)
        elif tag == _TRANSFORMATION and len(values) == 16:
            for row in range(0, 16, 4):
                # the new pixel (x, y) is the old one ((x + shift) / ratio - shift, ...)
                shift = 0.5 if centres else 0.0
                right, below = values[row] / across, values[row + 1] / down
                values[row + 3] += (right - values[row]) * shift + (below - values[row + 1]) * shift
                values[row : row + 2] = right, below
        else:
            made.append(entry)
            continue
        made.append(Entry(tag, entry.kind, struct.pack(f"<{len(values)}d", *values)))
    return tuple(made)


def _doubles(entry: Entry) -> list[float]:
    if entry.kind != 12 or not isinstance(entry.value, bytes):
        return []
    return list(struct.unpack(f"<{len(entry.value) // 8}d", entry.value))


def _counts_centres(keys: Entry | None) -> bool:
    """Tell whether whole numbers mean the pixels' centres, by the directory of keys."""
    if keys is None or keys.kind != 3 or not isinstance(keys.value, bytes):
        return False
    values = struct.unpack(f"<{len(keys.value) // 2}H", keys.value)
    return any(values[at] == _RASTER_TYPE and values[at + 3] == _PIXEL_IS_POINT for at in range(4, len(values) - 3, 4))


def _moved(value: float, ratio: float, centres: bool) -> float:
    return (value + 0.5) * ratio - 0.5 if centres else value * ratio
