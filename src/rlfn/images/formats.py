"""Which format is meant: by a name, a suffix, or a file's first bytes."""

from __future__ import annotations

import os
from pathlib import PurePath

from rlfn.errors import MissingExtraError, OptionError, OutputError, PictureError, unknown
from rlfn.images.codecs import ROWS
from rlfn.images.codecs.codec import Codec
from rlfn.numeric import is_whole
from rlfn.wording import listing

FORMATS: dict[str, Codec] = {row.name: row for row in ROWS}
"""Every format that can be read, by name; those with ``writable`` can be written too."""

WRITABLE: tuple[str, ...] = tuple(row.name for row in ROWS if row.writable)
"""The names of the formats that can be written."""

READABLE_SUFFIXES: frozenset[str] = frozenset(suffix for row in ROWS for suffix in row.suffixes)
"""Lower-case suffixes of files that are worth opening in a folder."""

_BY_NAME = {name: row for row in ROWS for name in (row.name, *(suffix[1:] for suffix in row.suffixes))}

_FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"8BPS", "a Photoshop document"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"II\xbc\x01", "a JPEG XR picture"),
    (0, b"v/1\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"DDS ", "a DirectDraw surface"),
    (0, b"\0\0\1\0", "an icon"),
    (0, b"gimp xcf", "a GIMP document"),
    (0, b"SIMPLE  =", "a FITS picture"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (8, b"CR\x02\0", "a camera raw file (Canon)"),
    (4, b"ftypcrx ", "a camera raw file (Canon)"),
    (0, b"FUJIFILMCCD-RAW", "a camera raw file (Fujifilm)"),
    (0, b"IIRO", "a camera raw file (Olympus)"),
    (0, b"IIRS", "a camera raw file (Olympus)"),
    (0, b"MMOR", "a camera raw file (Olympus)"),
    (0, b"IIU\0", "a camera raw file (Panasonic)"),
    (0, b"FOVb", "a camera raw file (Sigma)"),
    (0, b"\0MRM", "a camera raw file (Minolta)"),
)

_PICTURE_SUFFIXES = frozenset(
    f".{name}"
    for names in (
        ("jp2", "j2k", "jpf", "jpx", "jxr", "wdp", "hdp", "jls", "exr", "hdr", "psd", "psb", "xcf", "kra", "ai", "eps"),
        ("svg", "ico", "cur", "icns", "dds", "ktx", "pcx", "sgi", "ras", "xbm", "xpm", "fits", "fit", "bpg", "flif"),
        ("pfm", "pam", "avci", "heics", "cr2", "cr3", "crw", "nef", "nrw", "arw", "sr2", "srf", "dng", "orf", "rw2"),
        ("raf", "pef", "srw", "3fr", "iiq", "x3f", "mrw", "kdc", "dcr", "erf", "rwl", "mos", "raw"),
        ("pdf",),
    )
    for name in names
)
"""Suffixes of pictures that are not read, those of camera raw files among them."""

HEAD_BYTES = 4096
"""Number of first bytes that :func:`sniff` needs."""


def format_for(path_or_name: str | os.PathLike[str]) -> Codec:
    """Return the writable format for a name (``"jpg"``, ``"JPEG"``, ``".tif"``) or for a path by its suffix.

    Raises:
        OptionError: no such format, or one that can only be read; the message lists those that can be written.
        MissingExtraError: the format's package is not installed.
    """
    text = os.fspath(path_or_name)
    suffix = PurePath(text).suffix
    given = suffix or (text if text.startswith(".") or not isinstance(path_or_name, os.PathLike) else "")
    row = _BY_NAME.get(given.lower().removeprefix("."))
    if row is None or not row.writable:
        raise unknown("output format", given.removeprefix(".") or text, WRITABLE)
    if not row.installed:
        raise MissingExtraError(row.title, row.extra)
    return row


def result_format(asked: str | None, target: str | os.PathLike[str] | None = None, source: str = "png") -> str:
    """Return the name of the format in which a result is written.

    Args:
        asked: the format that was asked for, if any: it decides.
        target: the path of the result, if it has one: otherwise its suffix decides.
        source: the format of the input, which is kept otherwise if it can be written; PNG if not.

    Raises:
        OptionError: ``asked`` or the suffix of ``target`` is no writable format.

    >>> result_format("JPEG"), result_format(None, "a.tif"), result_format(None, source="webp")
    ('jpg', 'tiff', 'webp')
    """
    if asked is not None:
        return format_for(asked).name
    if target is not None:
        return format_for(PurePath(target)).name
    return source if FORMATS[source].writable else "png"


def looks_like_picture(path: str | os.PathLike[str]) -> bool:
    """Tell by its suffix whether a file is a picture of a format that is not read, so that a job can name it.

    >>> looks_like_picture("photo.CR2"), looks_like_picture("photo.jpg"), looks_like_picture("notes.txt")
    (True, False, False)
    """
    return PurePath(path).suffix.lower() in _PICTURE_SUFFIXES


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
    if quality is not None and not (is_whole(quality) and 1 <= quality <= 100):
        raise OptionError(f"Quality {quality!r} is out of range. Allowed: 1 to 100.")


def sniff(head: bytes, what: str) -> Codec:
    """Return the format that a file's first bytes show; ``what`` names the file in errors.

    Raises:
        PictureError: the bytes are empty or no picture that rlfn reads.
    """
    if not head:
        raise PictureError(f"{what} is empty (0 bytes). Get a whole copy of the picture.")
    found = next((text for at, magic, text in _FOREIGN if head.startswith(magic, at)), None)
    if found is None:
        for row in ROWS:
            if row.recognise(head):
                return row
        found = "not a picture that rlfn knows"
    raise PictureError(
        f"{what} is {found}. Allowed: {listing(row.title for row in ROWS)}. Convert it to one of these first."
    )
