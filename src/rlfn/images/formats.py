"""THE table of picture formats: suffixes, limits, depths, and what a file's first bytes look like. Plain data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePath

from rlfn.errors import OptionError, OutputError, PictureError, listing, unknown


@dataclass(frozen=True)
class Format:
    """One row of the table.

    ``max_side`` is in pixels, of what can be written; ``depths`` are the bits a channel that a file can hold and that
    are kept; ``gray`` says that it has pictures without colour; ``default_quality`` (1 to 100) exists only where
    ``lossy``.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    writable: bool
    max_side: int = 0
    depths: tuple[int, ...] = (8,)
    lossy: bool = False
    alpha: bool = True
    gray: bool = True
    default_quality: int | None = None


_ROWS = (
    Format(
        "jpg",
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        True,
        65_500,
        (8,),
        lossy=True,
        alpha=False,
        default_quality=95,
    ),
    Format("png", "PNG", (".png",), True, 1_000_000, (8, 16)),
    Format("webp", "WebP", (".webp",), True, 16_383, (8,), lossy=True, gray=False, default_quality=95),
    Format("tiff", "TIFF", (".tiff", ".tif"), True, 1_000_000, (8, 16)),
    Format("avif", "AVIF", (".avif",), True, 16_384, (8, 10, 12), lossy=True, gray=False, default_quality=85),
    Format("heic", "HEIC", (".heic", ".heif", ".hif"), False, depths=(8, 10, 12), lossy=True),
    Format("gif", "GIF", (".gif",), False),
)

FORMATS: dict[str, Format] = {row.name: row for row in _ROWS}
"""Every format that can be read, by name; those with ``writable`` can be written too."""

WRITABLE: tuple[str, ...] = tuple(row.name for row in _ROWS if row.writable)
"""The names of the formats that can be written."""

READABLE_SUFFIXES: frozenset[str] = frozenset(suffix for row in _ROWS for suffix in row.suffixes)
"""Lower-case suffixes of files that are worth opening in a folder."""

_BY_NAME = {name: row for row in _ROWS for name in (row.name, *(suffix[1:] for suffix in row.suffixes))}

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)

_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"BM", "a BMP picture"),
    (b"8BPS", "a Photoshop document"),
    (b"%PDF", "a PDF document"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"<svg", "an SVG drawing"),
    (b"PK\x03\x04", "a ZIP archive"),
)

HEAD_BYTES = 4096
"""So many first bytes are enough for :func:`sniff`."""


def format_for(path_or_name: str | os.PathLike[str]) -> Format:
    """Return the writable format for a name (``"jpg"``, ``"JPEG"``, ``".tif"``) or for a path by its suffix.

    Raises:
        OptionError: no such format, or one that can only be read; the message lists those that can be written.
    """
    text = os.fspath(path_or_name)
    suffix = PurePath(text).suffix
    given = suffix or (text if text.startswith(".") or not isinstance(path_or_name, os.PathLike) else "")
    row = _BY_NAME.get(given.lower().removeprefix("."))
    if row is None or not row.writable:
        raise unknown("output format", given.removeprefix(".") or text, WRITABLE)
    return row


def check_writable_size(format: str, width: int, height: int) -> None:
    """Check that ``format`` can hold ``width`` x ``height`` pixels, so that work is refused before it is done.

    Raises:
        OptionError: the format is unknown or read only.
        OutputError: the picture would be larger than the format allows.
    """
    row = format_for(format)
    if max(width, height) <= row.max_side:
        return
    larger = [other.name for other in _ROWS if other.writable and max(width, height) <= other.max_side]
    remedy = f"Write {listing(larger)} instead, or choose a smaller scale." if larger else "Choose a smaller scale."
    raise OutputError(
        f"The result would be {width} x {height} pixels; {row.title} allows at most {row.max_side} a side. {remedy}"
    )


def check_quality(quality: int | None) -> None:
    """Refuse a quality outside 1 to 100; None is the format's own.

    Raises:
        OptionError: it is outside.
    """
    if quality is not None and not 1 <= quality <= 100:
        raise OptionError(f"There is no quality {quality}. Allowed: 1 to 100.")


def sniff(head: bytes, what: str) -> Format:
    """Return the format that a file's first bytes show; ``what`` names the file in errors.

    Raises:
        PictureError: the bytes are empty or no picture that rlfn reads.
    """
    if not head:
        raise PictureError(f"{what} is empty (0 bytes). Get a whole copy of the picture.")
    for magic, known in _MAGIC:
        if head.startswith(magic):
            return FORMATS[known]
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return FORMATS["webp"]
    if head[4:8] == b"ftyp" and (name := _brand(head)):
        return FORMATS[name]
    found = next((text for magic, text in _FOREIGN if head.startswith(magic)), "not a picture that rlfn knows")
    raise PictureError(
        f"{what} is {found}. Allowed: {listing(row.title for row in _ROWS)}. Convert it to one of these first."
    )


def _brand(head: bytes) -> str | None:
    """Tell AVIF from HEIC by the brands of an ISO media file's first box."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    if b"avif" in brands or b"avis" in brands:
        return "avif"
    heif = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
    return "heic" if any(brand in heif for brand in brands) else None
