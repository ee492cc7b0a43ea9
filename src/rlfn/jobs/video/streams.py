"""The finished file: encoded frames at their times, and every other stream packet by packet as it was."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from rlfn.errors import OutputError, listing
from rlfn.jobs.video.encoding import EncodePlan, describe, set_up
from rlfn.jobs.video.library import import_av
from rlfn.jobs.video.probe import Clip, open_video
from rlfn.jobs.video.segments import Segment

TURNING = frozenset(("mp4", "mov", "3gp", "matroska"))
"""Containers that keep a display matrix."""

_OF_CONTAINERS = frozenset(
    (
        *("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "number_of_bytes"),
        *("number_of_frames", "_statistics_tags", "_statistics_writing_app", "_statistics_writing_date_utc"),
        *("bps", "vendor_id", "handler_name"),
    )
)
"""Metadata that tell of the file and not of the work."""


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
    """What is put together.

    Attributes:
        clip: the source.
        encode: how the frames were encoded.
        segments: where they lie.
        muxer: FFmpeg's name of the container.
        turned: whether the display matrix was applied to the frames.
        trimmed: whether a stretch was cut out; its first frame then has the time 0.
    """

    clip: Clip
    encode: EncodePlan
    segments: Sequence[Segment]
    muxer: str
    turned: bool
    trimmed: bool

    @property
    def times(self) -> list[tuple[int, int]]:
        """Timestamp and duration of each frame."""
        return [frame for segment in self.segments for frame in segment.frames]


def mux(plan: MuxPlan, path: Path) -> Muxed:
    """Write the output.

    Raises:
        OutputError: the container takes no such streams, or the file cannot be written.
        OSError: of the file system.
    """
    av = import_av()
    done = Muxed()
    try:
        with (
            closing(open_video(plan.clip.path)) as source,
            av.open(str(path), "w", format=plan.muxer, container_options=_container_options(plan)) as output,
        ):
            _Muxing(plan, source, output, done).run()
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise OutputError(
            f"FFmpeg could not write the file ({str(error)[:200]}). Choose another name, for instance one that ends in "
            ".mkv."
        ) from error
    _compare(plan, path, done)
    return done


class _Muxing:
    """One output on its way."""

    def __init__(self, plan: MuxPlan, source: Any, output: Any, done: Muxed) -> None:
        self._plan, self._source, self._output, self._done = plan, source, output, done
        self._ways: dict[int, Any] = {}
        self._times = plan.times
        self._origin = self._times[0][0] * plan.clip.time_base if plan.trimmed else Fraction(0)
        self._end = (self._times[-1][0] + _last_duration(plan)) * plan.clip.time_base

    def run(self) -> None:
        self._add_streams()
        self._output.metadata.update(_metadata(self._source.metadata))
        self._add_chapters()
        self._output.start_encoding()
        frames = self._encoded()
        waiting = next(frames, None)
        for packet in self._copied():
            time = packet.dts * packet.time_base if packet.dts is not None else Fraction(0)
            while waiting is not None and waiting.dts * waiting.time_base <= time:
                self._output.mux(waiting)
                waiting = next(frames, None)
            self._output.mux(packet)
        while waiting is not None:
            self._output.mux(waiting)
            waiting = next(frames, None)

    def _add_streams(self) -> None:
        for stream in self._source.streams:
            if stream.index == self._plan.clip.stream:
                made = self._video_stream(stream)
                self._done.kept.append(f"video {self._plan.encode.codec}: enlarged")
            elif _is_chapter_track(stream, self._source):
                continue  # which is written anew with the chapters
            elif reason := _refusal(stream, self._plan.muxer):
                self._done.warnings.append(f"{stream_name(stream)} dropped: {reason}")
                continue
            else:
                made = self._output.add_stream_from_template(stream, opaque=True)
                if made.codec_context is not None and _same_family(self._plan):
                    _keep_tag(made, stream)
                self._done.kept.append(f"{stream_name(stream)}: copied")
            made.metadata.update(_metadata(stream.metadata))
            made.disposition = stream.disposition
            if self._plan.muxer == "mpegts":
                made.id = stream.id
            self._ways[stream.index] = made

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
        av = import_av()
        streams = [
            one for one in self._source.streams if one.index in self._ways and one.index != self._plan.clip.stream
        ]
        streams = [one for one in streams if one.type != "attachment"]
        if not streams:
            return
        packets = self._source.demux(*streams)
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
            if self._plan.trimmed and not self._shifted(packet):
                continue
            packet.stream = self._ways[packet.stream_index]
            yield packet

    def _shifted(self, packet: Any) -> bool:
        """Move a packet as the first frame is moved; tell whether it lies in the stretch."""
        base = packet.time_base
        at = packet.pts if packet.pts is not None else packet.dts
        if at is None or at * base < self._origin or at * base >= self._end:
            return False
        move = round(self._origin / base)
        packet.pts = None if packet.pts is None else packet.pts - move
        packet.dts = None if packet.dts is None else packet.dts - move
        return True

    def _encoded(self) -> Iterator[Any]:
        """Yield the packets of the enlarged stream, with decoding times for the whole made anew."""
        av, stream, base = import_av(), self._ways[self._plan.clip.stream], self._plan.clip.time_base
        move = self._times[0][0] if self._plan.trimmed else 0
        durations = frame_durations(self._times, _last_duration(self._plan))
        shown = sorted(durations)
        decode = decode_times([row.pts for segment in self._plan.segments for row in segment.packets], shown)
        for segment in self._plan.segments:
            for row, data in segment.read():
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, base
                packet.pts, packet.dts = row.pts - move, next(decode) - move
                packet.duration, packet.is_keyframe = durations[row.pts], row.key
                yield packet


def decode_times(order: Sequence[int], shown: Sequence[int]) -> Iterator[int]:
    """Yield when each frame is decoded: never after it is shown, and each later than the one before.

    Args:
        order: the timestamps in the order of decoding.
        shown: the same, sorted.

    >>> list(decode_times([0, 40, 20, 60], [0, 20, 40, 60]))
    [-20, 0, 20, 40]
    """
    rank = {pts: number for number, pts in enumerate(shown)}
    delay = max((number - rank[pts] for number, pts in enumerate(order)), default=0)
    step = shown[1] - shown[0] if len(shown) > 1 else 1
    for number in range(len(order)):
        yield shown[number - delay] if number >= delay else shown[0] - (delay - number) * step


def frame_durations(times: Sequence[tuple[int, int]], last: int) -> dict[int, int]:
    """Return how long each frame is shown, by its timestamp: until the next one, and the last one for ``last``."""
    stamps = [pts for pts, _ in times]
    return {pts: after - pts for pts, after in zip(stamps, [*stamps[1:], stamps[-1] + last], strict=True)}


def stream_name(stream: Any) -> str:
    """Name a stream: its kind, codec, language and number."""
    codec = stream.codec_context.codec.canonical_name if stream.codec_context is not None else ""
    name = stream.metadata.get("filename", "") if stream.type == "attachment" else ""
    words = [stream.type, codec, stream.metadata.get("language", ""), name]
    return " ".join([*(word for word in words if word), f"(stream {stream.index})"])


def _is_chapter_track(stream: Any, source: Any) -> bool:
    """Tell whether a stream is the text of chapters, as QuickTime has them."""
    return (
        stream.type == "data" and stream.name == "bin_data" and "mov" in source.format.name and bool(source.chapters())
    )


def _last_duration(plan: MuxPlan) -> int:
    stated = plan.times[-1][1]
    return stated if stated > 0 else max(1, round(1 / (plan.clip.rate * plan.clip.time_base)))


def _container_options(plan: MuxPlan) -> dict[str, str]:
    if plan.muxer in ("mp4", "mov", "3gp"):
        base = plan.clip.time_base
        return {"video_track_timescale": str(base.denominator)} if base.numerator == 1 else {}
    if plan.muxer == "mpegts":
        return {"mpegts_copyts": "1", "avoid_negative_ts": "disabled"}
    if plan.muxer == "nut":
        return {"avoid_negative_ts": "disabled"}  # it holds no times of decoding, which alone are negative
    return {}


def _refusal(stream: Any, muxer: str) -> str:
    """Return why a container does not take a stream; empty where it does, which a header made of it shows."""
    av = import_av()
    try:
        with av.open(io.BytesIO(), "w", format=muxer) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return f"a file of the kind {muxer} cannot hold it"
    return ""


def _metadata(given: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in given.items() if _plain(key) not in _OF_CONTAINERS or key == "handler_name"}


def _plain(key: str) -> str:
    """Return a key without the language that Matroska adds: ``BPS-eng``."""
    return key.lower().split("-")[0]


def _is_hevc_tag(stream: Any) -> bool:
    return stream.codec_context is not None and stream.codec_context.codec_tag in ("hvc1", "hev1")


def _same_family(plan: MuxPlan) -> bool:
    return plan.muxer in plan.clip.container.split(",")


def _keep_tag(made: Any, stream: Any) -> None:
    """Keep the four characters by which a container names a codec, where it knows several names for it."""
    tag = stream.codec_context.codec_tag
    if tag and tag.isprintable() and "\0" not in tag:
        made.codec_context.codec_tag = tag


def _compare(plan: MuxPlan, path: Path, done: Muxed) -> None:
    """Read the output's header, and name what the container did not take."""
    with closing(open_video(plan.clip.path)) as source, closing(open_video(path)) as output:
        kept = [
            one
            for one in source.streams
            if not any(f"(stream {one.index})" in text for text in done.warnings) and not _is_chapter_track(one, source)
        ]
        for before, after in zip(kept, output.streams, strict=False):
            lost = _lost_keys(before.metadata, after.metadata)
            if lost:
                done.warnings.append(f"metadata of {stream_name(before)} dropped: {listing(lost)}")
            if before.disposition & ~after.disposition & ~1:
                done.warnings.append(f"disposition of {stream_name(before)} dropped")
            if before.index == plan.clip.stream and after.time_base != before.time_base:
                _tell_rounding(plan, after.time_base, done)
        lost = _lost_keys(source.metadata, output.metadata)
        if lost:
            done.warnings.append(f"metadata dropped: {listing(lost)}")
        if len(source.chapters()) > len(output.chapters()) and not plan.trimmed:
            done.warnings.append("chapters dropped")
    if plan.clip.matrix and not plan.turned and plan.muxer not in TURNING:
        done.warnings.append("the display matrix is dropped")


def _lost_keys(before: dict[str, str], after: dict[str, str]) -> list[str]:
    have = {key.lower() for key in after}
    return [key for key in _metadata(before) if key.lower() not in have and key != "handler_name"]


def _tell_rounding(plan: MuxPlan, base: Fraction, done: Muxed) -> None:
    if any((pts * plan.clip.time_base / base).denominator != 1 for pts, _ in plan.times):
        done.warnings.append(f"timestamps are rounded to the container's unit of {base} s")
