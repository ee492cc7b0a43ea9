"""One video's way: decoding, inference and encoding side by side, segment by segment, then the finished file.

One thread decodes and makes images, the caller's thread runs the network, one encodes and writes. A few frames wait
between them, so memory does not grow with the video.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import rlfn
from rlfn.atomic import check_path, make_folder
from rlfn.errors import OptionError, PictureError, StoppedError, setting
from rlfn.inference.enlarge import Enlarged, EnlargePlan, Enlarger, UpscalerPool
from rlfn.inference.processor import default_threads
from rlfn.inference.reuse import TileMemory
from rlfn.inference.sizing import Wanted
from rlfn.jobs.video.codecs import choose_codec, encoder_options, row_formats
from rlfn.jobs.video.colour import ColourWay, stated_matrix
from rlfn.jobs.video.encoding import EncodePlan, FrameEncoder
from rlfn.jobs.video.frames import FrameSource
from rlfn.jobs.video.kinds import CONTAINERS
from rlfn.jobs.video.library import import_av
from rlfn.jobs.video.pixels import fitting_format
from rlfn.jobs.video.probe import probe
from rlfn.jobs.video.progress import FrameClock, VideoProgress
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.relay import Relay, Relays
from rlfn.jobs.video.segments import Segment, SegmentStore
from rlfn.jobs.video.settings import VideoSettings, for_frames, segment_frames
from rlfn.jobs.video.streams import TURNING, Muxed, MuxPlan, mux
from rlfn.jobs.video.turning import is_upright, turn
from rlfn.models import catalog

_WAITING = 3
"""So many frames wait between two threads."""

_IDENTIFYING = 1 << 20

Report = Callable[[VideoProgress], None]


class _Made(NamedTuple):
    """A frame for the encoder; ``image`` is None where it is the one before."""

    image: NDArray[Any] | None
    pts: int
    duration: int


class VideoRun:
    """One video on its way to one file.

    Args:
        source: the video.
        target: the file to write; its suffix says the container.
        settings: see :class:`~rlfn.jobs.video.settings.VideoSettings`.
        pool: where loaded models are kept.

    Raises:
        PictureError, OptionError, OutputError, ModelError, MissingExtraError: it cannot be read, enlarged or written.
    """

    def __init__(self, source: Path, target: Path, settings: VideoSettings, pool: UpscalerPool | None = None) -> None:
        muxer = CONTAINERS.get(target.suffix.lower())
        if muxer is None:
            raise OptionError(
                f"The name {target} does not say a container that can be written. End it with {', '.join(CONTAINERS)}."
            )
        check_path(target)
        self._target, self._settings, self._muxer = target, settings, muxer
        self.clip = clip = probe(source)
        self.warnings = [f"{what} dropped" for what in clip.lost]
        if settings.max_pixels is not None and clip.width * clip.height > settings.max_pixels:
            raise PictureError(
                f"'{source}' has frames of {clip.width} x {clip.height} pixels; the limit is {settings.max_pixels:,}. "
                f"Raise {setting('max_pixels')} if you trust the file."
            )
        self._turned = bool(clip.matrix) and muxer not in TURNING and is_upright(clip.matrix)
        self._source = FrameSource(clip, settings.stretch, settings.deinterlace)
        codec = choose_codec(settings.codec, clip.codec, muxer)
        if settings.codec is None and codec != clip.codec:
            self.warnings.append(f"the source's codec, {clip.codec}, is not written to {muxer} files: {codec} instead")
        format, told = fitting_format(clip.format, row_formats(codec, clip.format.rgb), codec)
        self.warnings += told
        self._enlarger = self._suited(for_frames(settings.enlarge, *self._upright()), format.chroma, pool)
        self.size = self._enlarger.size(*self._upright())
        colour = replace(clip.colour, matrix=stated_matrix(clip.colour, (clip.width, clip.height), self.size))
        if colour != clip.colour:
            self.warnings.append("the matrix, which the source leaves open, is stated: players guess another by size")
        if format.name.startswith("yuvj"):
            colour = replace(colour, range=2)
        aspect = 1 / clip.aspect if clip.aspect and self._sides_swap() else clip.aspect
        self._encode = EncodePlan(
            codec,
            encoder_options(codec, settings.crf, settings.preset, muxer),
            format,
            *self.size,
            clip.time_base,
            clip.rate,
            replace(colour, matrix=0) if format.rgb else colour,
            aspect,
            clip.hdr,
            default_threads(),
        )
        self._way = self._new_way()
        if not self._way.exact_matrix:
            self.warnings.append(
                f"matrix {clip.colour.matrix} is treated as BT.2020: colours return, detail may differ"
            )
        self._plan: EnlargePlan | None = None
        self._memory = TileMemory()
        self.made: Enlarged | None = None
        self.facts = {"frames": 0, "repeated": 0, "computed_tiles": 0, "reused_tiles": 0}
        self.muxed = Muxed()
        self._engine_seconds, self._new_frames = 0.0, 0

    def run(self, report: Report | None = None, cancel: Event | None = None) -> None:
        """Do the work, or what is left of it, and write the file.

        Args:
            report: called after each frame.
            cancel: ends the work after the frame at hand.

        Raises:
            StoppedError: it was cancelled; the same call goes on from there.
            PictureError, OutputError, ModelError: what went wrong.
        """
        make_folder(self._target.parent)
        first = next(iter(self._source), None)
        if first is None:
            raise PictureError(f"No frame of '{self.clip.path}' lies in the stretch that was asked for.")
        self._plan = self._enlarger.plan(self._image(first.frame), self.clip.traces)
        self._source = FrameSource(self.clip, self._settings.stretch, self._settings.deinterlace)
        self._way = ColourWay(
            self.clip.colour, self.clip.format, self._encode.format, (self.clip.width, self.clip.height)
        )
        with SegmentStore(self._target, self._identity()) as store:
            segments = store.open()
            self._continue(store, segments, report, cancel)
            for segment in segments:
                for name, count in segment.facts.items():
                    self.facts[name] = self.facts.get(name, 0) + count
            plan = MuxPlan(
                self.clip, self._encode, segments, self._muxer, self._turned, not self._settings.stretch.whole
            )
            store.finish(lambda path: self._mux(plan, path))
        self._tell()

    def record(self, record: VideoRecord, seconds: float) -> VideoRecord:
        """Return the record of what was done in so many seconds."""
        assert self._plan is not None
        upscaler, choice, facts = self._plan.upscaler, self._plan.restore, self.facts
        tiles = facts["computed_tiles"] + facts["reused_tiles"]
        return replace(
            record,
            status="done",
            input_size=(self.clip.width, self.clip.height),
            output_size=self.size,
            seconds=seconds,
            engine_seconds=self._engine_seconds,
            model=upscaler.model,
            engine=upscaler.engine,
            precision=upscaler.precision,
            restore=choice.strength,
            restore_reason=choice.reason,
            warnings=tuple(dict.fromkeys(self.warnings)),
            frames=facts["frames"],
            repeated=facts["repeated"],
            reused=facts["reused_tiles"] / tiles if tiles else 0.0,
            frames_per_second=self._new_frames / seconds if seconds else 0.0,
            codec=self._encode.codec,
            streams=tuple(self.muxed.kept),
        )

    def _continue(
        self, store: SegmentStore, segments: list[Segment], report: Report | None, cancel: Event | None
    ) -> None:
        """Make the segments that are missing."""
        done = sum(len(segment.frames) for segment in segments)
        relays = Relays()
        images, results = Relay(relays, _WAITING), Relay(relays, _WAITING)
        made: list[Segment] = []
        relays.start("decoder", lambda: self._decode(images, done))
        relays.start("encoder", lambda: self._write(results, store, len(segments), made))
        try:
            self._enlarge(images, results, relays, _Reporter(self, done, report), cancel)
            relays.join()
        finally:
            relays.stop()
            relays.check()
        segments += made

    def _decode(self, images: Relay, skip: int) -> None:
        last: Any = None
        for number, timed in enumerate(self._source):
            if number < skip:
                continue
            same = last is not None and _same(timed.frame, last)
            images.put(_Made(None if same else self._image(timed.frame), timed.pts, timed.duration))
            last = timed.frame
        images.end()

    def _enlarge(
        self, images: Relay, results: Relay, relays: Relays, reporter: _Reporter, cancel: Event | None
    ) -> None:
        for item in images:
            if cancel is not None and cancel.is_set():
                raise StoppedError(
                    f"The work on '{self.clip.path}' was cancelled. What is finished stays; the same call goes on."
                )
            relays.check()
            if item.image is not None:
                began = time.perf_counter()
                self.made = self._enlarger(item.image, plan=self._plan, memory=self._memory)
                self._engine_seconds += time.perf_counter() - began
                item = item._replace(image=self.made.image)
            results.put(item)
            self._new_frames += 1
            reporter.tick()
        results.end()

    def _write(self, results: Relay, store: SegmentStore, number: int, made: list[Segment]) -> None:
        assert self._plan is not None
        length = segment_frames(self._plan.upscaler.model, self.clip.width * self.clip.height)
        encoder = writer = frame = None
        before = dict(self._counts())
        try:
            for item in results:
                if encoder is None or writer is None:
                    encoder, writer, repeated = FrameEncoder(self._encode), store.writer(number + len(made)), 0
                if item.image is not None or frame is None:
                    frame = self._way.frame(item.image)
                else:
                    repeated += 1
                writer.frame(item.pts, item.duration)
                for packet in encoder.encode(frame, item.pts):
                    writer.packet(packet)
                if writer.frames == length:
                    made.append(_finished(encoder, writer, self._since(before), repeated))
                    before, encoder, writer = dict(self._counts()), None, None
            if encoder is not None and writer is not None:
                made.append(_finished(encoder, writer, self._since(before), repeated))
                writer = None
        finally:
            if writer is not None:
                writer.drop()

    @property
    def expected_frames(self) -> int:
        """How many frames there will be, about; 0 where nothing tells."""
        clip, stretch = self.clip, self._settings.stretch
        if stretch.whole:
            return clip.frames
        left = max(0.0, clip.duration - float(stretch.start))
        taken = left if stretch.duration is None else min(left, float(stretch.duration))
        return round(taken * float(clip.rate))

    def _counts(self) -> dict[str, int]:
        return {"computed_tiles": self._memory.computed, "reused_tiles": self._memory.reused}

    def _since(self, before: dict[str, int]) -> dict[str, int]:
        return {name: count - before[name] for name, count in self._counts().items()}

    def _new_way(self) -> ColourWay:
        clip = self.clip
        return ColourWay(clip.colour, clip.format, self._encode.format, (clip.width, clip.height))

    def _image(self, frame: Any) -> NDArray[Any]:
        image = self._way.image(frame)
        return turn(image, self.clip.matrix) if self._turned else image

    def _mux(self, plan: MuxPlan, path: Path) -> None:
        self.muxed = mux(plan, path)

    def _upright(self) -> tuple[int, int]:
        """Return (width, height) of the images."""
        size = (self.clip.width, self.clip.height)
        return (size[1], size[0]) if self._sides_swap() else size

    def _sides_swap(self) -> bool:
        return self._turned and self.clip.matrix[0] == 0

    def _suited(self, options: Any, chroma: tuple[int, int], pool: UpscalerPool | None) -> Enlarger:
        """Return an enlarger whose results have sides that the format of the frames can have."""
        enlarger = Enlarger(options, pool).suited(None)
        width, height = enlarger.size(*self._upright())
        across, down = 64 // chroma[0], 64 // chroma[1]
        even = max(across, width // across * across), max(down, height // down * down)
        if even == (width, height):
            return enlarger
        self.warnings.append(f"the result is {even[0]}x{even[1]}, not {width}x{height}: colour has a lower resolution")
        return Enlarger(replace(enlarger.options, wanted=Wanted(width=even[0], height=even[1])), pool)

    def _identity(self) -> dict[str, Any]:
        """Return everything that the result follows from."""
        assert self._plan is not None
        upscaler, options = self._plan.upscaler, self._enlarger.options
        return {
            "versions": [rlfn.__version__, import_av().__version__],
            "source": _fingerprint(self.clip.path),
            "stretch": repr(self._settings.stretch),
            "deinterlace": self._settings.deinterlace,
            "turned": self._turned,
            "encode": repr(self._encode),
            "model": [upscaler.model, upscaler.engine, upscaler.precision, _model_stamp(options.model)],
            "enlarge": repr((options.threads, options.tile, options.self_ensemble, options.wrap, options.wanted)),
        }

    def _tell(self) -> None:
        """Say what became of damaged frames and of timestamps."""
        source = self._source
        self.warnings += self.muxed.warnings
        if source.damaged:
            self.warnings.append(f"{source.damaged} damaged packets or frames: what could not be decoded is missing")
        if source.moved:
            self.warnings.append(f"{source.moved} timestamps were missing or did not grow, and were set")
        if source.resized:
            self.warnings.append(f"{source.resized} frames of another size were brought to the first one's")


class _Reporter:
    """Counts frames and reports them."""

    def __init__(self, run: VideoRun, done: int, report: Report | None) -> None:
        self._run, self._done, self._report = run, done, report
        self._clock = FrameClock()

    def tick(self) -> None:
        self._done += 1
        rate = self._clock.tick()
        if self._report is None:
            return
        counts = self._run._counts()
        tiles = sum(counts.values())
        total = self._run.expected_frames
        left = (total - self._done) / rate if rate and total >= self._done else None
        reused = counts["reused_tiles"] / tiles if tiles else 0.0
        self._report(VideoProgress(self._done, max(total, self._done) if total else 0, rate, left, reused))


def _finished(encoder: FrameEncoder, writer: Any, tiles: dict[str, int], repeated: int) -> Segment:
    for packet in encoder.finish():
        writer.packet(packet)
    segment: Segment = writer.finish(encoder.extradata, {"frames": writer.frames, "repeated": repeated, **tiles})
    return segment


def _same(one: Any, other: Any) -> bool:
    """Tell whether two frames show the same."""
    if (one.width, one.height, one.format.name) != (other.width, other.height, other.format.name):
        return False
    return all(np.array_equal(_rows(a), _rows(b)) for a, b in zip(one.planes, other.planes, strict=True))


def _rows(plane: Any) -> NDArray[np.uint8]:
    """Return a plane's bytes without the padding of its lines, as far as that is known."""
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
    return rows[:, : min(plane.width, plane.line_size)] if plane.line_size < 2 * plane.width else rows


def _fingerprint(path: Path) -> list[Any]:
    """Return what tells a file from every other: name, size, time of change, and its ends' SHA-256."""
    facts, hashed = path.stat(), hashlib.sha256()
    with path.open("rb") as stream:
        hashed.update(stream.read(_IDENTIFYING))
        stream.seek(max(0, facts.st_size - _IDENTIFYING))
        hashed.update(stream.read(_IDENTIFYING))
    return [os.path.realpath(path), facts.st_size, facts.st_mtime_ns, hashed.hexdigest()]


def _model_stamp(model: Any) -> str:
    """Return the SHA-256 of what says or holds a model's weights."""
    path = Path(model) if model is not None and Path(model).is_file() else catalog.WEIGHTS / "manifest.json"
    return hashlib.sha256(path.read_bytes()).hexdigest()
