"""Whether a video was cut short: what its container states against what the file holds."""

from __future__ import annotations

import struct
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from rlfn.errors import PictureError, setting
from rlfn.images.apng import count_whole_frames
from rlfn.jobs.video.library import import_av
from rlfn.jobs.video.probe import Clip, main_stream, open_video
from rlfn.jobs.video.stretch import Stretch

ALLOWED = 0.1
"""Videos that lack more than this share are refused, where that is known before the work."""

_STATED = frozenset(("mov", "matroska", "webm", "avi", "flv", "asf", "mxf"))
"""Containers whose header states how long a video is; of others FFmpeg finds it in what there is."""

_SECOND = Fraction(1)
_FRAMES = 2
"""Stated lengths may be off by so little."""

_PADDING = 8
"""So many bytes at the end may be left out."""

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


@dataclass(frozen=True)
class Lack:
    """What a video lacks.

    Attributes:
        share: of it, 0 to 1.
        text: how much of how much.
        until: what there is ends so many seconds behind the beginning of the stretch; None where that is not known.
    """

    share: float
    text: str
    until: float | None = None

    def check(self, path: Path, duration: float) -> None:
        """Refuse a video that lacks more than a tenth; ``duration`` is its stated length in seconds.

        Raises:
            PictureError: it does.
        """
        if self.share <= ALLOWED:
            return
        until = duration if self.until is None else self.until
        there = f", or take what there is with {setting('duration', f'{until:.6g}')}" if until > 0 else ""
        raise PictureError(f"'{path}' is cut short: {self.text}. Get a whole copy of it{there}.")

    @property
    def warning(self) -> str:
        """What is told of a video that is enlarged nevertheless."""
        return f"the source is cut short: {self.text}"


def check_whole(clip: Clip, stretch: Stretch) -> Lack | None:
    """Return what a video lacks, as far as that is known without reading all of it; None for nothing.

    Raises:
        PictureError: that is more than a tenth.
    """
    lack = _stated_lack(clip, stretch)
    if lack is not None:
        lack.check(clip.path, clip.duration)
    return lack


def lack_at_end(clip: Clip, stretch: Stretch, end: int) -> Lack | None:
    """Return what a video lacks, when its last frame is known; None for nothing, and where nothing tells.

    Args:
        clip: the video.
        stretch: what was taken of it.
        end: of its last frame, in its stream's time base.
    """
    if not _STATED & set(clip.container.split(",")):
        return None
    with closing(open_video(clip.path)) as container:
        stream = main_stream(container, clip.path)
        if not container.duration or (stream.frames and "mov" in clip.container):
            return None  # of MP4 with a table of all frames all is said before
        begin = (stream.start_time or 0) * clip.time_base
        stated = Fraction(container.duration, 1_000_000)
        begin = min(begin, stated)
        wanted = stated if stretch.duration is None else min(stated, begin + stretch.start + stretch.duration)
        length = wanted - begin - stretch.start
        if not _is_less(end * clip.time_base, wanted, length, clip.rate):
            return None
        found = max(end * clip.time_base, _last_time(container))  # sound may go on behind the pictures
    if not _is_less(found, wanted, length, clip.rate):
        return None
    missing = wanted - found
    text = f"{float(missing):.1f} of {float(length):.1f} s are missing"
    return Lack(min(1.0, float(missing / length)), text)


def _is_less(found: Fraction, wanted: Fraction, length: Fraction, rate: Fraction) -> bool:
    missing = wanted - found
    return missing > _FRAMES / rate and (missing > _SECOND or missing > Fraction(ALLOWED) * length)


def _last_time(container: Any) -> Fraction:
    """Return when the last packet of any stream ends."""
    av, last = import_av(), Fraction(0)
    packets = container.demux()
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.EOFError):
            return last
        except av.error.FFmpegError:
            return last
        if packet.pts is not None and packet.size:
            last = max(last, (packet.pts + (packet.duration or 0)) * packet.time_base)


def _stated_lack(clip: Clip, stretch: Stretch) -> Lack | None:
    if "mov" in clip.container:
        return _of_table(clip, stretch)
    if not stretch.whole:
        return None  # where the stretch lies in the file is not known
    if clip.container == "apng":
        return lack_of_png(clip.path, clip.rate)
    size = clip.path.stat().st_size
    with clip.path.open("rb") as file:
        if "matroska" in clip.container:
            stated = _matroska_size(file)
        else:
            stated = _riff_size(file) if clip.container == "avi" else 0
    if stated <= size + _PADDING:
        return None
    return _lack_of(stated - size, stated, "bytes")


def lack_of_png(path: Path, rate: Fraction) -> Lack | None:
    """Return which frames of those that it states an animated PNG of so many frames a second lacks."""
    with path.open("rb") as file:
        there, stated = count_whole_frames(file)
    if there >= stated:
        return None
    return replace(_lack_of(stated - there, stated, "frames"), until=float(there / rate))


def _lack_of(missing: int, stated: int, unit: str) -> Lack:
    return Lack(missing / stated, f"{missing:,} of its {stated:,} {unit} are missing")


def _of_table(clip: Clip, stretch: Stretch) -> Lack | None:
    """Return which frames of a stretch lie behind the end of an MP4 file, by its table of frames."""
    size = clip.path.stat().st_size
    with closing(open_video(clip.path)) as container:
        stream = main_stream(container, clip.path)
        if not stream.frames:
            return None  # in fragments: the table goes no further than the first one
        rows = [(row.timestamp, row.pos + row.size > size) for row in stream.index_entries]
    if not any(gone for _, gone in rows):
        return None
    first = min(time for time, _ in rows)
    placed = [((time - first) * clip.time_base - stretch.start, gone) for time, gone in rows]
    end = stretch.duration
    placed = [(time, gone) for time, gone in placed if time >= 0 and (end is None or time < end)]
    missing = [time for time, gone in placed if gone]
    if not missing:
        return None
    lack = _lack_of(len(missing), len(placed), "frames")
    return Lack(lack.share, lack.text, float(min(missing)))


def _matroska_size(file: BinaryIO) -> int:
    """Return how many bytes a Matroska file has by its header; 0 where that is left open, as in live recordings.

    Source: RFC 8794 (EBML), 4 and 5.
    """
    if file.read(4) != _EBML:
        return 0
    length = _number(file)
    if length is None:
        return 0
    file.seek(length, 1)
    if file.read(4) != _SEGMENT:
        return 0
    length = _number(file)
    return 0 if length is None else file.tell() + length


def _number(file: BinaryIO) -> int | None:
    """Return a length of EBML; None where it is left open."""
    head = file.read(1)
    if not head or not head[0]:
        return None
    more = 8 - head[0].bit_length()
    bits = 7 * (more + 1)
    value = int.from_bytes(head + file.read(more), "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value


def _riff_size(file: BinaryIO) -> int:
    """Return how many bytes the first part of an AVI file has by its header; 0 where that is not stated."""
    head = file.read(8)
    size = struct.unpack("<4xI", head)[0] if len(head) == 8 else 0
    return size + 8 if 0 < size < 0x7FFFFFFF else 0
