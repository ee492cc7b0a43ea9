"""Worker processes: each enlarges one picture at a time, and can be killed without losing others."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from rlfn.errors import MissingExtraError, ModelError, OptionError, OutputError, PictureError, RlfnError
from rlfn.inference.enlarge import Enlarger
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.record import explain
from rlfn.serve.settings import ServeSettings
from rlfn.serve.work import JobResult, TooLargeError, WorkItem, run_item

ProgressCallback = Callable[[float], None]
"""Called with the finished share of a picture, 0 to 1."""

_CANCEL_TIMEOUT = 3.0
"""Seconds that a worker has to react to a cancellation before its process is killed."""

_PROGRESS_INTERVAL = 0.1

_MAX_JOBS_PER_PROCESS = 500
"""Number of jobs after which a process is replaced, as engines and libraries do not return all their memory."""


class JobCancelled(Exception):  # noqa: N818 - not an error
    """The job was cancelled."""


class LostWorkerError(RlfnError):
    """A worker process ended while running a job."""


class InternalError(RlfnError):
    """A job failed with an unexpected exception."""


_ERRORS: dict[str, type[RlfnError]] = {
    kind.__name__: kind for kind in (TooLargeError, OptionError, PictureError, ModelError, OutputError)
}


class Worker(Protocol):
    """Runs one job at a time."""

    async def start(self) -> None:
        """Start the worker."""

    async def run(self, item: WorkItem, on_progress: ProgressCallback, seconds: float) -> JobResult:
        """Run a job, for ``seconds`` at most."""

    def cancel(self) -> None:
        """Cancel the running job."""

    def close(self) -> None:
        """Stop the worker."""


class ProcessWorker:
    """A worker process, restarted when it was lost.

    Args:
        settings: the operator's.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._context = multiprocessing.get_context("spawn")
        self._thread = ThreadPoolExecutor(1, "rlfn-worker")
        self._process: Any = None
        self._pipe: Any = None
        self._cancel_pipe: Any = None
        self._number = 0
        self._started_at = 0
        self._active_number = 0
        self._cancelled = 0
        self._closed = False

    async def start(self) -> None:
        """Start the process, which loads the default model."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._start_process)

    async def run(self, item: WorkItem, on_progress: ProgressCallback, seconds: float) -> JobResult:
        """Run a job in the process; cancel it after ``seconds``.

        Raises:
            RlfnError: the job's own error, or :class:`LostWorkerError` if the process ended.
            JobCancelled: :meth:`cancel` was called.
            TimeoutError: it took too long.
        """
        loop = asyncio.get_running_loop()
        self._number += 1

        def forward(progress: float) -> None:
            loop.call_soon_threadsafe(on_progress, progress)

        work = loop.run_in_executor(self._thread, self._exchange, self._number, item, forward)
        done, _ = await asyncio.wait([work], timeout=seconds)
        if done:
            return work.result()
        self.cancel()
        with contextlib.suppress(JobCancelled, RlfnError):
            await work
        raise TimeoutError

    def cancel(self) -> None:
        """Ask the process to cancel; kill it if it does not react."""
        self._cancelled = self._number
        with contextlib.suppress(OSError, ValueError):
            self._cancel_pipe.send(self._number)
        asyncio.get_running_loop().call_later(_CANCEL_TIMEOUT, self._kill_if_active, self._number)

    def close(self) -> None:
        """Kill the process and with it the running job."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _start_process(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        cancelled, self._cancel_pipe = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=worker_main, args=(theirs, cancelled, self._settings), name="rlfn-worker", daemon=True
        )
        process.start()
        self._process = process
        if self._closed:  # in the meantime
            process.kill()
        theirs.close()
        cancelled.close()

    def _exchange(self, number: int, item: WorkItem, on_progress: ProgressCallback) -> JobResult:
        """Send a job and wait for its result, in this worker's thread."""
        if self._closed or self._cancelled >= number:
            raise JobCancelled
        if number - self._started_at > _MAX_JOBS_PER_PROCESS and self._process is not None:
            self._pipe.close()  # the process then exits
            self._process = None
        if self._process is None or not self._process.is_alive():
            self._started_at = number - 1
            self._start_process()
        self._active_number = number
        try:
            self._pipe.send((number, item))
            while True:
                kind, value = self._pipe.recv()
                if kind != "progress":
                    return _unpack(kind, value)
                on_progress(value)
        except (EOFError, OSError):
            self._process.join(_CANCEL_TIMEOUT)
            self._process = None
            if self._closed or self._cancelled >= number:
                raise JobCancelled from None
            raise LostWorkerError(
                "The worker ended while processing this picture. Send it again; if it fails again, this server "
                "has too little memory for it."
            ) from None
        finally:
            self._active_number = 0

    def _kill_if_active(self, number: int) -> None:
        process = self._process
        if self._active_number == number and process is not None:
            process.kill()


def _unpack(kind: str, value: Any) -> JobResult:
    """Return a worker's result, or raise its error."""
    if kind == "done":
        assert isinstance(value, JobResult)
        return value
    if kind == "cancelled":
        raise JobCancelled
    raise _ERRORS.get(kind, InternalError)(value)


def worker_main(pipe: Any, cancelled: Any, settings: ServeSettings) -> None:
    """Run jobs from ``pipe`` until it is closed: the main function of a worker process."""
    for name in ("SIGINT", "SIGTERM"):  # the server ends its workers itself
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        os.nice(settings.nice)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("500")  # out of memory, the system kills a worker and not the server
    pool = UpscalerPool()
    with contextlib.suppress(RlfnError):
        options = EnlargeOptions(**settings.computing)
        Enlarger(options, pool).with_auto_engine(None).load()
    while True:
        try:
            number, item = pipe.recv()
            message = _run_one(item, pool, _ProgressPipe(pipe, cancelled, number))
            pipe.send(message)
        except (EOFError, OSError):  # the server is gone
            return


def _run_one(item: WorkItem, pool: UpscalerPool, progress: ProgressCallback) -> tuple[str, Any]:
    """Run one job; return a message for the server."""
    try:
        return "done", run_item(item, pool, progress)
    except JobCancelled:
        return "cancelled", None
    except MissingExtraError as error:
        return OptionError.__name__, error.template
    except RlfnError as error:
        return type(error).__name__, error.template
    except Exception as error:  # decoders and engines raise what they like
        return InternalError.__name__, explain(error)


class _ProgressPipe:
    """Reports progress to the server, and raises when the job was cancelled."""

    def __init__(self, pipe: Any, cancelled: Any, number: int) -> None:
        self._pipe, self._cancelled, self._number = pipe, cancelled, number
        self._last_sent = 0.0

    def __call__(self, progress: float) -> None:
        while self._cancelled.poll():
            if self._cancelled.recv() >= self._number:
                raise JobCancelled
        now = time.monotonic()
        if now - self._last_sent >= _PROGRESS_INTERVAL:
            self._last_sent = now
            self._pipe.send(("progress", progress))
