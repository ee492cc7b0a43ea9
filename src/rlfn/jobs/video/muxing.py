"""What goes into the output, and the names and metadata of streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from rlfn.jobs.video.encoding import EncodePlan
from rlfn.jobs.video.library import import_av
from rlfn.jobs.video.probe import Clip
from rlfn.jobs.video.segments import Segment
from rlfn.jobs.video.webm_alpha import ALPHA

TURNING = frozenset(("mp4", "mov", "3gp", "matroska"))
"""Containers that keep a display matrix."""

_OF_CONTAINERS = frozenset(
    (
        *("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "number_of_bytes"),
        *("number_of_frames", "_statistics_tags", "_statistics_writing_app", "_statistics_writing_date_utc"),
        *("bps", "vendor_id", "handler_name"),
    )
)
"""Metadata about the file itself, not its content."""


@dataclass
class Muxed:
    """What became of the streams.

    Attributes:
        kept: a few words on each stream that is in the output.
        warnings: what is lost or changed, by name.
    """

    kept: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class MuxPlan:
    """What goes into the output.

    Attributes:
        clip: the source.
        encode: how the frames were encoded.
        segments: where they lie.
        muxer: FFmpeg's name of the container.
        turned: whether the display matrix was applied to the frames.
        trimmed: whether a time range was cut out; its first frame then has the time 0.
        jumps: where the source's times jump back, see :class:`~rlfn.jobs.video.timeline.Timeline`.
    """

    clip: Clip
    encode: EncodePlan
    segments: Sequence[Segment]
    muxer: str
    turned: bool
    trimmed: bool
    jumps: tuple[Fraction, ...] = ()

    @property
    def last_duration(self) -> int:
        """How long the last frame is shown."""
        stated = self.times[-1][1]
        return stated if stated > 0 else max(1, round(1 / (self.clip.rate * self.clip.time_base)))

    @property
    def times(self) -> list[tuple[int, int]]:
        """Timestamp and duration of each frame."""
        return [frame for segment in self.segments for frame in segment.frames]


def codec_name(stream: Any) -> str:
    """Return FFmpeg's name of a stream's codec; empty where it is not known."""
    return stream.codec_context.codec.canonical_name if stream.codec_context is not None else ""


def is_attached(stream: Any) -> bool:
    """Tell whether a stream is a picture that is attached to the file, such as a cover."""
    return bool(stream.type == "video" and stream.disposition & import_av().stream.Disposition.attached_pic)


def stream_name(stream: Any) -> str:
    """Name a stream: its kind, codec, language and number."""
    codec = codec_name(stream)
    name = stream.metadata.get("filename", "") if stream.type == "attachment" else ""
    words = [stream.type, codec, stream.metadata.get("language", ""), name]
    return " ".join([*(word for word in words if word), f"(stream {stream.index})"])


def is_generated(stream: Any, source: Any) -> bool:
    """Tell whether a stream of a QuickTime file is one that the container makes of its own: chapters, a timecode."""
    if stream.type != "data" or "mov" not in source.format.name:
        return False
    return "timecode" in stream.metadata or (stream.name == "bin_data" and bool(source.chapters()))


def plain_metadata(given: dict[str, str], *, enlarged: bool = False) -> dict[str, str]:
    """Return metadata without entries about the file itself or that do not apply to an enlarged stream."""
    without = _OF_CONTAINERS | {ALPHA} if enlarged else _OF_CONTAINERS
    return {key: value for key, value in given.items() if _plain(key) not in without or key == "handler_name"}


def _plain(key: str) -> str:
    """Return a key without the language that Matroska adds: ``BPS-eng``."""
    return key.lower().split("-")[0]
