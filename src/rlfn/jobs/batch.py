"""Batches of pictures: decoding, inference and encoding overlap, and failures are collected.

Reader threads prefetch, the caller's thread runs the network, and other threads encode. Results that wait for an
encoder are bounded in number and in bytes, so memory does not grow with the number of pictures.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

from rlfn.images.files import Picture, result_format
from rlfn.inference.enlarge import Enlarger
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.files import JobFiles, LocalFiles
from rlfn.jobs.picture import Planner, UpscaledPicture, upscale_picture
from rlfn.jobs.plan import Job
from rlfn.jobs.record import Record, Settings

__all__ = ["Batch", "Record", "Settings"]

_WAITING_BYTES = 256 << 20
"""Upper bound of the bytes of results that wait for an encoder; a single larger result may wait too."""

_READER_PATIENCE = 2.0
"""Seconds that a stopped batch waits for its reader, which may be blocked on a pipe or a network."""

_Loaded = tuple[float, Picture | None]
"""Seconds spent reading, and the picture, or None if the output exists."""


class Batch:
    """Runs jobs with one set of settings; models are loaded once.

    Args:
        settings: see :class:`Settings`.
        progress: called with the running job and the fraction of it that is done.
        pool: keeps loaded models; by default the batch has its own.
        files: reads and writes the pictures; by default on the local machine.
        plan: decides how each picture is upscaled, instead of the settings.
        ahead: number of pictures to prefetch.
        writers: number of threads that encode.

    Raises:
        OptionError, ModelError, MissingExtraError: the model or the engine is not available, or does not support the
            scale.
    """

    def __init__(
        self,
        settings: Settings,
        progress: Callable[[Job, float], None] | None = None,
        pool: UpscalerPool | None = None,
        *,
        files: JobFiles | None = None,
        plan: Planner | None = None,
        ahead: int = 2,
        writers: int = 2,
    ) -> None:
        self.settings = settings
        self._files = files or LocalFiles()
        self._plan, self._ahead, self._writers = plan, ahead, writers
        self.enlarger = Enlarger(settings.enlarge, pool)
        self._progress = progress

    @property
    def model_scale(self) -> int:
        """The scale of the model that is used if no size is given."""
        return self.enlarger.scale

    def run(self, jobs: list[Job]) -> Generator[Record, None, None]:
        """Yield one record per job, in order. A picture that fails gives a record, never an exception.

        Raises:
            OptionError, ModelError, MissingExtraError: the model cannot be loaded.
        """
        enlarger = self.enlarger.with_auto_engine(self._pixels(jobs))
        reads: deque[Future[_Loaded]] = deque()
        waiting: deque[tuple[int, Future[Record]]] = deque()
        todo = deque(jobs)
        loaded = False
        self._files.begin()
        with ThreadPoolExecutor(self._writers) as writers:
            try:
                for job in jobs:
                    while todo and len(reads) < self._ahead:
                        reads.append(self._begin_reading(todo.popleft()))
                    if not loaded and not all(self._is_done(other) for other in jobs):
                        enlarger.load()  # while the first picture is being read
                    loaded = True
                    picture = _settled(reads[0])
                    room = _WAITING_BYTES - self._result_bytes(picture)
                    while waiting and (
                        len(waiting) > self._writers or waiting[0][1].done() or sum(size for size, _ in waiting) > room
                    ):
                        yield waiting.popleft()[1].result()
                    waiting.append(self._start(job, reads.popleft(), enlarger, writers))
                    del picture
                while waiting:
                    yield waiting.popleft()[1].result()
            finally:
                for _, record in waiting:
                    record.cancel()
                wait(reads, timeout=_READER_PATIENCE)

    def _pixels(self, jobs: list[Job]) -> int | None:
        """Return the pixels of the input if there is only one; None if there are more or its size is unknown."""
        return self._files.pixels(jobs[0]) if len(jobs) == 1 and not self._is_done(jobs[0]) else None

    def _is_done(self, job: Job) -> bool:
        """Return whether a job's output exists and must not be overwritten."""
        return not (self.settings.overwrite or job.overwrite) and self._files.exists(job)

    def _begin_reading(self, job: Job) -> Future[_Loaded]:
        """Read in the background, except standard input: Ctrl-C interrupts only the caller's thread."""
        return _here(self._read, job) if job.source is None else _in_background(self._read, job)

    def _read(self, job: Job) -> _Loaded:
        """Return the seconds spent and the picture, or None if the output exists."""
        if self._is_done(job):
            return 0.0, None
        began = time.perf_counter()
        picture = self._files.read(job, self.settings.max_pixels)
        return time.perf_counter() - began, picture

    def _result_bytes(self, loaded: _Loaded | None) -> int:
        """Return the size in bytes of a picture's result."""
        if loaded is None or loaded[1] is None:
            return 0
        return int(loaded[1].pixels.nbytes) * self.model_scale**2

    def _start(
        self,
        job: Job,
        loaded: Future[_Loaded],
        enlarger: Enlarger,
        writers: ThreadPoolExecutor,
    ) -> tuple[int, Future[Record]]:
        """Upscale one picture in this thread and queue its encoding; return the result's bytes and a future record."""
        record = Record(_name(job.source), _name(job.target), "failed")
        try:
            reading, picture = loaded.result()
            if picture is None:
                return 0, _finished(replace(record, status="skipped"))
            record = replace(record, input_size=(picture.width, picture.height))
            format = result_format(self.settings.format, job.target)
            made = upscale_picture(
                picture, enlarger, format, progress=lambda share: self._report(job, share), plan=self._plan
            )
            record = replace(
                record.made_by(made.plan),
                output_size=made.output_size,
                seconds=reading + made.seconds,
                engine_seconds=made.seconds,
                warnings=made.warnings,
            )
            return int(made.picture.pixels.nbytes), writers.submit(self._write, job, made, record)
        except Exception as error:  # engines raise arbitrary exceptions; one picture must not stop the rest
            return 0, _finished(record.failed(error))

    def _write(self, job: Job, made: UpscaledPicture, record: Record) -> Record:
        began = time.perf_counter()
        try:
            if self._is_done(job):  # written by another program in the meantime
                return replace(record, status="skipped", output_size=None)
            warnings = self._files.write(
                job, lambda target: made.write(target, self.settings.quality), keep_dates=self.settings.keep_dates
            )
        except Exception as error:
            return replace(record, output_size=None).failed(error)
        seconds = record.seconds + time.perf_counter() - began
        return replace(record, status="done", seconds=seconds, warnings=warnings)

    def _report(self, job: Job, share: float) -> None:
        if self._progress is not None:
            self._progress(job, share)


def _here(work: Callable[[Job], _Loaded], job: Job) -> Future[_Loaded]:
    future: Future[_Loaded] = Future()
    try:
        future.set_result(work(job))
    except Exception as error:
        future.set_exception(error)
    return future


def _in_background(work: Callable[[Job], _Loaded], job: Job) -> Future[_Loaded]:
    """Run ``work`` in a daemon thread: unlike an executor's threads, it does not keep the program alive."""
    future: Future[_Loaded] = Future()

    def run() -> None:
        try:
            future.set_result(work(job))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="rlfn-reader", daemon=True).start()
    return future


def _settled(read: Future[_Loaded]) -> _Loaded | None:
    """Wait for a picture; return it, or None if reading failed."""
    return None if read.exception() is not None else read.result()


def _finished(record: Record) -> Future[Record]:
    future: Future[Record] = Future()
    future.set_result(record)
    return future


def _name(path: Any) -> str:
    return "-" if path is None else str(path)
