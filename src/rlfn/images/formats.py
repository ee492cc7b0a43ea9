"""Which format is meant: by a name, a suffix, or a file's first bytes."""

from __future__ import annotations

import os
from pathlib import PurePath

from rlfn.errors import OptionError, OutputError, PictureError, listing, unknown
from rlfn.images.codecs import ROWS
from rlfn.images.codecs.codec import Codec

FORMATS: dict[str, Codec] = {row.name: row for row in ROWS}
"""Every format that can be read, by name; those with ``writable`` can be written too."""

WRITABLE: tuple[str, ...] = tuple(row.name for row in ROWS if row.writable)
"""The names of the formats that can be written."""

READABLE_SUFFIXES: frozenset[str] = frozenset(suffix for row in ROWS for suffix in row.suffixes)
"""Lower-case suffixes of files that are worth opening in a folder."""

_BY_NAME = {name: row for row in ROWS for name in (row.name, *(suffix[1:] for suffix in row.suffixes))}

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


def format_for(path_or_name: str | os.PathLike[str]) -> Codec:
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
    larger = [other.name for other in ROWS if other.writable and max(width, height) <= other.max_side]
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


def sniff(head: bytes, what: str) -> Codec:
    """Return the format that a file's first bytes show; ``what`` names the file in errors.

    Raises:
        PictureError: the bytes are empty or no picture that rlfn reads.
    """
    if not head:
        raise PictureError(f"{what} is empty (0 bytes). Get a whole copy of the picture.")
    for row in ROWS:
        if row.recognise(head):
            return row
    found = next((text for magic, text in _FOREIGN if head.startswith(magic)), "not a picture that rlfn knows")
    raise PictureError(
        f"{what} is {found}. Allowed: {listing(row.title for row in ROWS)}. Convert it to one of these first."
    )
