"""Writing animated PNG. Source: the PNG specification, third edition, 11.3.6."""

from __future__ import annotations

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


def count_plays(head: bytes) -> int:
    """Return how often an animated PNG is shown, from its first bytes; 0 without end."""
    at = head.find(b"acTL")
    return int(struct.unpack_from(">I", head, at + 8)[0]) if 0 <= at <= len(head) - 12 else 0


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
            control = struct.pack(">5I2H2B", number, *size[0], 0, 0, min(delay, 65_535), 1000, 0, 0)
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


def _png(frame: NDArray[Any], icc: bytes | None) -> bytes:
    """Encode a frame with four channels, as all frames must be of one kind."""
    vips.THREADS.enter()
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
