"""Animations: GIF and WebP in, these and animated PNG out, one frame at a time."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyvips
from numpy.typing import NDArray

from rlfn.atomic import to_path
from rlfn.errors import OutputError, PictureError
from rlfn.images.apng import write_apng
from rlfn.images.codecs import vips
from rlfn.images.codecs.codec import Encoding
from rlfn.images.codecs.webp import is_lossy, save_with_blocks
from rlfn.images.codecs.webp_chunks import iter_chunks
from rlfn.images.convert import eight_bit
from rlfn.images.formats import HEAD_BYTES, check_writable_size, format_for, sniff
from rlfn.images.picture import Metadata

ANIMATIONS = ("gif", "webp")
"""The formats that are read here."""

ANIMATION_SUFFIXES = (".gif", ".webp", ".png", ".apng")
"""Of the formats that are written here."""

_MAX_SIDE = {"gif": 65_535, "webp": 16_383}


@dataclass(frozen=True)
class Animation:
    """An open animation.

    Attributes:
        width, height: of its frames in px.
        delays: how long each frame is shown, in ms.
        loop: how often it is shown; 0 without end.
        metadata: what belongs to its frames.
        lossy: whether coding changed the pixels of its first frame.
        frames: yields the frames as they are shown: RGB (H, W, 3), or RGBA where something is transparent.
        bits: 8 for uint8 frames, 16 for uint16.
    """

    width: int
    height: int
    delays: tuple[int, ...]
    loop: int
    metadata: Metadata
    lossy: bool
    frames: Callable[[], Iterator[NDArray[Any]]]
    bits: int = 8


def open_animation(path: Path) -> Animation:
    """Read the header of a GIF or WebP file.

    Raises:
        PictureError: it cannot be read, is of another format, or is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"'{path}' cannot be read: {error.strerror}.") from None
    row = sniff(data[:HEAD_BYTES], f"'{path}'")
    if row.name not in ANIMATIONS:
        raise PictureError(f"'{path}' is {row.title}. Animations are read from GIF and WebP.")
    try:
        image = vips.load(row.name, data, n=-1)
        if image.bands < 3:
            image = image.colourspace("srgb")
    except vips.Error as error:
        raise PictureError(f"'{path}' is a {row.title} file that is damaged. Get a whole copy of it.") from error
    height = vips.field(image, "page-height") or image.height
    count = image.height // height
    delays = [*((row.name == "webp" and _webp_delays(data)) or vips.field(image, "delay") or ())][:count]
    return Animation(
        image.width,
        height,
        tuple(delays + [delays[-1] if delays else 100] * (count - len(delays))),
        vips.field(image, "loop") or 0,
        vips.metadata(image),
        lossy=row.name == "webp" and is_lossy(data),
        frames=lambda: _frames(image, height, count),
    )


def _webp_places(stream: BinaryIO) -> list[int]:
    """Return where a WebP file says how long each frame is shown: three bytes, in ms."""
    return [at + 20 for name, at, _ in iter_chunks(stream) if name == b"ANMF"]


def _webp_delays(data: bytes) -> list[int]:
    """Return a WebP file's own delays, which libvips changes where they are short."""
    return [int.from_bytes(data[at : at + 3], "little") for at in _webp_places(io.BytesIO(data))]


def _save_webp(given: Encoding, stream: BinaryIO, size: tuple[int, int], delays: Sequence[int]) -> None:
    """Write a WebP file, and then the delays that libvips changed."""
    save_with_blocks(given, stream, size)
    places = _webp_places(stream)
    if len(places) == len(delays):  # else frames that are the same became one
        for at, delay in zip(places, delays, strict=True):
            stream.seek(at)
            stream.write(min(delay, 0xFFFFFF).to_bytes(3, "little"))


def without_alpha(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return a frame without its alpha, where that is opaque everywhere."""
    opaque = pixels.shape[2] == 4 and bool((pixels[:, :, 3] == np.iinfo(pixels.dtype).max).all())
    return np.ascontiguousarray(pixels[:, :, :3]) if opaque else pixels


def _frames(image: Any, height: int, count: int) -> Iterator[NDArray[np.uint8]]:
    vips.FORK_GUARD.enter()
    for number in range(count):
        try:
            data = image.crop(0, number * height, image.width, height).write_to_memory()
        except vips.Error as error:
            raise PictureError(f"Frame {number + 1} of the animation is damaged. Get a whole copy of it.") from error
        yield without_alpha(np.frombuffer(data, np.uint8).reshape(height, image.width, -1))


def write_animation(
    frames: Iterable[NDArray[Any]], path: Path, like: Animation, quality: int | None = None
) -> tuple[int, int]:
    """Write frames to a GIF, WebP or animated PNG file, whole or not at all; return (width, height) of them.

    Those of GIF and WebP wait in a file beside the output, so memory does not grow with their number.

    Args:
        frames: uint8 or uint16, RGB (H, W, 3) or RGBA (H, W, 4), all of one size; GIF and WebP get 8 bit of them.
        path: its suffix says the format.
        like: the animation whose delays, loop and metadata are kept; the metadata fits the format.
        quality: 1 to 100, of WebP.

    Raises:
        OutputError: it cannot be written.
    """
    saver = path.suffix.lower().removeprefix(".")
    if saver in ("png", "apng"):
        return write_apng(frames, path, like.delays, like.loop, like.metadata)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".rlfn-", suffix=".part") as spool:
        size, count = (0, 0), 0
        for frame in frames:
            if not count:
                size = (frame.shape[1], frame.shape[0])
                _check_size(saver, *size)
            if frame.dtype == np.uint16:
                frame = eight_bit(frame)
            if frame.shape[2] == 3:
                frame = np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)])
            spool.write(frame.tobytes())
            count += 1
        spool.flush()
        tall = pyvips.Image.rawload(spool.name, size[0], size[1] * count, 4, access="sequential")
        tall = tall.copy(interpretation="srgb")
        tall.set_type(pyvips.GValue.gint_type, "page-height", size[1])
        tall.set_type(pyvips.GValue.array_int_type, "delay", list(like.delays[:count]))
        tall.set_type(pyvips.GValue.gint_type, "loop", like.loop)
        chosen = quality or format_for(saver).default_quality if saver == "webp" else None
        given = Encoding(tall, like.metadata, 8, chosen)
        if saver == "webp":
            to_path(path, lambda stream: _save_webp(given, stream, size, like.delays[:count]))
        else:
            to_path(path, lambda stream: vips.save(saver, given, stream, keep=()))
    return size


def _check_size(saver: str, width: int, height: int) -> None:
    if saver == "webp":
        check_writable_size(saver, width, height)
    if max(width, height) > _MAX_SIDE[saver]:
        raise OutputError(
            f"The result would be {width} x {height} pixels; GIF allows at most {_MAX_SIDE[saver]} a side. "
            "Choose a smaller scale."
        )
