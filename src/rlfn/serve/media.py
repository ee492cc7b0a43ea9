"""Media types of pictures, and the format that an ``Accept`` header selects."""

from __future__ import annotations

from collections.abc import Iterator

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
    kinds = {FORMATS[name].media_type: name for name in WRITABLE}
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
    """Return the writable formats, for ``GET v1/models``."""
    return [
        {
            "name": name,
            "title": FORMATS[name].title,
            "suffix": FORMATS[name].suffixes[0],
            "media_type": FORMATS[name].media_type,
            "lossy": FORMATS[name].lossy,
            "quality": FORMATS[name].default_quality,
            "browsers": FORMATS[name].in_browsers,
        }
        for name in WRITABLE
    ]
