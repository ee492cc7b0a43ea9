"""Videos one after another, with a record each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

from rlfn.errors import MissingExtraError
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.files import copy_dates
from rlfn.jobs.plan import Job
from rlfn.jobs.video.animations import AnimationRun, stays_animation
from rlfn.jobs.video.frame_export import FramesRun
from rlfn.jobs.video.progress import VideoProgress, VideoReport
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.run import VideoRun
from rlfn.jobs.video.settings import VideoSettings

Watcher = Callable[[Job, VideoProgress], None]
"""Told of a running job how far it is."""


class VideoBatch:
    """Runs video jobs with one set of settings; models are loaded once.

    Args:
        settings: see :class:`~rlfn.jobs.video.settings.VideoSettings`.
        progress: called with the running job after each frame.
        pool: where loaded models are kept.
    """

    def __init__(
        self, settings: VideoSettings, progress: Watcher | None = None, pool: UpscalerPool | None = None
    ) -> None:
        self.settings = settings
        self._progress = progress
        self._pool = pool or UpscalerPool()

    def run(self, jobs: list[Job]) -> Iterator[VideoRecord]:
        """Yield one record a job, in order. What goes wrong with a video is a record, never an exception.

        Raises:
            MissingExtraError: PyAV is not installed.
        """
        for job in jobs:
            assert job.source is not None
            assert job.target is not None
            record = VideoRecord(str(job.source), str(job.target), "failed")
            if os.path.isfile(job.target) and not (self.settings.overwrite or job.overwrite):
                yield replace(record, status="skipped")
                continue
            try:
                yield self._one(job, record)
            except MissingExtraError:
                raise
            except Exception as error:  # engines and codecs raise what they like; one video must not stop the rest
                yield record.failed(error)

    def _one(self, job: Job, record: VideoRecord) -> VideoRecord:
        assert job.source is not None
        assert job.target is not None
        report = None if self._progress is None else lambda progress: self._progress(job, progress)  # type: ignore[misc]
        return upscale_one(job.source, job.target, self.settings, self._pool, report, None, record)


def upscale_one(
    source: Path,
    target: Path,
    settings: VideoSettings,
    pool: UpscalerPool,
    report: VideoReport | None,
    cancel: Event | None,
    record: VideoRecord,
) -> VideoRecord:
    """Enlarge one video and return its record.

    Raises:
        RlfnError: see :class:`~rlfn.jobs.video.run.VideoRun`.
    """
    began = time.perf_counter()
    kind = _kind(source, target, settings)
    run = kind(source, target, settings, pool)
    run.run(report, cancel)
    if settings.keep_dates and kind is not FramesRun:  # which gives each picture its dates
        copy_dates(source, target)
    return run.record(record, time.perf_counter() - began)


def _kind(source: Path, target: Path, settings: VideoSettings) -> type[FramesRun] | type[AnimationRun] | type[VideoRun]:
    if settings.frames_format is not None:
        return FramesRun
    return AnimationRun if stays_animation(source, target) else VideoRun
