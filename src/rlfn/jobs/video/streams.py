"""The finished file: encoded frames at their times, and every other stream packet by packet as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any

from rlfn.errors import OutputError
from rlfn.jobs.video.encoding import describe, set_up
from rlfn.jobs.video.library import import_av
from rlfn.jobs.video.metadata_check import check_metadata
from rlfn.jobs.video.muxing import (
    TURNING,
    Muxed,
    MuxPlan,
    codec_name,
    is_attached,
    is_generated,
    plain_metadata,
    stream_name,
)
from rlfn.jobs.video.opening import open_video
from rlfn.jobs.video.scheduling import ordinary_scheduling
from rlfn.jobs.video.stream_check import StreamTags, describe_for, first_packets
from rlfn.jobs.video.timeline import Timeline, decode_times, frame_durations
from rlfn.jobs.video.webm_alpha import add

_FIRST = 100
"""Number of packets within which each stream's first one lies."""

_EQUAL_TIMES = 0x20000
"""FFmpeg's flag for containers in which two packets may have the same decoding time."""


def mux(plan: MuxPlan, path: Path) -> Muxed:
    """Write the output.

    Raises:
        OutputError: the container takes no such streams, or the file cannot be written.
        OSError: of the file system.
    """
    done = _written(plan, path, None)
    check_metadata(plan, path, done)
    return done


def mux_beginning(plan: MuxPlan, path: Path) -> None:
    """Write the given frames with the beginning of the other streams, so that what :func:`mux` refuses fails early.

    Raises:
        OutputError, OSError: as :func:`mux` does.
    """
    _written(plan, path, _FIRST)


def _written(plan: MuxPlan, path: Path, most: int | None) -> Muxed:
    """Write an output with at most ``most`` packets of the other streams; None for all."""
    av = import_av()
    done, whole = Muxed(), os.path.abspath(path)
    try:
        with (
            closing(open_video(plan.clip.path)) as source,
            av.open(whole, "w", format=plan.muxer, container_options=_container_options(plan)) as output,
        ):
            _Muxing(plan, source, output, done).run(most)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise OutputError(
            f"FFmpeg could not write the file ({str(error)[:200]}). Choose another name, for instance one that ends in "
            ".mkv."
        ) from error
    return done


class _Muxing:
    """One output on its way."""

    def __init__(self, plan: MuxPlan, source: Any, output: Any, done: Muxed) -> None:
        self._plan, self._source, self._output, self._done = plan, source, output, done
        self._ways: dict[int, Any] = {}
        self._times = plan.times
        self._equal_times = bool(output.format.flags & _EQUAL_TIMES)
        self._origin = self._times[0][0] * plan.clip.time_base if plan.trimmed else Fraction(0)
        self._end = (self._times[-1][0] + plan.last_duration) * plan.clip.time_base

    def run(self, most: int | None) -> None:
        self._add_streams()
        self._output.metadata.update(plain_metadata(self._source.metadata))
        self._add_chapters()
        with ordinary_scheduling():  # the stream's encoder is opened, though it encodes nothing
            self._output.start_encoding()
        frames = self._encoded()
        waiting = next(frames, None)
        for packet in islice(self._copied(), most):
            time = packet.dts * packet.time_base if packet.dts is not None else Fraction(0)
            while waiting is not None and waiting.dts * waiting.time_base <= time:
                self._output.mux(waiting)
                waiting = next(frames, None)
            self._output.mux(packet)
        while waiting is not None:
            self._output.mux(waiting)
            waiting = next(frames, None)

    def _add_streams(self) -> None:
        packets = first_packets(self._plan.clip.path)
        for stream in self._source.streams:
            if stream.index == self._plan.clip.stream:
                made = self._video_stream(stream)
                self._done.kept.append(f"video {self._plan.encode.codec}: enlarged")
            elif is_generated(stream, self._source):
                continue  # of the chapters, or of the timecode in the metadata
            elif self._plan.muxer == "matroska" and is_attached(stream):
                self._attach(stream)
                continue
            elif (tags := self._tags(stream, packets)) is None:
                reason = f"a file of the kind {self._plan.muxer} cannot hold it"
                self._done.warnings.append(f"{stream_name(stream)} dropped: {reason}")
                continue
            else:
                made = self._output.add_stream_from_template(stream, opaque=True)
                tags.apply(made)
                self._done.kept.append(f"{stream_name(stream)}: copied")
            made.metadata.update(plain_metadata(stream.metadata, enlarged=stream.index == self._plan.clip.stream))
            if self._plan.trimmed and made.metadata.pop("timecode", None) is not None:
                self._done.warnings.append("the timecode is dropped: it belongs to the beginning of the whole video")
            made.disposition = stream.disposition
            if self._plan.muxer == "mpegts":
                made.id = stream.id
            self._ways[stream.index] = made

    def _tags(self, stream: Any, packets: Mapping[int, bytes]) -> StreamTags | None:
        return describe_for(stream, self._plan.muxer, packets, same_family=_same_family(self._plan))

    def _attach(self, stream: Any) -> None:
        """Add an attached picture as Matroska has it: as a file."""
        with closing(open_video(self._plan.clip.path)) as source:
            packets = source.demux(source.streams[stream.index])
            data = next((bytes(packet) for packet in packets if packet.size), b"")
        kind = codec_name(stream)
        mime, suffix = ("image/jpeg", "jpg") if kind == "mjpeg" else (f"image/{kind}", kind)
        made = self._output.add_attachment(stream.metadata.get("filename", f"cover.{suffix}"), mime, data)
        made.metadata.update({key: text for key, text in stream.metadata.items() if key.lower() == "title"})
        self._done.kept.append(f"{stream_name(stream)}: copied")

    def _video_stream(self, stream: Any) -> Any:
        plan, encode = self._plan, self._plan.encode
        clip = plan.clip
        if clip.described and clip.codec == encode.codec:
            made = self._output.add_stream_from_template(stream, opaque=True)
            context = made.codec_context
            describe(context, encode)
            context.extradata = plan.segments[0].extradata
            context.bit_rate = 0
        else:
            made = self._output.add_stream(encode.encoder, rate=encode.rate)
            set_up(made.codec_context, encode)
        if encode.codec == "hevc" and plan.muxer in ("mp4", "mov"):
            made.codec_context.codec_tag = stream.codec_context.codec_tag if _is_hevc_tag(stream) else "hvc1"
        made.time_base = encode.time_base
        if clip.matrix and not plan.turned and plan.muxer in TURNING:
            made.set_display_matrix(clip.matrix)
        return made

    def _add_chapters(self) -> None:
        chapters, length = [], self._end - self._origin
        for chapter in self._source.chapters():
            base = chapter["time_base"] or Fraction(1, 1000)
            start, end = (chapter[key] * base - self._origin for key in ("start", "end"))
            if not self._plan.trimmed or (end > 0 and start < length):
                start, end = (max(start, Fraction(0)), min(end, length)) if self._plan.trimmed else (start, end)
                chapters.append({**chapter, "start": round(start / base), "end": round(end / base), "time_base": base})
        if chapters:
            self._output.set_chapters(chapters)

    def _copied(self) -> Iterator[Any]:
        """Yield the packets of the other streams."""
        streams = [
            one for one in self._source.streams if one.index in self._ways and one.index != self._plan.clip.stream
        ]
        streams = [one for one in streams if one.type != "attachment"]
        if not streams:
            return
        lines = {one.index: Timeline(one.time_base, self._plan.jumps) for one in streams}
        yield from self._in_time(streams, lines)
        for one in streams:
            if moved := lines[one.index].moved:
                self._done.warnings.append(f"{moved} timestamps of {stream_name(one)} did not grow, and were set")

    def _in_time(self, streams: Sequence[Any], lines: dict[int, Timeline]) -> Iterator[Any]:
        """Yield packets at times that grow."""
        av, packets = import_av(), self._source.demux(*streams)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.EOFError):
                return
            except av.error.FFmpegError:
                self._done.warnings.append("the source is damaged: its other streams end where it cannot be read on")
                return
            if packet.pts is None and packet.dts is None and not packet.size:
                continue  # what flushes a decoder
            if is_attached(packet.stream):  # it has no time
                packet.stream = self._ways[packet.stream_index]
                yield packet
                continue
            self._set_times(packet, lines[packet.stream_index])
            if self._plan.trimmed and not self._shifted(packet):
                continue
            packet.stream = self._ways[packet.stream_index]
            yield packet

    def _set_times(self, packet: Any, line: Timeline) -> None:
        """Let a packet's times grow; those that do stay as they are."""
        stated = packet.dts if packet.dts is not None else packet.pts
        if stated is None:
            return
        steady = packet.stream.type in ("audio", "video")
        least = ceil(self._ways[packet.stream_index].time_base / packet.time_base)
        least = least if steady and not self._equal_times else 0
        dts = line(stated, packet.duration or 1, sure=steady, least=least)
        if dts == stated:
            return
        packet.pts = None if packet.pts is None else max(dts, packet.pts + line.offset)
        packet.dts = None if packet.dts is None else dts

    def _shifted(self, packet: Any) -> bool:
        """Move a packet as the first frame is moved; tell whether it lies in the time range."""
        base = packet.time_base
        at = packet.pts if packet.pts is not None else packet.dts
        if at is None or at * base < self._origin or at * base >= self._end:
            return False
        move = round(self._origin / base)
        packet.pts = None if packet.pts is None else packet.pts - move
        packet.dts = None if packet.dts is None else packet.dts - move
        return True

    def _encoded(self) -> Iterator[Any]:
        """Yield the packets of the enlarged stream, with new decoding times for the whole."""
        av, stream, base = import_av(), self._ways[self._plan.clip.stream], self._plan.clip.time_base
        move = self._times[0][0] if self._plan.trimmed else 0
        durations = frame_durations(self._times, self._plan.last_duration)
        shown = sorted(durations)
        decode = decode_times([row.pts for segment in self._plan.segments for row in segment.packets], shown)
        for segment in self._plan.segments:
            for row, data, beside in segment.read():
                packet = av.Packet(data)
                if beside:
                    add(packet, beside)
                packet.stream, packet.time_base = stream, base
                packet.pts, packet.dts = row.pts - move, next(decode) - move
                packet.duration, packet.is_keyframe = durations[row.pts], row.key
                yield packet


def _container_options(plan: MuxPlan) -> dict[str, str]:
    if plan.muxer in ("mp4", "mov", "3gp"):
        base = plan.clip.time_base
        return {"video_track_timescale": str(base.denominator)} if base.numerator == 1 else {}
    if plan.muxer == "mpegts":
        return {"mpegts_copyts": "1", "avoid_negative_ts": "disabled"}
    if plan.muxer == "nut" and not _begins_early(plan):
        return {"avoid_negative_ts": "disabled"}  # it holds no times of decoding, which alone are negative
    return {}


def _begins_early(plan: MuxPlan) -> bool:
    """Tell whether a copied stream begins before the time 0, as AAC in MP4 does."""
    if plan.trimmed:
        return False
    with closing(open_video(plan.clip.path)) as source:
        others = [one for one in source.streams if one.type in ("audio", "subtitle")]
        first = islice(source.demux(*others), _FIRST) if others else ()
        return any(packet.pts is not None and packet.pts < 0 for packet in first)


def _is_hevc_tag(stream: Any) -> bool:
    return stream.codec_context is not None and stream.codec_context.codec_tag in ("hvc1", "hev1")


def _same_family(plan: MuxPlan) -> bool:
    return plan.muxer in plan.clip.container.split(",")
