"""Files changed where their structure lies: sizes, types and offsets, with checksums made right again."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

Place = tuple[int, int, str]
"""Where a number of a file's structure lies: offset, bytes, and struct's sign of its byte order."""


def _png(data: bytes) -> list[Place]:
    found, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found += [(at, 4, ">"), (at + 4, 4, ">"), (at + 8, 4, ">")]
        at += 12 + length
    return found


def _jpeg(data: bytes) -> list[Place]:
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        found += [(at + 1, 1, ">"), (at + 2, 2, ">"), (at + 4, 2, ">"), (at + 5, 2, ">")]
        at += 2 + length
    return found


def _riff(data: bytes) -> list[Place]:
    found, at = [(4, 4, "<")], 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        found += [(at, 4, "<"), (at + 4, 4, "<"), (at + 8, 4, "<")]
        at += 8 + length + length % 2
    return found


def _boxes(data: bytes, start: int = 0, stop: int | None = None) -> list[Place]:
    found, at, stop = [], start, len(data) if stop is None else stop
    while at + 8 <= stop:
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        found += [(at, 4, ">"), (at + 4, 4, ">"), (at + 8, 4, ">"), (at + 12, 4, ">")]
        if length < 8 or at + length > stop:
            break
        if kind in (b"iprp", b"ipco", b"meta", b"dinf"):
            found += _boxes(data, at + 8 + 4 * (kind == b"meta"), at + length)
        at += length
    return found


def _tiff(data: bytes) -> list[Place]:
    order = "<" if data[:2] == b"II" else ">"
    found: list[Place] = [(4, 4, order)]
    at = struct.unpack_from(order + "I", data, 4)[0]
    if at + 2 <= len(data):
        count = struct.unpack_from(order + "H", data, at)[0]
        found.append((at, 2, order))
        for entry in range(at + 2, min(at + 2 + 12 * count, len(data) - 12), 12):
            found += [(entry, 2, order), (entry + 2, 2, order), (entry + 4, 4, order), (entry + 8, 4, order)]
    return found


STRUCTURES: dict[bytes, Callable[[bytes], list[Place]]] = {
    b"\x89PNG": _png,
    b"\xff\xd8": _jpeg,
    b"RIFF": _riff,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
}
"""By first bytes, what finds the places; others are taken for boxes, or for a header of 64 bytes."""


def places(data: bytes) -> list[Place]:
    """Return where the structure of a file lies."""
    for head, find in STRUCTURES.items():
        if data.startswith(head):
            return find(data)
    if data[4:8] == b"ftyp":
        return _boxes(data)
    return [(at, size, order) for at in range(min(64, len(data) - 4)) for size in (1, 2, 4) for order in "<>"]


def _checked_png(data: bytearray) -> bytes:
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        crc = zlib.crc32(data[at + 4 : at + 8 + length])
        data[at + 8 + length : at + 12 + length] = crc.to_bytes(4, "big")
        at += 12 + length
    return bytes(data)


def mutated(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Return ``data`` changed in one to three places; ``other`` is a file of which parts may be put in."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        kind = rng.random()
        if kind < 0.55 and (known := places(bytes(changed))):
            at, size, order = rng.choice(known)
            top = (1 << 8 * size) - 1
            value = rng.choice((0, 1, 2, 7, top, top >> 1, top - 7, len(data), at, rng.randint(0, top))) & top
            changed[at : at + size] = value.to_bytes(size, "little" if order == "<" else "big")
        elif kind < 0.7:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        elif kind < 0.8:
            del changed[rng.randrange(len(changed)) :]
        elif kind < 0.9:
            start, stop = sorted(rng.randrange(len(other)) for _ in range(2))
            at = rng.randrange(len(changed) + 1)
            changed[at:at] = other[start : min(stop, start + 4096)]
        else:
            start = rng.randrange(len(changed))
            del changed[start : start + rng.randint(1, 64)]
        if len(changed) < 16:
            break
    if rng.random() < 0.8 and changed.startswith(b"\x89PNG"):
        return _checked_png(changed)
    return bytes(changed)
