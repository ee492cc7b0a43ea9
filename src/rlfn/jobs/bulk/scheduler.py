"""Assigns the work: small pictures in batches, oversized ones to several workers, suspects one at a time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from rlfn.jobs.bulk.manifest import PictureRow
from rlfn.jobs.bulk.pending import BulkEntry, PendingWork
from rlfn.jobs.bulk.ray_workers import Task, TaskResult, WorkerHandle, WorkerPool
from rlfn.jobs.bulk.worker import Outcome, WorkerConfig, failed_row

_BATCH_PIXELS = 100_000, 2_000_000
"""Smallest and largest batch, in input pixels."""

_BATCH_PICTURES = 64
"""Largest number of pictures in a batch."""

_SUSPECT_BATCH = 8
"""Size of the batches into which the pictures of a lost worker are split before each is tried on its own."""

_MAX_CRASHES = 3
"""Number of workers lost while working on one picture alone after which the picture has failed."""

_MAX_HELPERS = 15
"""Largest number of workers that help with an oversized picture."""

_PIXELS_PER_BYTE = 16
"""Pixels per byte above which a file is assumed not to be oversized; only drawings in few colours exceed it."""

_CHECK_BATCH_BYTES = 64 << 20
"""Largest batch of finished pictures to verify, in input bytes."""

_WORKERS_PER_STEP = 500
"""Number of workers for which the smallest batch grows by one step, so that the driver keeps up with them."""


def batch_pixels(left: int, workers: int) -> int:
    """Return the size of the next batch in pixels; batches shrink towards the end so that all workers end together.

    Args:
        left: pixels that are not assigned yet.
        workers: number of workers.
    """
    smallest, largest = _BATCH_PIXELS
    return min(max(left // (3 * workers), smallest * max(1, workers // _WORKERS_PER_STEP)), largest)


@dataclass
class TaskSummary:
    """The outcome of a task: its rows, the keys that failed because a store was unreachable, and the verified count."""

    rows: list[PictureRow] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    verified: int = 0


class Scheduler:
    """Holds the pending work and assigns it to the workers."""

    def __init__(self, work: PendingWork, config: WorkerConfig, *, verify: bool) -> None:
        self._work, self._config = work, config
        self._entries = work.entries(work.remaining)
        self._next = next(self._entries, None)
        self._checks = work.entries(work.done, check=True) if verify else iter(())
        self._check = next(self._checks, None)
        self._retries: deque[BulkEntry] = deque()
        self._suspects: deque[list[BulkEntry]] = deque()
        self._oversized: deque[BulkEntry] = deque()
        self._crashes: dict[str, int] = {}
        self._bytes_left = int(work.table.column("bytes").to_numpy()[work.remaining].sum())
        self._pixels_seen, self._bytes_seen = 1, 1  # of finished inputs; their ratio predicts the pixels of a file

    @property
    def left(self) -> bool:
        """Whether anything remains to be assigned."""
        return bool(self._next or self._check or self._retries or self._suspects or self._oversized)

    @property
    def useful_workers(self) -> int:
        """Number of workers with something to do: one per picture, more for pictures that may be oversized."""
        sizes = self._work.table.column("bytes").to_numpy()[self._work.remaining]
        oversized_bytes = max(1, self._config.oversized_pixels // _PIXELS_PER_BYTE)
        per_picture = np.where(sizes > 0, np.maximum(1, sizes // oversized_bytes), _MAX_HELPERS + 1)
        return int(per_picture.sum()) + (len(self._work.done) if self._check is not None else 0)

    def assign(self, pool: WorkerPool) -> None:
        """Keep every worker busy."""
        while self.left:
            free = pool.free()
            if not free or not any(self._assign(pool, worker) for worker in free):
                return

    def _assign(self, pool: WorkerPool, worker: WorkerHandle) -> bool:
        if worker.tasks == 0 and self._suspects:
            worker.exclusive = True  # so that no other picture can be the cause of a crash
            pool.submit(worker, "run", self._suspects.popleft(), _BATCH_PIXELS[1])
            return True
        if self._oversized and not worker.group:
            if worker.tasks or (pool.starting_up and pool.count > 1 and not _helpers(pool, worker)):
                return False  # it will be free soon, or a helper will be ready
            self._assign_oversized(pool, worker)
            return True
        if worker.exclusive:
            return False
        if batch := self._check_batch():
            pool.submit(worker, "check", batch)
            return True
        if batch := self._batch(self._batch_budget(pool)):
            pool.submit(worker, "run", batch, self._batch_budget(pool))
            return True
        return False

    def _assign_oversized(self, pool: WorkerPool, worker: WorkerHandle) -> None:
        entry = self._oversized.popleft()
        helpers = _helpers(pool, worker)
        for one in (worker, *helpers):
            one.group = entry.output
        worker.exclusive = True
        pool.submit(worker, "run_oversized", [entry], helpers=helpers)

    def _batch_budget(self, pool: WorkerPool) -> int:
        return batch_pixels(self._bytes_left * self._pixels_seen // self._bytes_seen, pool.count)

    def _batch(self, budget: int) -> list[BulkEntry]:
        """Take pictures with the same options, of about ``budget`` pixels."""
        batch: list[BulkEntry] = []
        expected = 0.0
        while len(batch) < _BATCH_PICTURES and expected < budget:
            entry = self._retries[0] if self._retries else self._next
            if entry is None or (batch and entry.options != batch[0].options):
                break
            if self._retries:
                self._retries.popleft()
            else:
                self._next = next(self._entries, None)
                self._bytes_left -= entry.bytes
            batch.append(entry)
            expected += entry.bytes * self._pixels_seen / self._bytes_seen if entry.bytes else budget / 16
        return batch

    def _check_batch(self) -> list[BulkEntry]:
        batch: list[BulkEntry] = []
        size = 0
        while self._check is not None and size < _CHECK_BATCH_BYTES and len(batch) < _BATCH_PICTURES:
            batch.append(self._check)
            size += max(self._check.bytes, 100_000)
            self._check = next(self._checks, None)
        return batch

    def finish(self, result: TaskResult) -> TaskSummary:
        """Record a finished task and requeue what it left undone."""
        task = result.task
        if task.kind == "run_oversized":
            for one in (task.worker, *task.helpers):
                one.group = ""
        if result.lost is not None:
            return TaskSummary(self._requeue(task, result.lost))
        if task.kind == "check":
            wrong = {entry.output for entry in result.value}
            self._retries.extend(entry for entry in task.entries if entry.output in wrong)
            return TaskSummary(verified=len(task.entries) - len(wrong))
        outcome: Outcome = result.value
        self._retries.extendleft(reversed(outcome.deferred))
        self._oversized.extend(outcome.oversized)
        for row in outcome.rows:
            if row.pixels and row.input_bytes:
                self._pixels_seen += row.pixels
                self._bytes_seen += row.input_bytes
        return TaskSummary(outcome.rows, outcome.unreachable)

    def _requeue(self, task: Task, error: BaseException) -> list[PictureRow]:
        """Requeue the pictures of a lost worker in small groups; return the row of one that has failed for good."""
        entries = task.entries
        if len(entries) > 1:
            size = _SUSPECT_BATCH if len(entries) > _SUSPECT_BATCH else 1
            self._suspects.extend(list(entries[start : start + size]) for start in range(0, len(entries), size))
            return []
        entry = entries[0]
        if not task.exclusive:
            self._suspects.append([entry])
            return []
        self._crashes[entry.output] = self._crashes.get(entry.output, 0) + 1
        if self._crashes[entry.output] < _MAX_CRASHES:
            self._suspects.append([replace(entry, attempts=entry.attempts + 1)])
            return []
        message = (
            f"{_MAX_CRASHES} workers crashed while processing it ({type(error).__name__}). They may have run out of "
            "memory: give the workers more of it, or leave the picture out."
        )
        return [failed_row(entry, self._config.digests[entry.options], message)]


def _helpers(pool: WorkerPool, worker: WorkerHandle) -> list[WorkerHandle]:
    """Return the workers that can help another with an oversized picture."""
    return [one for one in pool.workers if one.ready and not one.group and one is not worker][:_MAX_HELPERS]
