"""PyAV, which holds FFmpeg: the extra ``video``."""

from __future__ import annotations

from typing import Any

from rlfn.errors import MissingExtraError


def import_av() -> Any:
    """Return the module ``av``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import av
        import av.video.reformatter
    except ImportError:
        raise MissingExtraError("Video", "video") from None
    return av
