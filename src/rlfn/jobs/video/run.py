"""One video: decoding, inference and encoding in parallel, segment by segment, then the finished file.

One thread decodes and makes images, the caller's thread runs the network, one encodes and writes. A few frames wait
between them, so memory does not grow with the video.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from numpy.typing import NDArray

import rlfn
from rlfn.atomic import make_folder
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.video.display_matrix import turn
from rlfn.jobs.video.encoding import FrameEncoder
from rlfn.jobs.video.frame_work import FrameWork
from rlfn.jobs.video.frames import FrameSource, no_frames, same_frame, source_warnings
from rlfn.jobs.video.library import import_av
from rlfn.jobs.video.mux_check import check_muxing
from rlfn.jobs.video.muxing import Muxed, MuxPlan
from rlfn.jobs.video.planning import plan_video
from rlfn.jobs.video.probe import Clip
from rlfn.jobs.video.progress import VideoReport
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.segments import Segment, SegmentStore
from rlfn.jobs.video.settings import VideoSettings, segment_frames
from rlfn.jobs.video.streams import mux
from rlfn.jobs.video.thread_pipeline import Channel, ThreadGroup
from rlfn.jobs.video.truncation import check_truncation
from rlfn.models import catalog

_WAITING = 3
"""Number of frames that may wait between two threads."""

_IDENTIFYING = 1 << 20


class _Made(NamedTuple):
    """A frame for the encoder; ``image`` is None where it is the one before."""

    image: NDArray[Any] | None
    pts: int
    duration: int


class VideoRun:
    """Upscales one video to one file.

    Args:
        source: the video.
        target: the file to write; its suffix says the container.
        settings: see :class:`~rlfn.jobs.video.settings.VideoSettings`.
        pool: where loaded models are kept.

    Attributes:
        plan: what was decided.
        facts: what was counted.
        muxed: what became of the streams.

    Raises:
        PictureError, OptionError, OutputError, ModelError, MissingExtraError: it cannot be read, enlarged or written.
    """

    def __init__(self, source: Path, target: Path, settings: VideoSettings, pool: UpscalerPool | None = None) -> None:
        self.plan = plan_video(source, target, settings, pool)
        self._truncation = check_truncation(self.plan.clip, settings.time_range)
        self._work = FrameWork(
            source,
            self.plan.enlarger,
            self.plan.clip.coding,
            reuse=settings.reuse,
            after_cancel="Finished work is kept; the same call continues it.",
        )
        self._work.warn([*settings.left_out("a video", ["quality"]), *self.plan.warnings, *self._truncation.warnings])
        self.facts = {"frames": 0, "repeated": 0, "computed_tiles": 0, "reused_tiles": 0}
        self.muxed = Muxed()
        self._source = self._new_source()
        self._colors = self.plan.color_converter()

    @property
    def clip(self) -> Clip:
        """The source."""
        return self.plan.clip

    @property
    def warnings(self) -> list[str]:
        """What is lost or changed, as far as that is known."""
        return list(self._work.warnings)

    @property
    def size(self) -> tuple[int, int]:
        """The result's (width, height)."""
        return self.plan.size

    def run(self, report: VideoReport | None = None, cancel: Event | None = None) -> None:
        """Do the work, or what is left of it, and write the file.

        Args:
            report: called after each frame.
            cancel: ends the work after the frame at hand.

        Raises:
            StoppedError: it was cancelled; the same call goes on from there.
            PictureError, OutputError, ModelError: what went wrong.
        """
        plan = self.plan
        make_folder(plan.target.parent)
        first = next(iter(self._new_source()), None)
        if first is None:
            raise no_frames(plan.clip.path)
        self._work.decide(self._turned(plan.color_converter().image(first.frame)))
        with SegmentStore(plan.target, self._identity()) as store:
            segments = store.open()
            if not segments:
                check_muxing(plan, first, store.folder)
            self._continue(store, segments, report, cancel)
            for segment in segments:
                for name, count in segment.facts.items():
                    self.facts[name] = self.facts.get(name, 0) + count
            trimmed, jumps = not plan.settings.time_range.whole, tuple(self._source.timeline.jumps)
            streams = MuxPlan(plan.clip, plan.encode, segments, plan.muxer, plan.turned, trimmed, jumps)
            store.finish(lambda path: self._mux(streams, path))
        self._tell()

    def record(self, record: VideoRecord, seconds: float) -> VideoRecord:
        """Return the record of the work, which took ``seconds``."""
        facts = self.facts
        tiles = facts["computed_tiles"] + facts["reused_tiles"]
        return self._work.record(
            record,
            seconds,
            input_size=(self.clip.width, self.clip.height),
            output_size=self.size,
            frames=facts["frames"],
            repeated=facts["repeated"],
            reused=facts["reused_tiles"] / tiles if tiles else 0.0,
            codec=self.plan.encode.codec,
            missing=self._truncation.share,
            streams=tuple(self.muxed.kept),
        )

    def _continue(
        self, store: SegmentStore, segments: list[Segment], report: VideoReport | None, cancel: Event | None
    ) -> None:
        """Make the missing segments."""
        done = sum(len(segment.frames) for segment in segments)
        threads = ThreadGroup()
        images, results = Channel(threads, _WAITING), Channel(threads, _WAITING)
        total = self.clip.frames_in(self.plan.settings.time_range)
        made: list[Segment] = []
        threads.start("decoder", lambda: self._decode(images, done))
        threads.start("encoder", lambda: self._write(results, store, len(segments), made))
        try:
            for item in self._work.watched(images, report, cancel, total, done):
                threads.check()
                results.put(item if item.image is None else item._replace(image=self._work.enlarge(item.image)))
            results.end()
            threads.join()
        finally:
            threads.stop()
            threads.check()
        segments += made

    def _decode(self, images: Channel, skip: int) -> None:
        last: Any = None
        for number, timed in enumerate(self._source):
            if number < skip:
                continue
            same = self.plan.settings.reuse and last is not None and same_frame(timed.frame, last)
            images.put(
                _Made(None if same else self._turned(self._colors.image(timed.frame)), timed.pts, timed.duration)
            )
            last = timed.frame
        images.end()

    def _write(self, results: Channel, store: SegmentStore, number: int, made: list[Segment]) -> None:
        length = segment_frames(self._work.plan.upscaler.model, self.clip.width * self.clip.height)
        encoder = writer = frame = None
        before = dict(self._counts())
        try:
            for item in results:
                if encoder is None or writer is None:
                    encoder, writer, repeated = FrameEncoder(self.plan.encode), store.writer(number + len(made)), 0
                if item.image is not None or frame is None:
                    frame = self._colors.frame(item.image)
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

    def _counts(self) -> dict[str, int]:
        cache = self._work.cache
        return {"computed_tiles": cache.computed, "reused_tiles": cache.reused}

    def _since(self, before: dict[str, int]) -> dict[str, int]:
        return {name: count - before[name] for name, count in self._counts().items()}

    def _turned(self, image: NDArray[Any]) -> NDArray[Any]:
        return turn(image, self.clip.matrix) if self.plan.turned else image

    def _new_source(self) -> FrameSource:
        settings = self.plan.settings
        return FrameSource(self.plan.clip, settings.time_range, settings.deinterlace)

    def _mux(self, streams: MuxPlan, path: Path) -> None:
        self.muxed = mux(streams, path)

    def _identity(self) -> dict[str, Any]:
        """Return everything that determines the result."""
        plan, upscaler = self.plan, self._work.plan.upscaler
        options = plan.enlarger.options
        return {
            "versions": [rlfn.__version__, import_av().__version__],
            "source": _fingerprint(plan.clip.path),
            "time_range": repr(plan.settings.time_range),
            "deinterlace": plan.settings.deinterlace,
            "turned": plan.turned,
            "encode": repr(plan.encode),
            "model": [
                upscaler.model,
                upscaler.engine,
                upscaler.precision,
                upscaler.device,
                _weights_hash(options.model),
            ],
            "enlarge": repr(
                (
                    options.threads,
                    options.tile,
                    options.self_ensemble,
                    options.wrap,
                    options.keep_hidden,
                    options.wanted,
                )
            ),
        }

    def _tell(self) -> None:
        """Add the warnings of the streams, the frames and their timestamps."""
        source, warn = self._source, self._work.warn
        warn([*self.muxed.warnings, *source_warnings(source)])
        if moved := source.moved + source.timeline.moved:
            warn([f"{moved} timestamps were missing or did not grow, and were set"])
        if jumps := len(source.timeline.jumps):
            warn([f"the timestamps jump back ({jumps} times): what follows was appended"])


def _finished(encoder: FrameEncoder, writer: Any, tiles: dict[str, int], repeated: int) -> Segment:
    for packet in encoder.finish():
        writer.packet(packet)
    segment: Segment = writer.finish(encoder.extradata, {"frames": writer.frames, "repeated": repeated, **tiles})
    return segment


def _fingerprint(path: Path) -> list[Any]:
    """Return what tells a file from every other: name, size, time of change, and its ends' SHA-256."""
    facts, hashed = path.stat(), hashlib.sha256()
    with path.open("rb") as stream:
        hashed.update(stream.read(_IDENTIFYING))
        stream.seek(max(0, facts.st_size - _IDENTIFYING))
        hashed.update(stream.read(_IDENTIFYING))
    return [os.path.realpath(path), facts.st_size, facts.st_mtime_ns, hashed.hexdigest()]


def _weights_hash(model: Any) -> str:
    """Return the SHA-256 of what says or holds a model's weights."""
    path = Path(model) if model is not None and Path(model).is_file() else catalog.WEIGHTS / "manifest.json"
    return hashlib.sha256(path.read_bytes()).hexdigest()
