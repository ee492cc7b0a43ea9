"""A picture to enlarge, its state and its result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum

from rlfn.serve.problems import Problem
from rlfn.serve.work import JobResult, WorkItem
from rlfn.serve.workers import Worker


class JobState(StrEnum):
    """The state of a job; the last three are final."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(eq=False)
class UpscaleJob:
    """One picture to enlarge.

    Attributes:
        id: unguessable: knowing it is enough to fetch the result.
        key: equal for requests with the same result.
        item: the work, until it is finished.
        upload_size: bytes of the upload that are held.
        detached: whether it runs on when no request waits for it.
        waiters: number of requests that wait for it or are being sent its result.
        state, progress: the current state; progress goes from 0 to 1.
        result, problem: the outcome.
        cached: whether the result came from the cache.
        finished_at: when it ended, by ``time.monotonic``.
        version: number of updates so far.
        worker: the worker that runs it, if any.
    """

    id: str
    key: str
    item: WorkItem | None
    upload_size: int
    idempotency: str | None = None
    detached: bool = True
    waiters: int = 0
    state: JobState = JobState.WAITING
    progress: float = 0.0
    result: JobResult | None = None
    problem: Problem | None = None
    cached: bool = False
    finished_at: float | None = None
    version: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    worker: Worker | None = None

    @property
    def finished(self) -> bool:
        """Whether the state is final."""
        return self.state not in (JobState.WAITING, JobState.RUNNING)

    def update(self, state: JobState, progress: float = 0.0) -> None:
        """Set the state and wake those that wait for a change."""
        self.state, self.progress = state, progress
        if self.finished and self.finished_at is None:
            self.finished_at = time.monotonic()
        self.version += 1
        self.changed.set()
        self.changed = asyncio.Event()

    async def updates(self, heartbeat: float) -> AsyncIterator[bool]:
        """Yield True at once and after each update, False after ``heartbeat`` seconds without one; end with the job."""
        seen = -1
        while True:
            if self.version != seen:
                seen, finished = self.version, self.finished
                yield True
                if finished:
                    return
                continue
            try:
                await asyncio.wait_for(self.changed.wait(), heartbeat)
            except TimeoutError:
                yield False
