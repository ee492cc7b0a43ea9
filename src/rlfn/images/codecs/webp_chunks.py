"""WebP's chunks. Source: the WebP container specification."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

FIRST = 12
"""Where a file's first chunk begins."""

FRAME_HEADER = 24
"""Bytes of an ANMF chunk before the chunks inside it."""

MAX_CHUNKS = 1_000_000
"""The most chunks that are looked at."""


def iter_chunks(stream: BinaryIO, at: int = FIRST) -> Iterator[tuple[bytes, int, int]]:
    """Go through the whole chunks from ``at`` on: name, where it begins, and where it ends, padding included.

    The last one's padding may be missing.
    """
    end = stream.seek(0, 2)
    for _ in range(MAX_CHUNKS):
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:
            return
        name, size = struct.unpack("<4sI", head)
        if at + 8 + size > end:
            return
        yield name, at, at + 8 + size + size % 2
        at += 8 + size + size % 2


def chunk(name: bytes, body: bytes) -> bytes:
    """Return a whole chunk."""
    return struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2)
