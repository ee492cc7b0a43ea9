"""Animated PNG: what its header says, and writing it. Source: the PNG specification, third edition, 11.3.6."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyvips
from numpy.typing import NDArray

from rlfn.atomic import to_path
from rlfn.images.codecs import vips

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS = 1000
_MAX_COUNT = 65_535


def read_control(stream: BinaryIO) -> tuple[int, int] | None:
    """Return how many frames an animated PNG has and how often it is shown (0 without end); None of any other file.

    What says it stands before the picture's data, behind a profile of any length.
    """
    if stream.read(len(_SIGNATURE)) != _SIGNATURE:
        return None
    for _ in range(_MAX_CHUNKS):
        head = stream.read(8)
        if len(head) < 8:
            return None
        size, kind = struct.unpack(">I4s", head)
        if kind == b"acTL":
            body = stream.read(8)
            return struct.unpack(">II", body) if len(body) == 8 else None
        if kind in (b"IDAT", b"IEND"):
            return None
        stream.seek(size + 4, os.SEEK_CUR)
    return None


def read_size(stream: BinaryIO) -> tuple[int, int] | None:
    """Return (width, height) of a PNG file from its header; None of a file that ends before."""
    body = stream.read(len(_SIGNATURE) + 16)[-8:]
    return struct.unpack(">II", body) if len(body) == 8 else None


def count_missing_frames(stream: BinaryIO) -> tuple[int, int]:
    """Return how many frames an animated PNG that was cut short lacks, and how many it states.

    Without the chunk that ends the file, the last frame that begins counts as missing.
    """
    control = read_control(stream)
    stated, begun = (control[0] if control else 0), 0
    stream.seek(len(_SIGNATURE))
    while len(head := stream.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return 0, stated
        begun += kind == b"fcTL"
        stream.seek(size + 4, os.SEEK_CUR)
    return max(0, stated - max(0, begun - 1)), stated


def write_apng(
    frames: Iterable[NDArray[Any]], path: Path, delays: Sequence[int], loop: int, icc: bytes | None = None
) -> tuple[int, int]:
    """Write frames to an animated PNG, whole or not at all; return (width, height) of them.

    Args:
        frames: uint8 or uint16, RGB (H, W, 3) or RGBA (H, W, 4), as many as ``delays``, all of one size.
        path: the file.
        delays: how long each frame is shown, in ms.
        loop: how often the animation is shown; 0 without end.
        icc: the profile of the colours.

    Raises:
        OutputError: it cannot be written.
    """
    size: list[tuple[int, int]] = []

    def encode(stream: BinaryIO) -> None:
        number = 0
        for delay, frame in zip(delays, frames, strict=True):
            if not size:
                size.append((frame.shape[1], frame.shape[0]))
            chunks = list(_chunks(_png(frame, icc if not number else None)))
            if not number:
                stream.write(_SIGNATURE)
                for kind, body in chunks:
                    if kind in (b"IHDR", b"iCCP"):
                        _write(stream, kind, body)
                _write(stream, b"acTL", struct.pack(">II", len(delays), loop))
            control = struct.pack(">5I2H2B", number, *size[0], 0, 0, *_fraction(delay), 0, 0)
            _write(stream, b"fcTL", control)
            first, number = number == 0, number + 1
            for kind, body in chunks:
                if kind == b"IDAT" and first:
                    _write(stream, kind, body)
                elif kind == b"IDAT":
                    _write(stream, b"fdAT", struct.pack(">I", number) + body)
                    number += 1
        _write(stream, b"IEND", b"")

    to_path(path, encode)
    return size[0]


def _fraction(delay: int) -> tuple[int, int]:
    """Return ms as a fraction of a second whose numbers have 16 bits: the finest that holds it."""
    for unit in (1000, 100, 10, 1):
        count = round(delay * unit / 1000)
        if count <= _MAX_COUNT:
            return count, unit
    return _MAX_COUNT, 1


def _png(frame: NDArray[Any], icc: bytes | None) -> bytes:
    """Encode a frame with four channels, as all frames must be of one kind."""
    vips.FORK_GUARD.enter()
    if frame.shape[2] == 3:
        frame = np.dstack([frame, np.full(frame.shape[:2], np.iinfo(frame.dtype).max, frame.dtype)])
    deep = frame.dtype == np.uint16
    height, width = frame.shape[:2]
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(frame).tobytes(), width, height, 4, "ushort" if deep else "uchar"
    ).copy(interpretation="rgb16" if deep else "srgb")
    if icc is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    data: bytes = image.pngsave_buffer(keep="icc" if icc is not None else "none", filter="all")
    return data


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size


def _write(stream: BinaryIO, kind: bytes, body: bytes) -> None:
    stream.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
