"""Media types of pictures, and which format a client's ``Accept`` names."""

from __future__ import annotations

from collections.abc import Iterator

from rlfn.errors import listing
from rlfn.images.formats import FORMATS, WRITABLE
from rlfn.serve.problems import problem

MEDIA_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "jxl": "image/jxl",
    "heic": "image/heic",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "pnm": "image/x-portable-anymap",
    "qoi": "image/qoi",
    "tga": "image/x-tga",
}
"""By the name of a format."""

MIXED = "multipart/mixed"
"""What a client accepts that wants the details as JSON before the picture."""

BROWSERS = ("jpg", "png", "webp", "avif", "gif")
"""Formats that browsers show."""


def accepted_format(accept: str) -> str | None:
    """Return the format that an ``Accept`` prefers, None where it leaves that open.

    Raises:
        Problem: it names pictures, and none that can be written.

    >>> accepted_format("image/avif;q=0.5, image/webp")
    'webp'
    """
    kinds = {MEDIA_TYPES[name]: name for name in WRITABLE}
    named = sorted(_kinds(accept), key=lambda row: -row[1])
    for kind, share in named:
        if share > 0 and kind in kinds:
            return kinds[kind]
        if share > 0 and kind in ("*/*", "image/*"):
            return None
    if named and all(kind.startswith("image/") for kind, _ in named):
        raise problem("not_acceptable", f"None of these can be written. Allowed: {listing(kinds)}.")
    return None


def wants_mixed(accept: str) -> bool:
    """Tell whether a client asks for the details as JSON before the picture."""
    return any(kind == MIXED and share > 0 for kind, share in _kinds(accept))


def _kinds(accept: str) -> Iterator[tuple[str, float]]:
    """Yield (media type, quality)."""
    for part in accept.split(","):
        kind, *parameters = (one.strip().lower() for one in part.split(";"))
        share = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        try:
            quality = float(share)
        except ValueError:
            quality = 1.0
        if kind:
            yield kind, quality


def titles() -> list[dict[str, object]]:
    """Return what can be written, for ``GET v1/models``."""
    return [
        {
            "name": name,
            "title": FORMATS[name].title,
            "suffix": FORMATS[name].suffixes[0],
            "media_type": MEDIA_TYPES[name],
            "lossy": FORMATS[name].lossy,
            "quality": FORMATS[name].default_quality,
            "browsers": name in BROWSERS,
        }
        for name in WRITABLE
    ]
