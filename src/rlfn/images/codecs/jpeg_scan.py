"""The structure of a JPEG file: what its segments say, whether all its data are there, and what lies behind its end.

Sources: ITU-T T.81; Exif 2.32; XMP specification part 3; CIPA DC-007 (multi-picture format).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from rlfn.images import photoshop
from rlfn.images.coding import CodingInfo, table_quality

EXIF = b"Exif\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # in coded data FF is followed by 0, or by a restart's number
_SUBSTANCE = re.compile(rb"[^\0\xff\s]")
_MAX_MARKERS = 20_000
_SOS, _EOI, _DQT, _COM, _APP0 = 0xDA, 0xD9, 0xDB, 0xFE, 0xE0
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_BARE = {0x01, 0xD8, *range(0xD0, 0xD8)}
_PROGRESSIVE = 0xC2
_HUFFMAN = (0xC0, 0xC1, _PROGRESSIVE)
_KINDS = {
    0xC3: "lossless JPEG",
    0xC5: "hierarchical JPEG",
    0xC6: "hierarchical JPEG",
    0xC7: "hierarchical JPEG",
    0xC9: "arithmetically coded JPEG",
    0xCA: "arithmetically coded JPEG",
    0xCB: "lossless JPEG",
    0xCD: "hierarchical JPEG",
    0xCE: "hierarchical JPEG",
    0xCF: "hierarchical JPEG",
    0xF7: "JPEG-LS",
}
# Segments that say how the file is coded, or are read elsewhere, or hold a thumbnail.
_KNOWN = (b"JFIF\0", b"JFXX\0", EXIF, b"ICC_PROFILE\0", b"Adobe", b"Ducky", b"MPF\0", photoshop.NAME, XMP, EXTENDED_XMP)


@dataclass
class Structure:
    """What a walk over the markers found."""

    frame: int = 0
    precision: int = 8
    width: int = 0
    height: int = 0
    components: dict[int, tuple[int, int]] = field(default_factory=dict)
    quantisers: list[int] = field(default_factory=list)
    tables: dict[int, tuple[int, ...]] = field(default_factory=dict)
    scans: list[tuple[list[int], int, int, int]] = field(default_factory=list)
    data_at: int = 0
    end: int | None = None
    gave_up: bool = False
    aspect: tuple[int, int] | None = None
    resources: bytes = b""
    comments: list[bytes] = field(default_factory=list)
    extended: dict[bytes, dict[int, bytes]] = field(default_factory=dict)
    lost: dict[str, None] = field(default_factory=dict)

    def coding(self) -> CodingInfo:
        """Return how the pixels were coded, judged by the table of the first component, which is luma."""
        sizes = list(self.components.values())
        table = self.tables.get(self.quantisers[0]) if self.quantisers else None
        return CodingInfo(
            True, None if table is None else table_quality(table), any(size != sizes[0] for size in sizes)
        )

    def missing_coefficients(self) -> float:
        """Return the share of a progressive picture's coefficients that no scan brings to full precision."""
        if self.frame != _PROGRESSIVE or not self.components:
            return 0.0
        whole = set[tuple[int, int]]()
        for names, first, last, low in self.scans:
            if low == 0:
                whole.update((name, k) for name in names for k in range(first, last + 1))
        return 1 - len(whole) / (64 * len(self.components))

    def too_little(self, size: int) -> bool:
        """Tell whether ``size`` bytes of file cannot hold nine tenths of the picture, whatever it shows.

        A block takes two bits at least: one for its mean, one for its end; in progressive files the mean alone.
        """
        if self.frame not in _HUFFMAN or not self.data_at or not self.components:
            return False
        widest = max(h for h, _ in self.components.values())
        tallest = max(v for _, v in self.components.values())
        blocks = sum(self.width * h / widest * self.height * v / tallest / 64 for h, v in self.components.values())
        bits = 1 if self.frame == _PROGRESSIVE else 2
        return ((self.end or size) - self.data_at) * 8 < 0.9 * bits * blocks

    def foreign(self) -> str | None:
        """Name what few decoders can read; ``None`` for an ordinary JPEG."""
        if self.frame in _KINDS:
            return _KINDS[self.frame]
        return f"JPEG of {self.precision} bits a channel" if self.precision not in (0, 8) else None

    def extended_xmp(self, guid: bytes) -> bytes | None:
        """Return the extended packet of that name; ``None`` where there is none, or parts are missing."""
        parts = self.extended.get(guid, {})
        whole = bytearray()
        for at in sorted(parts):
            if at != len(whole):
                return None
            whole += parts[at]
        return bytes(whole) or None


def walk(data: bytes) -> Structure:
    """Go over the markers of a file; a damaged one ends the walk."""
    found = Structure()
    for count, (code, start, end) in enumerate(_segments(data)):
        if count == _MAX_MARKERS:
            found.gave_up = True
            break
        if code == _EOI:
            found.end = end
            _look_behind(data, end, found)
            break
        if code not in _BARE:
            _take(code, data[start:end], found)
        if code == _SOS and not found.data_at:
            found.data_at = end
    return found


def metadata_spans(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the application segments before the pixels lie; without pixels all that follows them too."""
    stop = 0
    for code, start, stop in islice(_segments(data), _MAX_MARKERS):
        if code == _SOS:
            return
        if _APP0 <= code < _APP0 + 16:
            yield start, stop
    yield stop, len(data)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Go through the segments: marker, and where the body starts and ends; a damaged one ends the walk."""
    at = 2
    while marker := _MARKER.search(data, at):
        at, code = marker.end(), data[marker.end() - 1]
        if code == _EOI or code in _BARE:
            yield code, at, at
            continue
        size = int.from_bytes(data[at : at + 2], "big")
        if size < 2 or at + size > len(data):
            return
        yield code, at + 2, at + size
        at += size


def _take(code: int, body: bytes, found: Structure) -> None:
    """Note what one segment says."""
    if code in _FRAMES and not found.frame and len(body) >= 6:
        found.frame, found.precision = code, body[0]
        found.height, found.width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
        for at in range(6, min(len(body), 6 + 3 * body[5]) - 2, 3):
            found.components[body[at]] = (max(body[at + 1] >> 4, 1), max(body[at + 1] & 15, 1))
            found.quantisers.append(body[at + 2])
    elif code == _DQT:
        _take_tables(body, found)
    elif code == _SOS and body and len(body) >= 4 + 2 * body[0] and body[0] <= 4:
        first, last, low = body[-3], body[-2], body[-1] & 15
        found.scans.append(([body[1 + 2 * i] for i in range(body[0])], first, min(last, 63), low))
    elif code == _COM:
        found.comments.append(body)
    elif _APP0 <= code < _APP0 + 16:
        _take_application(code - _APP0, body, found)


def _take_tables(body: bytes, found: Structure) -> None:
    """Note quantisation tables of 8 or 16 bit a step; the first of a number counts."""
    at = 0
    while at < len(body):
        wide, number = 1 + (body[at] >> 4 > 0), body[at] & 15
        steps = body[at + 1 : at + 1 + 64 * wide]
        if len(steps) == 64 * wide:
            values = tuple(int.from_bytes(steps[i : i + wide], "big") for i in range(0, 64 * wide, wide))
            found.tables.setdefault(number, values)
        at += 1 + 64 * wide


def _take_application(number: int, body: bytes, found: Structure) -> None:
    if body.startswith(photoshop.NAME):
        found.resources += body[len(photoshop.NAME) :]
    elif body.startswith(EXTENDED_XMP):
        rest = body[len(EXTENDED_XMP) :]
        found.extended.setdefault(rest[:32], {})[int.from_bytes(rest[36:40], "big")] = rest[40:]
    elif body.startswith(b"JFIF\0") and len(body) >= 12 and body[7] == 0:
        across, down = int.from_bytes(body[8:10], "big"), int.from_bytes(body[10:12], "big")
        found.aspect = (across, down) if across != down and across and down else None
    elif number == 11 and body.startswith(b"JP"):
        found.lost["content credentials (C2PA, JUMBF)"] = None
    elif number == 2 and body.startswith(b"urn:iso:std:iso:ts:21496"):
        found.lost["further pictures (HDR gain map)"] = None
    elif body and not body.startswith(_KNOWN):
        name = re.match(rb"[A-Za-z0-9_.:/ -]{2,24}", body)
        found.lost[f"JPEG segment APP{number}" + (f" ({name[0].decode().strip()})" if name else "")] = None


def _look_behind(data: bytes, end: int, found: Structure) -> None:
    """Name what lies behind the end of the picture."""
    if _SUBSTANCE.search(data, end) is None:
        return
    pictures, video = data.find(b"\xff\xd8\xff", end) >= 0, data.find(b"ftyp", end) >= 0
    if pictures and not any("gain map" in text for text in found.lost):
        found.lost["further pictures (of an MPO file, or a gain map)"] = None
    if video:
        found.lost["the appended video (of a motion photo)"] = None
    if not pictures and not video:
        found.lost[f"{len(data) - end:,} bytes behind the end of the picture"] = None
