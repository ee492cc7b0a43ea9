"""The worker processes of a run as Ray actors: each reserves its cores, and is replaced when it is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyvips

from rlfn.errors import OutputError
from rlfn.inference.parts import Computed, ImagePart
from rlfn.jobs.bulk.pending import BulkEntry
from rlfn.jobs.bulk.ray_cluster import import_ray, is_lost
from rlfn.jobs.bulk.worker import BulkWorker, Outcome, WorkerConfig
from rlfn.wording import one_line, setting

_TASKS_PER_WORKER = 2
"""Number of tasks assigned to a worker: one running and one queued, so that it never idles."""

_STARTUP_SECONDS = 30.0
"""How long an oversized picture waits for helpers to start, in seconds."""


class RayWorker(BulkWorker):
    """A worker that runs as a Ray actor; its helpers are other actors."""

    def __init__(self, config: WorkerConfig) -> None:
        super().__init__(config)
        if hasattr(pyvips, "concurrency_set"):
            pyvips.concurrency_set(config.threads)  # the other cores belong to other workers

    def run_oversized(self, entry: BulkEntry, helpers: Sequence[Any]) -> Outcome:
        """See :meth:`BulkWorker.run_with_helpers`."""
        ray = import_ray()

        def bound(actor: Any) -> Any:
            def compute(blob: bytes, part: ImagePart) -> Iterator[Computed]:
                how = {"num_returns": "streaming", "_generator_backpressure_num_objects": 2}
                for ready in actor.compute.options(**how).remote(blob, part):
                    yield from ray.get(ready)

            return compute

        return self.run_with_helpers(entry, [bound(actor) for actor in helpers], is_lost)


@dataclass(eq=False)
class WorkerHandle:
    """The driver's view of one worker.

    Attributes:
        actor: the Ray actor.
        ready: whether it has started.
        tasks: number of tasks assigned to it.
        exclusive: whether it gets no second task.
        group: output of the oversized picture that it works on with others, if any.
    """

    actor: Any
    ready: bool = False
    tasks: int = 0
    exclusive: bool = False
    group: str = ""


@dataclass(eq=False)
class Task:
    """A task of a worker: ``kind`` names the worker's method; ``exclusive`` if it was the only task."""

    worker: WorkerHandle
    kind: str
    entries: tuple[BulkEntry, ...] = ()
    helpers: tuple[WorkerHandle, ...] = ()
    exclusive: bool = False


@dataclass(frozen=True)
class TaskResult:
    """A finished task: the value that it returned, or why its worker was lost."""

    task: Task
    value: Any = None
    lost: BaseException | None = None


@dataclass
class WorkerPool:
    """The workers of a run.

    Attributes:
        config: the configuration of each.
        count: number of workers to keep running.
        threads: cores that each reserves.
    """

    config: WorkerConfig
    count: int
    threads: int
    workers: list[WorkerHandle] = field(default_factory=list)
    _tasks: dict[Any, Task] = field(default_factory=dict)
    _consecutive_losses: int = 0
    _last_start: float = 0.0

    def __post_init__(self) -> None:
        """Start the workers."""
        self._ray = import_ray()
        self._kind = self._ray.remote(RayWorker).options(num_cpus=self.threads)
        for _ in range(self.count):
            self._start_worker()

    @property
    def busy(self) -> bool:
        """Whether any worker has pictures."""
        return any(task.kind != "ping" for task in self._tasks.values())

    @property
    def starting_up(self) -> bool:
        """Whether a recently started worker is not ready yet."""
        return time.monotonic() - self._last_start < _STARTUP_SECONDS and not all(one.ready for one in self.workers)

    def free(self) -> list[WorkerHandle]:
        """Return the workers that can take another task, idle ones first."""
        found = [one for one in self.workers if one.ready and one.tasks < (1 if one.exclusive else _TASKS_PER_WORKER)]
        return sorted(found, key=lambda one: one.tasks)

    def submit(
        self,
        worker: WorkerHandle,
        kind: str,
        entries: Sequence[BulkEntry],
        *more: Any,
        helpers: Sequence[WorkerHandle] = (),
    ) -> None:
        """Submit a task: ``kind`` is a method that takes the entries (``run_oversized``: one) and ``more``."""
        first = (entries[0], [one.actor for one in helpers]) if kind == "run_oversized" else (list(entries),)
        self._call(worker, Task(worker, kind, tuple(entries), tuple(helpers), worker.exclusive), *first, *more)

    def wait(self, timeout: float) -> list[TaskResult]:
        """Return the tasks that finish within ``timeout`` seconds; lost workers are replaced.

        Raises:
            OutputError: workers keep crashing.
        """
        if not self._tasks:
            return []
        ready, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=timeout)
        if ready:
            ready, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
        return [result for ref in ready if (result := self._result(ref)) is not None]

    def _result(self, ref: Any) -> TaskResult | None:
        task = self._tasks.pop(ref)
        worker = task.worker
        worker.tasks -= 1
        worker.exclusive = worker.exclusive and worker.tasks > 0
        try:
            value = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            raise getattr(error, "cause", None) or error from None
        except self._ray.exceptions.RayError as error:
            if not is_lost(error):
                raise
            self._replace_worker(worker, error)
            return None if task.kind == "ping" else TaskResult(task, lost=error)
        if task.kind == "ping":
            worker.ready = True
            return None
        self._consecutive_losses = 0
        return TaskResult(task, value)

    def _start_worker(self) -> None:
        self._last_start = time.monotonic()
        worker = WorkerHandle(self._kind.remote(self.config))
        self.workers.append(worker)
        self._call(worker, Task(worker, "ping"))

    def _call(self, worker: WorkerHandle, task: Task, *arguments: Any) -> None:
        self._tasks[getattr(worker.actor, task.kind).remote(*arguments)] = task
        worker.tasks += 1

    def _replace_worker(self, worker: WorkerHandle, error: BaseException) -> None:
        if worker not in self.workers:
            return
        self.workers.remove(worker)
        self._ray.kill(worker.actor)
        self._consecutive_losses += 1
        if self._consecutive_losses > 3 * self.count + 3:
            raise OutputError(
                f"Workers keep crashing ({one_line(error)}). Install rlfn on every machine, and check that there is "
                f"memory for {self.count} workers; {setting('workers')} sets a smaller number."
            )
        self._start_worker()
