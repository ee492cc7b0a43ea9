"""The worker processes of a run, by Ray: started with cores of their own, given work, and replaced when they end."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyvips

from rlfn.errors import MissingExtraError, OptionError, OutputError, setting
from rlfn.inference.hardware import default_threads
from rlfn.inference.parts import Computed, ImagePart
from rlfn.jobs.bulk.todo import BulkEntry
from rlfn.jobs.bulk.worker import BulkWorker, Duty, Outcome
from rlfn.telemetry import import_silent

_STORE_BYTES = 256 << 20
"""Memory of an embedded Ray for what processes hand each other: parts of giants alone; pictures go past it."""

_AHEAD = 2
"""Tasks that a worker has at a time: one at work and one that waits, so that it never waits itself."""

_ON_THE_WAY = 30.0
"""Seconds for which a giant waits for somebody who could help with it."""


@dataclass(frozen=True)
class Where:
    """On what a run works.

    Attributes:
        address: of a running Ray; None for one of its own on this machine.
        workers: processes; None for as many as the cores hold.
        threads: of each, with as many cores reserved.
    """

    address: str | None = None
    workers: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in ("workers", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"{setting(name, value)} was given. Allowed: 1 or more.")


class RayWorker(BulkWorker):
    """A worker as an actor of Ray's, in a process of its own: its helpers are other actors."""

    def __init__(self, duty: Duty) -> None:
        super().__init__(duty)
        if hasattr(pyvips, "concurrency_set"):
            pyvips.concurrency_set(duty.threads)  # the cores beside its own belong to others

    def giant(self, entry: BulkEntry, helpers: Sequence[Any]) -> Outcome:
        """See :meth:`BulkWorker.run_giant`."""
        ray = import_ray()

        def bound(actor: Any) -> Any:
            def compute(blob: bytes, part: ImagePart) -> Iterator[Computed]:
                how = {"num_returns": "streaming", "_generator_backpressure_num_objects": 2}
                for ready in actor.compute.options(**how).remote(blob, part):
                    yield from ray.get(ready)

            return compute

        return self.run_giant(entry, [bound(actor) for actor in helpers], is_lost)


def import_ray() -> Any:
    """Return Ray, its reports to its makers off.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_silent("ray")
    except ImportError:
        raise MissingExtraError("Bulk work", "bulk") from None


def is_lost(error: BaseException) -> bool:
    """Tell whether an exception of Ray's means that a process or machine ended, and not that its work failed."""
    kinds = import_ray().exceptions
    lost = ("RayActorError", "ActorUnavailableError", "WorkerCrashedError", "NodeDiedError", "ObjectLostError")
    return isinstance(
        error, tuple(getattr(kinds, name) for name in (*lost, "OutOfMemoryError") if hasattr(kinds, name))
    )


@contextlib.contextmanager
def cluster(where: Where) -> Iterator[int]:
    """Join a running Ray or start one, and yield how many workers its cores hold.

    Raises:
        OptionError: there is no Ray at the address, or it is of another version.
        OutputError: there is no address, and Ray does not start on this machine.
    """
    ray = import_ray()
    if ray.is_initialized():  # the caller's own
        yield _room(ray, where)
        return
    handler = signal.getsignal(signal.SIGTERM)
    folder = None
    try:
        if where.address is None:
            # sockets' paths may be 107 bytes long, and Ray makes most of that itself
            folder = tempfile.mkdtemp(prefix="rlfn-", dir="/tmp" if os.path.isdir("/tmp") else None)
            _start(ray, folder, default_threads())
        else:
            _join(ray, where.address)
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGTERM, handler)  # Ray puts its own there
        yield _room(ray, where)
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _start(ray: Any, folder: str, cores: int) -> None:
    # who has no token may not use this Ray; where none is given, it writes one into the home folder
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    logging.getLogger("ray").setLevel(logging.ERROR)
    for left in (1, 0):
        try:
            ray.init(
                address="local",
                num_cpus=cores,
                num_gpus=0,
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address="127.0.0.1",  # nobody else is to reach it
                _temp_dir=folder,
            )
            return
        except Exception as error:  # Ray raises a plain one when its processes are not ready in time
            ray.shutdown()
            if not left:
                raise OutputError(
                    f"Ray has not started on this machine, twice ({_said(error)}). The machine may be too busy, or "
                    f"short of memory. Run again when it is less so, or give {setting('address')} of a running Ray."
                ) from error


def _join(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, namespace="rlfn")
    except Exception as error:  # connection, version and value errors alike
        raise OptionError(
            f"There is no Ray that answers at {setting('address', address)} ({_said(error)}). Start it with "
            "'ray start' on its first machine, or leave the address out for one on this machine."
        ) from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(". ") or type(error).__name__


def _room(ray: Any, where: Where) -> int:
    cores = int(ray.cluster_resources().get("CPU", 0))
    return max(1, cores // where.threads) if where.workers is None else where.workers


@dataclass(eq=False)
class Member:
    """One worker.

    Attributes:
        actor: Ray's handle.
        ready: whether it has answered yet.
        tasks: how many it has.
        alone: whether it shall have no second task.
        group: the giant that it works on with others, if any.
    """

    actor: Any
    ready: bool = False
    tasks: int = 0
    alone: bool = False
    group: str = ""


@dataclass(eq=False)
class Task:
    """What a worker was given: ``kind`` is a method of its; ``alone`` when it had nothing else."""

    member: Member
    kind: str
    entries: tuple[BulkEntry, ...] = ()
    helpers: tuple[Member, ...] = ()
    alone: bool = False


@dataclass(frozen=True)
class Ended:
    """A task that is over: with a result, or because its worker was lost."""

    task: Task
    result: Any = None
    lost: BaseException | None = None


@dataclass
class Crew:
    """The workers of a run.

    Attributes:
        duty: what they are told.
        count: how many there shall be.
        threads: cores that each reserves.
    """

    duty: Duty
    count: int
    threads: int
    members: list[Member] = field(default_factory=list)
    _tasks: dict[Any, Task] = field(default_factory=dict)
    _losses: int = 0
    _hired: float = 0.0

    def __post_init__(self) -> None:
        """Start them."""
        self._ray = import_ray()
        self._kind = self._ray.remote(RayWorker).options(num_cpus=self.threads)
        for _ in range(self.count):
            self._hire()

    @property
    def busy(self) -> bool:
        """Whether somebody works on pictures."""
        return any(task.kind != "hello" for task in self._tasks.values())

    @property
    def settling(self) -> bool:
        """Whether somebody who was hired a short while ago is still on the way."""
        return time.monotonic() - self._hired < _ON_THE_WAY and not all(one.ready for one in self.members)

    def free(self) -> list[Member]:
        """Return those that may have another task, the idlest first."""
        found = [one for one in self.members if one.ready and one.tasks < (1 if one.alone else _AHEAD)]
        return sorted(found, key=lambda one: one.tasks)

    def give(
        self, member: Member, kind: str, entries: Sequence[BulkEntry], *more: Any, helpers: Sequence[Member] = ()
    ) -> None:
        """Give a task: ``kind`` is a method that takes the entries (``giant``: one) and ``more``."""
        first = (entries[0], [one.actor for one in helpers]) if kind == "giant" else (list(entries),)
        self._note(member, Task(member, kind, tuple(entries), tuple(helpers), member.alone), *first, *more)

    def next(self, timeout: float) -> list[Ended]:
        """Wait for tasks to end, for ``timeout`` seconds at most; the losses among them are replaced.

        Raises:
            OutputError: workers end as soon as they begin.
        """
        if not self._tasks:
            return []
        ready, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=timeout)
        if ready:
            ready, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
        return [ended for ref in ready if (ended := self._ended(ref)) is not None]

    def _ended(self, ref: Any) -> Ended | None:
        task = self._tasks.pop(ref)
        member = task.member
        member.tasks -= 1
        member.alone = member.alone and member.tasks > 0
        try:
            result = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            raise getattr(error, "cause", None) or error from None
        except self._ray.exceptions.RayError as error:
            if not is_lost(error):
                raise
            self._replace(member, error)
            return None if task.kind == "hello" else Ended(task, lost=error)
        if task.kind == "hello":
            member.ready = True
            return None
        self._losses = 0
        return Ended(task, result)

    def _hire(self) -> None:
        self._hired = time.monotonic()
        member = Member(self._kind.remote(self.duty))
        self.members.append(member)
        self._note(member, Task(member, "hello"))

    def _note(self, member: Member, task: Task, *arguments: Any) -> None:
        self._tasks[getattr(member.actor, task.kind).remote(*arguments)] = task
        member.tasks += 1

    def _replace(self, member: Member, error: BaseException) -> None:
        if member not in self.members:
            return
        self.members.remove(member)
        self._ray.kill(member.actor)
        self._losses += 1
        if self._losses > 3 * self.count + 3:
            said = " ".join(str(error).split())[:300].rstrip(". ")
            raise OutputError(
                f"Workers end as soon as they begin ({said}). rlfn has to be installed on every machine, with memory "
                f"for {self.count} workers; try fewer of them, with {setting('workers')}."
            )
        self._hire()
