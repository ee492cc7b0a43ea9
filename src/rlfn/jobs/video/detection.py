"""Detection of videos by a file's first bytes, and the suffixes worth opening."""

from __future__ import annotations

import os
from pathlib import Path

from rlfn.errors import RlfnError
from rlfn.images.apng import read_control
from rlfn.images.reading import count_frames
from rlfn.wording import listing

CONTAINERS: dict[str, str] = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".mts": "mpegts",
    ".m2ts": "mpegts",
    ".flv": "flv",
    ".3gp": "3gp",
    ".nut": "nut",
    ".gif": "gif",
    ".apng": "apng",
    ".png": "apng",
    ".webp": "webp",
}
"""FFmpeg's name of the container to write, by suffix."""

ANIMATED = frozenset((".gif", ".apng", ".png", ".webp"))
"""Suffixes of animations, which pictures share."""

VIDEO_SUFFIXES = frozenset(CONTAINERS) - ANIMATED | frozenset(
    (
        *(".avi", ".mpg", ".mpeg", ".m2v", ".vob", ".wmv", ".asf", ".ogv", ".ogg", ".mxf", ".rm", ".rmvb"),
        *(".f4v", ".3g2", ".dv", ".y4m", ".h264", ".264", ".h265", ".265", ".hevc", ".ivf", ".obu", ".apng"),
    )
)
"""Suffixes of files in a folder that are worth opening as videos."""

_HEAD_BYTES = 1024
_STILL_BRANDS = frozenset((b"avif", b"heic", b"heix", b"mif1", b"heim", b"heis", b"avis", b"hevc", b"msf1", b"crx "))
"""Brands of files of the MP4 family that are pictures."""

_MAGIC: tuple[tuple[int, bytes], ...] = (
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"wide"),
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska and WebM
    (0, b"FLV"),
    (0, b"OggS"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # ASF
    (0, b"\0\0\1\xba"),  # MPEG program stream
    (0, b"\0\0\1\xb3"),  # MPEG-1 and 2
    (0, b"\0\0\0\1\x67"),  # H.264, and below H.265
    (0, b"\0\0\1\x67"),
    (0, b"\0\0\0\1\x40"),
    (0, b"\0\0\0\1\x09"),
    (0, b".RMF"),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01"),  # MXF
    (0, b"YUV4MPEG2"),
    (0, b"DKIF"),
    (0, b"nut/multimedia container"),
)


def is_video(path: str | os.PathLike[str]) -> bool:
    """Tell by its content whether a file is a video, or a picture that moves; False where it cannot be read.

    A pipe is none: what is read from it is gone.
    """
    head = _head(Path(path))
    return _is_container(head) or (_may_move(Path(path), head) and _moves(Path(path)))


def is_animation(path: str | os.PathLike[str]) -> bool:
    """Tell by its content whether a file that :func:`is_video` is of a format that pictures have too."""
    return not _is_container(_head(Path(path)))


def no_animation(source: Path, target: Path) -> str:
    """Return why a video cannot be written as an animation, without a full stop."""
    suffixes = listing(suffix for suffix in CONTAINERS if suffix not in ANIMATED)
    return (
        f"{target} is the name of an animation, and the video {source} cannot be written as one. "
        f"End the name with {suffixes}"
    )


def _head(path: Path) -> bytes:
    """Return how a file begins; nothing of what is no file, or cannot be read."""
    try:
        if not path.is_file():
            return b""
        with open(path, "rb") as stream:
            return stream.read(_HEAD_BYTES)
    except OSError:
        return b""


def video_suffix(path: Path) -> str:
    """Return the suffix of the output that is named after a video: its own, where such a file can be written."""
    suffix = path.suffix.lower()
    return suffix if suffix in CONTAINERS else ".mkv"


def _is_container(head: bytes) -> bool:
    if head[4:8] == b"ftyp":
        return head[8:12] not in _STILL_BRANDS
    if head[:4] == b"RIFF":
        return head[8:12] in (b"AVI ", b"AVIX")
    if any(head.startswith(magic, at) for at, magic in _MAGIC):
        return True
    return not head.startswith(b"GIF8") and _is_transport_stream(head)


def _is_transport_stream(head: bytes) -> bool:
    """Tell whether each packet begins with 0x47: packets have 188 bytes, on Blu-ray with 4 more before each."""
    packets = (head[0::188], head[4::192])
    return any(len(marks) >= 3 and set(marks) == {0x47} for marks in packets)


def _may_move(path: Path, head: bytes) -> bool:
    if head.startswith(b"\x89PNG"):
        return b"acTL" in head[: head.index(b"IDAT")] if b"IDAT" in head else is_animated_png(path)
    webp = (
        head[:4] == b"RIFF" and head[8:12] == b"WEBP" and head[12:16] == b"VP8X" and bool(head[20:21] and head[20] & 2)
    )
    return head[:6] in (b"GIF87a", b"GIF89a") or webp


def is_animated_png(path: Path) -> bool:
    """Tell whether a file is an animated PNG, however long its profile is."""
    try:
        with path.open("rb") as stream:
            return read_control(stream) is not None
    except OSError:
        return False


def _moves(path: Path) -> bool:
    try:
        return count_frames(path) != 1
    except RlfnError:
        return False
