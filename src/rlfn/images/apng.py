"""Animated PNG: what its header says, and writing it. Source: the PNG specification, third edition, 11.3.6."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyvips
from numpy.typing import NDArray

from rlfn.atomic import to_path
from rlfn.images.codecs import vips
from rlfn.images.codecs.codec import Encoding
from rlfn.images.codecs.png_chunks import SIGNATURE, chunk, chunks_of, iter_chunks
from rlfn.images.picture import Metadata

_MAX_CHUNKS = 1000
_MAX_COUNT = 65_535


def read_control(stream: BinaryIO) -> tuple[int, int] | None:
    """Return how many frames an animated PNG has and how often it is shown (0 without end); None of any other file.

    What says it stands before the picture's data, behind a profile of any length.
    """
    if stream.read(len(SIGNATURE)) != SIGNATURE:
        return None
    for name, start, _ in islice(iter_chunks(stream), _MAX_CHUNKS):
        if name == b"acTL":
            stream.seek(start)
            body = stream.read(8)
            return struct.unpack(">II", body) if len(body) == 8 else None
        if name in (b"IDAT", b"IEND"):
            return None
    return None


def read_size(stream: BinaryIO) -> tuple[int, int] | None:
    """Return (width, height) of a PNG file from its header; None of a file that ends before."""
    stream.seek(len(SIGNATURE) + 8)
    body = stream.read(8)
    return struct.unpack(">II", body) if len(body) == 8 else None


def count_missing_frames(stream: BinaryIO) -> tuple[int, int]:
    """Return how many frames an animated PNG that was cut short lacks, and how many it states.

    Without the chunk that ends the file, the last frame that begins counts as missing.
    """
    control = read_control(stream)
    stated, begun = (control[0] if control else 0), 0
    for name, _, _ in iter_chunks(stream):
        if name == b"IEND":
            return 0, stated
        begun += name == b"fcTL"
    return max(0, stated - max(0, begun - 1)), stated


def write_apng(
    frames: Iterable[NDArray[Any]], path: Path, delays: Sequence[int], loop: int, metadata: Metadata | None = None
) -> tuple[int, int]:
    """Write frames to an animated PNG, whole or not at all; return (width, height) of them.

    Args:
        frames: uint8 or uint16, RGB (H, W, 3) or RGBA (H, W, 4), as many as ``delays``, all of one size.
        path: the file.
        delays: how long each frame is shown, in ms.
        loop: how often the animation is shown; 0 without end.
        metadata: what belongs to the frames, fit for PNG.

    Raises:
        OutputError: it cannot be written.
    """
    size: list[tuple[int, int]] = []
    metadata = metadata or Metadata()
    stated = (b"IHDR", b"iCCP", *((b"pHYs",) if metadata.resolution else ()))

    def encode(stream: BinaryIO) -> None:
        number = 0
        for delay, frame in zip(delays, frames, strict=True):
            if not size:
                size.append((frame.shape[1], frame.shape[0]))
            data = _png(frame, Metadata() if number else metadata)
            chunks = [(name, data[at : at + length]) for name, at, length in iter_chunks(io.BytesIO(data))]
            if not number:
                stream.write(SIGNATURE)
                for name, body in chunks:
                    if name in stated:
                        stream.write(chunk(name, body))
                stream.write(chunks_of(metadata))
                stream.write(chunk(b"acTL", struct.pack(">II", len(delays), loop)))
            control = struct.pack(">5I2H2B", number, *size[0], 0, 0, *_fraction(delay), 0, 0)
            stream.write(chunk(b"fcTL", control))
            first, number = number == 0, number + 1
            for name, body in chunks:
                if name == b"IDAT" and first:
                    stream.write(chunk(name, body))
                elif name == b"IDAT":
                    stream.write(chunk(b"fdAT", struct.pack(">I", number) + body))
                    number += 1
        stream.write(chunk(b"IEND", b""))

    to_path(path, encode)
    return size[0]


def _fraction(delay: int) -> tuple[int, int]:
    """Return ms as a fraction of a second whose numbers have 16 bits: the finest that holds it."""
    for unit in (1000, 100, 10, 1):
        count = round(delay * unit / 1000)
        if count <= _MAX_COUNT:
            return count, unit
    return _MAX_COUNT, 1


def _png(frame: NDArray[Any], metadata: Metadata) -> bytes:
    """Encode a frame with four channels, as all frames must be of one kind, with profile and resolution."""
    if frame.shape[2] == 3:
        frame = np.dstack([frame, np.full(frame.shape[:2], np.iinfo(frame.dtype).max, frame.dtype)])
    deep = frame.dtype == np.uint16
    height, width = frame.shape[:2]
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(frame).tobytes(), width, height, 4, "ushort" if deep else "uchar"
    ).copy(interpretation="rgb16" if deep else "srgb")
    stream = io.BytesIO()
    vips.save("png", Encoding(image, metadata, 16 if deep else 8, None), stream, filter="all")
    return stream.getvalue()
