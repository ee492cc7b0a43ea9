"""The job queue: accepts pictures, dispatches them to workers, and holds results until they are fetched.

Everything here runs in the event loop. Memory is bounded: by the number of waiting jobs, and by the bytes of uploads
and results. Requests beyond these limits are refused with a ``Retry-After``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

from rlfn.errors import OptionError, RlfnError
from rlfn.serve.cache import HeldResults, ResultCache, content_key
from rlfn.serve.fields import RequestOptions
from rlfn.serve.job import JobState, UpscaleJob
from rlfn.serve.problems import (
    Problem,
    internal_error,
    overloaded,
    problem,
    problem_of,
    processing_timeout,
    queue_full,
    shutting_down,
)
from rlfn.serve.settings import ServeSettings
from rlfn.serve.work import JobResult, WorkItem
from rlfn.serve.workers import JobCancelled, Worker

_INITIAL_SECONDS = 2.0
"""Expected processing time of a picture before the first one has finished."""

_MAX_JOBS = 4096
"""Largest number of jobs held at a time, finished ones included."""

_LOG = logging.getLogger("rlfn.serve")


class JobQueue:
    """The queue, the workers and the results of one server.

    Args:
        settings: the operator's.
        workers: what runs the jobs.
        on_finished: called with every job that has finished.
    """

    def __init__(
        self,
        settings: ServeSettings,
        workers: Sequence[Worker],
        on_finished: Callable[[UpscaleJob], None] = lambda job: None,
    ) -> None:
        self.settings = settings
        self.cache = ResultCache(settings.cache)
        self.jobs: dict[str, UpscaleJob] = {}
        self._by_idempotency: dict[str, UpscaleJob] = {}
        self.waiting: deque[UpscaleJob] = deque()
        self.running: set[UpscaleJob] = set()
        self.upload_bytes = 0
        self._held = HeldResults()
        self.draining = False
        self._workers, self._idle = list(workers), list(workers)
        self._on_finished = on_finished
        self._average_seconds = _INITIAL_SECONDS
        self._tasks: set[asyncio.Task[None]] = set()
        self.upload_timers: set[asyncio.Timeout] = set()

    @property
    def result_bytes(self) -> int:
        """Bytes of results that wait to be fetched."""
        return self._held.bytes

    async def start(self) -> None:
        """Start the workers."""
        await asyncio.gather(*(worker.start() for worker in self._workers))
        self._spawn(self._expire())

    async def close(self) -> None:
        """Stop the workers and fail all unfinished jobs."""
        self.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def drain(self) -> None:
        """Refuse new jobs, fail waiting ones, and let running ones finish and be fetched within the grace period.

        Then all is stopped.
        """
        self._refuse()
        deadline = time.monotonic() + self.settings.grace
        while time.monotonic() < deadline and (self.running or self.result_bytes):
            await asyncio.sleep(0.05)
        self.stop()

    def stop(self) -> None:
        """Kill the workers and fail all unfinished jobs."""
        self._refuse()
        for job in list(self.running):
            self._stop(job, JobState.FAILED, shutting_down())
        self.kill_workers()

    def kill_workers(self) -> None:
        """Kill the workers."""
        for worker in self._workers:
            worker.close()

    def _refuse(self) -> None:
        """Refuse uploads, also those being received, and fail waiting jobs."""
        self.draining = True
        for timer in self.upload_timers:
            if not timer.expired():
                timer.reschedule(asyncio.get_running_loop().time())
        for job in list(self.waiting):
            self._stop(job, JobState.FAILED, shutting_down())

    def retry_after(self) -> int:
        """Estimate the seconds until there is room in the queue, from recent processing times."""
        return int(min(max(self._average_seconds * (len(self.waiting) + 1) / len(self._workers), 1.0), 120.0))

    def check_capacity(self, size: int) -> None:
        """Check that the server can accept another upload of ``size`` bytes.

        Raises:
            Problem: the server is shutting down, the queue is full, or the memory limit is reached.
        """
        if self.draining:
            raise shutting_down()
        if len(self.waiting) >= self.settings.queue or len(self.jobs) >= _MAX_JOBS:
            raise queue_full(len(self.waiting), self.retry_after())
        if self.upload_bytes + size > self.settings.memory // 2:
            raise overloaded(self.retry_after())

    def submit(
        self, picture: bytes, options: RequestOptions, idempotency: str | None = None, *, detached: bool = True
    ) -> UpscaleJob:
        """Add a job, or return the one that was added with the same idempotency key.

        A job that failed with a status of 500 or more gives its key back, so that a repeated request tries again.

        Args:
            picture: the bytes of its file.
            options: the client's options.
            idempotency: the client's idempotency key.
            detached: whether the job runs on when no request waits for it.

        Raises:
            Problem: there is no room, or the key was used for something else.
        """
        key = content_key(picture, options)
        known = self._by_idempotency.get(idempotency) if idempotency else None
        if known is not None:
            if known.key != key:
                raise problem_of(OptionError("This Idempotency-Key was used for another request. Take a new one."))
            known.detached = known.detached or detached  # the client may now come back for it
            return known
        job = UpscaleJob(secrets.token_urlsafe(18), key, None, 0, idempotency, detached)
        cached = self.cache.get(key)
        has_room = not self.draining and len(self.jobs) < _MAX_JOBS
        if cached is not None and has_room and self._has_room_for(cached, detached):
            self._register(job)
            job.cached = True
            self._finish(job, cached)
            return job
        self.check_capacity(len(picture))
        settings = self.settings
        job.item = WorkItem(picture, options, settings.max_pixels, settings.max_result_pixels)
        job.upload_size = len(picture)
        self.upload_bytes += job.upload_size
        self._register(job)
        self.waiting.append(job)
        self._dispatch()
        return job

    def _has_room_for(self, result: JobResult, detached: bool) -> bool:
        """Tell whether a cached result can be held; one that is sent at once needs no room."""
        return not detached or result in self._held or self.result_bytes < self.settings.memory // 2

    def _register(self, job: UpscaleJob) -> None:
        self.jobs[job.id] = job
        if job.idempotency:
            self._by_idempotency[job.idempotency] = job

    def jobs_ahead(self, job: UpscaleJob) -> int:
        """Return the number of jobs that wait before this one."""
        return self.waiting.index(job) if job in self.waiting else 0

    @contextlib.asynccontextmanager
    async def wait_for_result(self, job: UpscaleJob) -> AsyncIterator[JobResult]:
        """Wait for a result, and hold it for the ``with`` block.

        A job that is not detached is cancelled and forgotten when its last waiter leaves.

        Raises:
            Problem: the job failed or was cancelled.
        """
        job.waiters += 1
        try:
            while not job.finished:
                await job.changed.wait()
            if job.problem is not None:
                raise job.problem
            if job.result is None:
                raise problem("cancelled", "The job was cancelled. Send the picture again.")
            yield job.result
        finally:
            job.waiters -= 1
            if not (job.detached or job.waiters):
                self.cancel(job)
                self.forget(job)

    def cancel(self, job: UpscaleJob) -> None:
        """Cancel a job."""
        if job.finished:
            return
        if job.worker is not None:
            job.worker.cancel()
        self._stop(job, JobState.CANCELLED, None)

    def forget(self, job: UpscaleJob) -> None:
        """Forget a finished job and release its result."""
        if self.jobs.pop(job.id, None) is not None and job.result is not None:
            self._held.release(job.result)
        self._release_key(job)
        job.result = None
        self._dispatch()

    def _release_key(self, job: UpscaleJob) -> None:
        """Let the next request with the job's idempotency key start a job of its own."""
        if job.idempotency and self._by_idempotency.get(job.idempotency) is job:
            del self._by_idempotency[job.idempotency]

    def _dispatch(self) -> None:
        """Dispatch waiting jobs to idle workers while there is room for results."""
        while self._idle and self.waiting and self.result_bytes < self.settings.memory // 2:
            job, worker = self.waiting.popleft(), self._idle.pop()
            self.running.add(job)
            job.worker = worker
            job.update(JobState.RUNNING)
            self._spawn(self._run(job, worker))
        for job in self.waiting:
            job.update(JobState.WAITING)

    async def _run(self, job: UpscaleJob, worker: Worker) -> None:
        assert job.item is not None
        began = time.monotonic()
        try:
            if job.finished:  # cancelled between dispatch and start
                raise JobCancelled
            result = await worker.run(
                job.item, lambda progress: self._set_progress(job, progress), self.settings.seconds
            )
            self._average_seconds += 0.2 * (time.monotonic() - began - self._average_seconds)
            if not job.finished:
                self.cache.put(job.key, result)
                self._finish(job, result)
        except JobCancelled:
            self._stop(job, JobState.CANCELLED, None)
        except TimeoutError:
            self._stop(job, JobState.FAILED, processing_timeout(self.settings.seconds))
        except RlfnError as error:
            self._stop(job, JobState.FAILED, problem_of(error))
        except Exception as error:
            _LOG.error("A job failed.", exc_info=error)
            self._stop(job, JobState.FAILED, internal_error())
        finally:
            self.running.discard(job)
            self._drop_upload(job)
            job.worker = None
            self._idle.append(worker)
            self._dispatch()

    def _set_progress(self, job: UpscaleJob, progress: float) -> None:
        if job.state is JobState.RUNNING:
            job.update(JobState.RUNNING, progress)

    def _finish(self, job: UpscaleJob, result: JobResult) -> None:
        job.result = result
        self._held.retain(result)
        job.update(JobState.DONE, 1.0)
        self._on_finished(job)

    def _stop(self, job: UpscaleJob, state: JobState, problem: Problem | None) -> None:
        if job.finished:
            return
        with contextlib.suppress(ValueError):
            self.waiting.remove(job)
        if job not in self.running:
            self._drop_upload(job)
        if problem is not None and problem.status >= 500:  # another attempt may succeed
            self._release_key(job)
        job.problem = problem
        job.update(state)
        self._on_finished(job)

    def _drop_upload(self, job: UpscaleJob) -> None:
        self.upload_bytes -= job.upload_size
        job.upload_size, job.item = 0, None

    async def _expire(self) -> None:
        """Periodically forget finished jobs that were not fetched."""
        while True:
            await asyncio.sleep(min(self.settings.keep / 4, 5.0))
            oldest = time.monotonic() - self.settings.keep
            for job in [one for one in self.jobs.values() if one.finished_at is not None and one.finished_at < oldest]:
                self.forget(job)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
