"""Media types of pictures, and the format that an ``Accept`` header selects."""

from __future__ import annotations

from collections.abc import Iterator

from rlfn.images.codecs.codec import Codec
from rlfn.images.formats import FORMATS, WRITABLE
from rlfn.serve.problems import problem
from rlfn.wording import listing

MIXED = "multipart/mixed"
"""Media type of responses that carry the details as JSON before the picture."""


def accepted_format(accept: str) -> str | None:
    """Return the format that an ``Accept`` header prefers, None if it leaves the choice open.

    Raises:
        Problem: it names only image types that cannot be written.

    >>> accepted_format("image/avif;q=0.5, image/webp")
    'webp'
    """
    kinds = {row.media_type: row.name for row in _writable()}
    named = sorted(_kinds(accept), key=lambda row: -row[1])
    for kind, share in named:
        if share > 0 and kind in kinds:
            return kinds[kind]
        if share > 0 and kind in ("*/*", "image/*"):
            return None
    if named and all(kind.startswith("image/") for kind, _ in named):
        raise problem("not_acceptable", f"Accept names no format that can be written. Allowed: {listing(kinds)}.")
    return None


def wants_mixed(accept: str) -> bool:
    """Tell whether a client wants the details as JSON before the picture."""
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


def writable_formats() -> list[dict[str, object]]:
    """Return the formats that can be written here, for ``GET v1/models``."""
    return [
        {
            "name": row.name,
            "title": row.title,
            "suffix": row.suffixes[0],
            "media_type": row.media_type,
            "lossy": row.lossy,
            "quality": row.default_quality,
            "browsers": row.in_browsers,
        }
        for row in _writable()
    ]


def _writable() -> list[Codec]:
    return [FORMATS[name] for name in WRITABLE if FORMATS[name].installed]
