"""Photoshop's image resources, in which JPEG and TIFF files carry IPTC. Source: Adobe Photoshop File Formats."""

from __future__ import annotations

import struct
from collections.abc import Iterator

NAME = b"Photoshop 3.0\0"
_IPTC = 0x0404
_PATHS = range(2000, 2999)
# What goes without a word: resolution, thumbnails, digest, profile, EXIF and XMP once more, and settings of printing
# and of the screen that say nothing about the picture.
_IDLE = (
    frozenset(
        (0x03E8, 0x03E9, 0x03ED, 0x03F3, 0x03F5, 0x03F8, 0x03FD, 0x0400, 0x0402, 0x0406, 0x0408, 0x0409, 0x040B, 0x040C)
    )
    | frozenset(
        (0x040D, 0x040F, 0x0410, 0x0411, 0x0414, 0x0416, 0x0417, 0x0419, 0x041A, 0x041E, *range(0x0421, 0x0427), 0x0428)
    )
    | {0x043A, 0x043B, 0x0BB7, 0x2710}
)


def iptc_of(resources: bytes) -> tuple[bytes | None, list[str]]:
    """Return the IPTC records among image resources, and what else they hold that is lost."""
    iptc, lost = None, set()
    for number, value in _resources(resources):
        if number == _IPTC:
            iptc = iptc or value or None
        elif number in _PATHS:
            lost.add("Photoshop paths")
        elif number not in _IDLE:
            lost.add("Photoshop resources")
    return iptc, sorted(lost)


def with_iptc(iptc: bytes) -> bytes:
    """Return image resources that hold IPTC records and nothing else."""
    return b"8BIM" + struct.pack(">HHI", _IPTC, 0, len(iptc)) + iptc + b"\0" * (len(iptc) % 2)


def _resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while data[at : at + 4] in (b"8BIM", b"AgHg", b"DCSR", b"PHUT", b"MeSa") and at + 7 <= len(data):
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        named = 1 + data[at + 6]
        at += 6 + named + named % 2
        size = int.from_bytes(data[at : at + 4], "big")
        yield number, data[at + 4 : at + 4 + size]
        at += 4 + size + size % 2
