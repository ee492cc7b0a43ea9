"""A video's frames with their timestamps: damaged ones skipped, fields joined, a time range cut out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import PictureError
from rlfn.jobs.video.library import import_av
from rlfn.jobs.video.opening import decoder_options, main_stream, open_video
from rlfn.jobs.video.probe import Clip, not_decoded
from rlfn.jobs.video.settings import TimeRange
from rlfn.jobs.video.timeline import Timeline
from rlfn.jobs.video.webm_alpha import AlphaJoiner
from rlfn.wording import setting

_LOOK = 8
"""Number of frames that show whether an AVI's frames were reordered."""


@dataclass(frozen=True)
class TimedFrame:
    """A decoded frame, its timestamp in the stream's time base, and how long it is shown; 0 where nothing tells."""

    frame: Any
    pts: int
    duration: int


class FrameSource:
    """Decodes a clip's frames.

    Args:
        clip: the video.
        time_range: what to take of it; times count from the stream's beginning.
        deinterlace: join fields into whole frames.

    Attributes:
        damaged: packets that could not be decoded, so far.
        moved: timestamps that were missing or did not grow, and were set.
        timeline: where the times jump back.
        resized: frames of another size or format than the first.
        opaque: frames without the alpha channel that the others have.
    """

    def __init__(self, clip: Clip, time_range: TimeRange, deinterlace: bool) -> None:
        self._clip, self._time_range, self._deinterlace = clip, time_range, deinterlace
        self.damaged = self.moved = self.resized = self.opaque = 0
        self.timeline = Timeline(clip.time_base)

    def __iter__(self) -> Iterator[TimedFrame]:
        """Yield the frames.

        Raises:
            PictureError: the file cannot be read, is an animated PNG of a kind that FFmpeg does not decode, or is
                interlaced and ``deinterlace`` is not set.
        """
        clip, origin, last, decoded = self._clip, None, None, None
        step = max(1, round(1 / (clip.rate * clip.time_base)))
        self.timeline = Timeline(clip.time_base)
        for frame in self._even(self._ordered(self._decoded())):
            fell = decoded is not None and frame.dts is not None and frame.dts < decoded
            decoded = decoded if frame.dts is None else frame.dts
            last = self._timestamp(frame, last, step, fell)
            pts = last
            if origin is None:
                origin = pts
            seconds = (pts - origin) * clip.time_base - self._time_range.start
            if seconds < 0:
                continue
            if self._time_range.duration is not None and seconds >= self._time_range.duration:
                return
            yield TimedFrame(frame, pts, int(frame.duration or 0))

    def _timestamp(self, frame: Any, last: int | None, step: int, fell: bool) -> int:
        pts = frame.pts
        if pts is not None and frame.time_base and frame.time_base != self._clip.time_base:
            pts = round(pts * frame.time_base / self._clip.time_base)
        if pts is None:
            self.moved += 1
            pts = 0 if last is None else last + step - self.timeline.offset
        return self.timeline(int(pts), step, sure=fell)

    def _ordered(self, frames: Iterator[Any]) -> Iterator[Any]:
        """Yield frames; those of an AVI, which states no such times, at those of decoding where these prove wrong."""
        if self._clip.container != "avi":
            yield from frames
            return
        head = list(islice(frames, _LOOK))
        stamps = [(frame.pts, frame.dts) for frame in head if frame.pts is not None and frame.dts is not None]
        shown, decoded = ([stamp[place] for stamp in stamps] for place in (0, 1))
        faulty = shown != sorted(shown) and decoded == sorted(decoded)
        for frame in chain(head, frames):
            if faulty:
                frame.pts = None if frame.dts is None else frame.dts + shown[0] - decoded[0]
            yield frame

    def _decoded(self) -> Iterator[Any]:
        av, path = import_av(), self._clip.path
        with closing(open_video(path, self._clip.decoder_pixels)) as container:
            stream = main_stream(container, path)
            stream.thread_type = "AUTO"
            stream.codec_context.options = decoder_options(self._clip.decoder_pixels)
            joiner = AlphaJoiner(stream) if self._clip.separate_alpha else None
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    return
                except av.error.FFmpegError:
                    self.damaged += 1
                    return  # the container itself ends here
                if joiner is not None:
                    self.damaged += not joiner.look(packet)
                try:
                    frames = packet.decode()
                except av.error.EOFError:
                    return
                except av.error.FFmpegError as error:
                    if self._clip.container == "apng" and isinstance(error, av.error.PatchWelcomeError):
                        raise not_decoded(path, "apng") from None  # frames that are blended with 16 bit and alpha
                    self.damaged += 1
                    continue
                self.damaged += sum(frame.is_corrupt for frame in frames)
                if joiner is not None:
                    self.opaque += sum(frame.opaque is None for frame in frames)
                    frames = [joiner.join(frame) for frame in frames]
                yield from frames

    def _even(self, frames: Iterator[Any]) -> Iterator[Any]:
        """Yield frames without fields, all of the first one's size and format."""
        clip, joiner = self._clip, None
        for frame in frames:
            if frame.interlaced_frame and not self._deinterlace:
                raise PictureError(
                    f"'{clip.path}' is interlaced: each frame holds two fields, which a network would take for "
                    f"texture. Give {setting('deinterlace', True)}, or convert it to progressive frames first."
                )
            if (frame.width, frame.height, frame.format.name) != (clip.width, clip.height, clip.format.name):
                self.resized += 1
                frame = frame.reformat(clip.width, clip.height, clip.format.name, interpolation="BICUBIC")
            if not self._deinterlace:
                yield frame
                continue
            joiner = joiner or _Joiner(clip)
            yield from joiner(frame)
        if joiner is not None:
            yield from joiner(None)


def no_frames(path: Path) -> PictureError:
    """Return the error for a video without a frame in the time range that was asked for."""
    return PictureError(f"'{path}' has no frames in the requested time range.")


def source_warnings(source: FrameSource) -> list[str]:
    """Return what decoding changed or lost, once all frames were read; timestamps are not mentioned."""
    found = (
        (source.damaged, "damaged packets or frames: what could not be decoded is missing"),
        (source.resized, "frames of another size were resized to the first frame's"),
        (source.opaque, "frames lack the alpha channel that other frames have: they are opaque"),
    )
    return [f"{count} {text}" for count, text in found if count]


def same_frame(one: Any, other: Any) -> bool:
    """Tell whether two frames show the same."""
    if (one.width, one.height, one.format.name) != (other.width, other.height, other.format.name):
        return False
    return all(np.array_equal(_rows(a), _rows(b)) for a, b in zip(one.planes, other.planes, strict=True))


def _rows(plane: Any) -> NDArray[np.uint8]:
    """Return a plane's bytes without the padding of its lines, as far as that is known."""
    if not plane.line_size:  # a palette
        return np.frombuffer(plane, np.uint8)
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
    return rows[:, : min(plane.width, plane.line_size)] if plane.line_size < 2 * plane.width else rows


class _Joiner:
    """FFmpeg's bwdif: frames whose two fields are of two moments become frames of one."""

    def __init__(self, clip: Clip) -> None:
        av = import_av()
        self._ended = (av.error.EOFError, av.error.BlockingIOError)
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(
            width=clip.width,
            height=clip.height,
            format=av.video.format.VideoFormat(clip.format.name),
            time_base=clip.time_base,
        )
        joined = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
        self._graph.link_nodes(source, joined, self._graph.add("buffersink")).configure()

    def __call__(self, frame: Any) -> Iterator[Any]:
        self._graph.vpush(frame)
        while True:
            try:
                yield self._graph.vpull()
            except self._ended:
                return
