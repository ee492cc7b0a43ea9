"""Whether a video is truncated: what its container states against what the file holds."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from rlfn.errors import PictureError
from rlfn.images.apng import count_missing_frames
from rlfn.jobs.video.library import import_av
from rlfn.jobs.video.opening import main_stream, open_video
from rlfn.jobs.video.probe import Clip
from rlfn.jobs.video.settings import TimeRange
from rlfn.wording import setting

_ALLOWED = 0.1
"""Largest missing share that is accepted."""

_SLACK = Fraction(1, 2)
"""Tolerance of a stated length, in seconds."""

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


@dataclass(frozen=True)
class Truncation:
    """What a video lacks: its share, 0 to 1, and a warning; nothing where the container does not state its size."""

    share: float = 0.0
    warnings: tuple[str, ...] = ()


def check_truncation(clip: Clip, time_range: TimeRange) -> Truncation:
    """Return what a video lacks within a time range.

    Raises:
        PictureError: that is more than a tenth.
    """
    if "mov" in clip.container:
        return _check_table(clip, time_range)
    if clip.container == "apng":
        return check_png(clip.path, clip.rate) if time_range.whole else Truncation()
    if "matroska" not in clip.container:
        return Truncation()
    with clip.path.open("rb") as file:
        stated = _matroska_size(file)
    # a size alone may be stated wrongly: the times have to agree
    return _check_times(clip, time_range) if stated > clip.path.stat().st_size else Truncation()


def check_png(path: Path, rate: Fraction) -> Truncation:
    """Return which frames an animated PNG of ``rate`` frames a second lacks.

    Raises:
        PictureError: more than a tenth.
    """
    with path.open("rb") as file:
        missing, stated = count_missing_frames(file)
    return _checked(path, missing, stated, f"{missing} of {stated} frames", (stated - missing) / rate)


def _checked(path: Path, missing: Fraction | int, of: Fraction | int, text: str, there: Fraction) -> Truncation:
    """Return a lack that is none, or small; what is there ends after ``there`` seconds.

    Raises:
        PictureError: the lack is large.
    """
    if missing <= 0:
        return Truncation()
    share = min(1.0, float(missing / of))
    if share <= _ALLOWED:
        return Truncation(share, (f"the source is cut short: it lacks {text}",))
    seconds = int(there * 1000) / 1000
    way_out = f", or process the intact part with {setting('duration', seconds)}" if seconds > 0 else ""
    raise PictureError(f"'{path}' is cut short: it lacks {text}. Get a whole copy of it{way_out}.")


def _check_table(clip: Clip, time_range: TimeRange) -> Truncation:
    """Find the frames that lie behind the end of an MP4 file, by its table of frames."""
    size = clip.path.stat().st_size
    with closing(open_video(clip.path)) as container:
        stream = main_stream(container, clip.path)
        rows = [(row.timestamp, row.pos + row.size > size) for row in stream.index_entries]
        if len(rows) > stream.frames:
            return Truncation()  # in fragments, each of which has its own table, and more of which may follow
    if not any(gone for _, gone in rows):
        return Truncation()
    first = min(time for time, _ in rows)
    placed = [((time - first) * clip.time_base - time_range.start, gone) for time, gone in rows]
    wanted = [
        (at, gone) for at, gone in placed if at >= 0 and (time_range.duration is None or at < time_range.duration)
    ]
    gone = [at for at, is_gone in wanted if is_gone]
    text = f"{len(gone)} of {len(wanted)} frames"
    return _checked(clip.path, len(gone), len(wanted), text, min(gone, default=Fraction(0)))


def _check_times(clip: Clip, time_range: TimeRange) -> Truncation:
    """Compare a stated length with the end of the last packet, which means to read the file."""
    with closing(open_video(clip.path)) as container:
        if not container.duration:
            return Truncation()
        begin = (main_stream(container, clip.path).start_time or 0) * clip.time_base + time_range.start
        end = Fraction(container.duration, 1_000_000)
        if time_range.duration is not None:
            end = min(end, begin + time_range.duration)
        found = _last_time(container)
    if end <= begin or end - found <= _SLACK:
        return Truncation()
    length, there = end - begin, max(found - begin, Fraction(0))
    missing = length - there
    return _checked(clip.path, missing, length, f"{float(missing):.1f} of {float(length):.1f} s", there)


def _last_time(container: Any) -> Fraction:
    """Return when the last packet of pictures or sound ends, in seconds."""
    av, last = import_av(), Fraction(0)
    packets = container.demux(*container.streams.video, *container.streams.audio)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return last
        time = packet.dts if packet.pts is None else packet.pts
        if time is not None and packet.size:
            last = max(last, (time + (packet.duration or 0)) * packet.time_base)


def _matroska_size(file: BinaryIO) -> int:
    """Return how many bytes a Matroska file has by its header; 0 where that is left open, as in live recordings.

    Source: RFC 8794 (EBML), 4 and 5.
    """
    if file.read(4) != _EBML or (length := _ebml_length(file)) is None:
        return 0
    file.seek(length, 1)
    if file.read(4) != _SEGMENT or (length := _ebml_length(file)) is None:
        return 0
    return file.tell() + length


def _ebml_length(file: BinaryIO) -> int | None:
    """Read a length of EBML; None where it is left open."""
    head = file.read(1)
    if not head or not head[0]:
        return None
    more = 8 - head[0].bit_length()
    open_end = (1 << 7 * (more + 1)) - 1
    length = int.from_bytes(head + file.read(more), "big") & open_end
    return None if length == open_end else length
