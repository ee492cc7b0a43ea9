"""Many pictures, one after another: decoding, inference and encoding overlap, failures are collected.

Threads read ahead, the caller's thread runs the network, others encode. Results that wait for their encoder
are bounded in number and in bytes, so memory does not grow with the number of pictures.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

from rlfn.images.files import Picture, check_writable_size, read_picture, write_picture
from rlfn.images.formats import format_for
from rlfn.inference.enlarge import Enlarger, UpscalerPool
from rlfn.jobs.files import JobFiles, LocalFiles
from rlfn.jobs.plan import Job
from rlfn.jobs.record import Record, Settings

__all__ = ["Batch", "Record", "Settings"]

_WAITING_BYTES = 256 << 20
"""So many bytes of results may wait for their encoders while the next picture is upscaled, or else one result."""

_READER_PATIENCE = 2.0
"""Seconds for which a batch that was stopped waits for its reader, which may hang in a pipe or on a network."""

_Loaded = tuple[float, Picture | None]
"""The seconds that reading took, and the picture; None where the output exists."""


class Batch:
    """Runs jobs with one set of settings; models are loaded once.

    Args:
        settings: see :class:`Settings`.
        progress: called with the running job and its finished share.
        pool: where loaded models are kept; one of its own by default.
        files: where the pictures lie; on this machine by default.
        ahead, writers: so many pictures are read ahead, and so many written at once.

    Raises:
        OptionError, ModelError, MissingExtraError: the model or the engine cannot be had, or reaches no such scale.
    """

    def __init__(
        self,
        settings: Settings,
        progress: Callable[[Job, float], None] | None = None,
        pool: UpscalerPool | None = None,
        *,
        files: JobFiles | None = None,
        ahead: int = 2,
        writers: int = 2,
    ) -> None:
        self.settings = settings
        self._files = files or LocalFiles()
        self._ahead, self._writers = ahead, writers
        self.enlarger = Enlarger(settings.enlarge, pool)
        self._progress = progress

    @property
    def model_scale(self) -> int:
        """The scale of the model that is used where no size is asked for."""
        return self.enlarger.scale

    def run(self, jobs: list[Job]) -> Generator[Record, None, None]:
        """Yield one record a job, in order. What goes wrong with a picture is a record, never an exception.

        Raises:
            OptionError, ModelError, MissingExtraError: the model cannot be loaded, so that there is nothing to do.
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
                    if not loaded and not all(self._is_done(one) for one in jobs):
                        enlarger.load()  # while the first picture is read
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
        """Return the pixels of a single picture's input; None where there is more work, or its size is not known."""
        return self._files.pixels(jobs[0]) if len(jobs) == 1 and not self._is_done(jobs[0]) else None

    def _is_done(self, job: Job) -> bool:
        """Tell whether a job's output exists and shall stay."""
        return not (self.settings.overwrite or job.overwrite) and self._files.exists(job)

    def _begin_reading(self, job: Job) -> Future[_Loaded]:
        """Read in the background; standard input here, where Ctrl-C can end the waiting for it."""
        return _here(self._read, job) if job.source is None else _in_background(self._read, job)

    def _read(self, job: Job) -> _Loaded:
        """Return the seconds that it took and the picture; None where the output exists already."""
        if self._is_done(job):
            return 0.0, None
        self._files.check(job)
        name = self._format(job)
        began = time.perf_counter()
        picture = read_picture(self._files.source(job), max_pixels=self.settings.max_pixels)
        check_writable_size(name, *self.enlarger.size(picture.width, picture.height))
        return time.perf_counter() - began, picture

    def _format(self, job: Job) -> str:
        if self.settings.format is not None:
            return self.settings.format
        return "png" if job.target is None else format_for(job.target).name

    def _result_bytes(self, loaded: _Loaded | None) -> int:
        """Return how large the result of a picture will be."""
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
        """Upscale one picture here and hand it to an encoder; return the result's bytes and the record to come."""
        record = Record(_name(job.source), _name(job.target), "failed")
        try:
            reading, picture = loaded.result()
            if picture is None:
                return 0, _finished(replace(record, status="skipped"))
            record = replace(record, input_size=(picture.width, picture.height))
            began = time.perf_counter()
            made = enlarger(picture.pixels, lambda share: self._report(job, share), picture.coding)
            took = time.perf_counter() - began
            result = replace(picture, pixels=made.image)
            record = replace(
                record.made_by(made),
                output_size=(result.width, result.height),
                seconds=reading + took,
                engine_seconds=took,
            )
            return int(result.pixels.nbytes), writers.submit(self._write, job, result, record)
        except Exception as error:  # engines raise what they like; one picture must not stop the rest
            return 0, _finished(record.failed(error))

    def _write(self, job: Job, picture: Picture, record: Record) -> Record:
        began = time.perf_counter()
        try:
            if self._is_done(job):  # by another program, meanwhile
                return replace(record, status="skipped", output_size=None)
            name, quality = self._format(job), self.settings.quality

            def encode(target: Any) -> tuple[str, ...]:
                return write_picture(picture, target, format=name, quality=quality)

            warnings = self._files.write(job, encode, keep_dates=self.settings.keep_dates)
        except Exception as error:
            return replace(record, output_size=None).failed(error)
        seconds = record.seconds + time.perf_counter() - began
        return replace(
            record, status="done", seconds=seconds, warnings=(*picture.warnings, *record.warnings, *warnings)
        )

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
    """Run ``work`` in a thread that does not keep the program alive, as those of an executor would."""
    future: Future[_Loaded] = Future()

    def run() -> None:
        try:
            future.set_result(work(job))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="rlfn-reader", daemon=True).start()
    return future


def _settled(read: Future[_Loaded]) -> _Loaded | None:
    """Wait for a picture; return it, or None where reading failed."""
    return None if read.exception() is not None else read.result()


def _finished(record: Record) -> Future[Record]:
    future: Future[Record] = Future()
    future.set_result(record)
    return future


def _name(path: Any) -> str:
    return "-" if path is None else str(path)
