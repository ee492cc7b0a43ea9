"""A video's frames as pictures, one file each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from numpy.typing import NDArray

from rlfn.atomic import make_folder
from rlfn.errors import StoppedError
from rlfn.images.files import Picture, write_picture
from rlfn.inference.enlarge import EnlargePlan, Enlarger, UpscalerPool
from rlfn.inference.reuse import TileCache
from rlfn.jobs.video.color import ColorConverter
from rlfn.jobs.video.display_matrix import is_upright, turn, upright_size
from rlfn.jobs.video.frames import FrameSource, no_frames, source_warnings
from rlfn.jobs.video.probe import probe
from rlfn.jobs.video.progress import FrameReporter, VideoReport
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.settings import VideoSettings, for_frames
from rlfn.jobs.video.truncation import check_truncation
from rlfn.wording import setting

_DIGITS = 6

_MAX_PENDING = 4
"""Number of pictures that may wait to be written."""


class FramesRun:
    """Writes a video's frames to a folder as pictures, ``000001.png`` and so on, enlarged and upright.

    Args:
        source: the video.
        folder: where to write; existing files are kept unless ``settings.overwrite`` is set.
        settings: see :class:`~rlfn.jobs.video.settings.VideoSettings`; settings of codecs are left out with a warning.
        format: of the pictures.
        pool: where loaded models are kept.

    Raises:
        RlfnError: the video cannot be read or enlarged.
    """

    def __init__(self, source: Path, folder: Path, settings: VideoSettings, format: str, pool: UpscalerPool) -> None:
        clip = self._clip = probe(source)
        settings.check_frame_size(source, clip.width, clip.height)
        self._folder, self._settings, self._format = folder, settings, format
        self._truncation = check_truncation(clip, settings.time_range)
        self._warnings: dict[str, None] = {}  # ordered, without the repetitions of every frame
        self._warn([*settings.left_out("pictures"), *self._truncation.warnings])
        self._warn(f"{what} dropped" for what in clip.lost)
        self._turned = is_upright(clip.matrix)
        self._size = upright_size(clip)
        self._enlarger = Enlarger(for_frames(settings.enlarge, *self._size), pool).with_auto_engine(None)
        self._colors = ColorConverter(clip.color, clip.format, clip.format, (clip.width, clip.height))
        self._frames = FrameSource(clip, settings.time_range, settings.deinterlace)
        self._plan: EnlargePlan | None = None
        self._cache = TileCache()
        self._engine_seconds = 0.0
        self._read = self._written = 0

    def run(self, report: VideoReport | None, cancel: Event | None, record: VideoRecord) -> VideoRecord:
        """Write the pictures; return the record.

        Raises:
            StoppedError: it was cancelled; finished pictures stay.
            RlfnError: a frame cannot be enlarged, or a file not written.
        """
        began = time.perf_counter()
        make_folder(self._folder)
        reporter = FrameReporter(report, self._clip.frames_in(self._settings.time_range), self._cache)
        pending: list[Future[tuple[str, ...]]] = []
        with ThreadPoolExecutor(2) as writers:
            for timed in self._frames:
                if cancel is not None and cancel.is_set():
                    raise StoppedError(f"The work on '{self._clip.path}' was cancelled. Frames that are finished stay.")
                self._read += 1
                self._export(timed.frame, writers, pending)
                while len(pending) > _MAX_PENDING:
                    self._warn(pending.pop(0).result())
                reporter.tick()
            for future in pending:
                self._warn(future.result())
        return self._record(record, time.perf_counter() - began)

    def _export(self, frame: Any, writers: Executor, pending: list[Future[tuple[str, ...]]]) -> None:
        """Enlarge a frame and have it written, unless its picture exists and is kept."""
        target = self._folder / f"{self._read:0{_DIGITS}}.{self._format}"
        wanted = self._settings.overwrite or not os.path.exists(target)
        if self._plan is not None and not wanted:
            return
        image = self._upright(frame)
        self._plan = self._plan or self._enlarger.plan(image, self._clip.coding)
        if wanted:
            began = time.perf_counter()
            result = self._enlarger(image, plan=self._plan, cache=self._cache).image
            self._engine_seconds += time.perf_counter() - began
            picture, quality = Picture(result, bits=self._clip.format.bits), self._settings.frames_quality
            pending.append(writers.submit(write_picture, picture, target, quality=quality))
            self._written += 1

    def _warn(self, warnings: Iterable[str]) -> None:
        self._warnings |= dict.fromkeys(warnings)

    def _upright(self, frame: Any) -> NDArray[Any]:
        image = self._colors.image(frame)
        return turn(image, self._clip.matrix) if self._turned else image

    def _record(self, record: VideoRecord, seconds: float) -> VideoRecord:
        if self._plan is None:
            raise no_frames(self._clip.path)
        self._warn(source_warnings(self._frames))
        if kept := self._read - self._written:
            self._warn([f"{kept} existing frames were kept: {setting('overwrite')} replaces them"])
        return replace(
            record.made_by(self._plan),
            warnings=tuple(dict.fromkeys([*self._plan.warnings, *self._warnings])),
            status="done",
            input_size=(self._clip.width, self._clip.height),
            output_size=self._enlarger.size(*self._size),
            seconds=seconds,
            engine_seconds=self._engine_seconds,
            frames=self._read,
            missing=self._truncation.share,
            reused=self._cache.reused_share,
            frames_per_second=self._written / seconds,
            codec=self._format,
        )
