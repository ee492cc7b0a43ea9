"""Pictures that arrive in a folder, each once it is whole."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

from rlfn.errors import MissingExtraError, PictureError
from rlfn.jobs.conflicts import Conflict
from rlfn.jobs.finding import folder_content
from rlfn.jobs.plan import Job, Plan
from rlfn.jobs.record import Record

_LOOK = 0.25
"""Seconds between two looks at files that are still being written."""

_Stamp = tuple[int, int]
"""A file's size and time of change."""


class OwnOutputs:
    """The outputs that a watch wrote, which it may replace when their inputs change."""

    def __init__(self) -> None:
        self._written: dict[Path, tuple[Path | None, _Stamp]] = {}

    def job(self, job: Job) -> Job:
        """Return the job, which replaces its output if that was made from the same input and not changed since."""
        written = None if job.target is None else self._written.get(job.target)
        if job.target is None or written is None or written != (job.source, _stamp(job.target)):
            return job
        return replace(job, overwrite=True)

    def note(self, job: Job, record: Record) -> None:
        """Remember the output of a job that is done."""
        stamp = _stamp(job.target) if job.target is not None and record.status == "done" else None
        if job.target is not None and stamp is not None:
            self._written[job.target] = job.source, stamp


class Waiting:
    """The pictures of a watch that are still to be upscaled, and the conflicts that were already reported."""

    def __init__(self) -> None:
        self.pictures: set[Path] = set()
        self._reported: set[Conflict] = set()

    def add(self, arrived: Iterable[Path]) -> bool:
        """Add pictures and forget those that are gone; return whether any is waiting."""
        self.pictures.update(arrived)
        self.pictures.difference_update([path for path in self.pictures if not os.path.exists(path)])
        self._reported = {conflict for conflict in self._reported if self._jobs(conflict.jobs)}
        return bool(self.pictures)

    def take(self, plan: Plan) -> tuple[list[Job], list[tuple[Conflict, list[Job]]]]:
        """Return the jobs that can run, and each new conflict with the jobs that wait because of it.

        Only the pictures in conflicts keep waiting. A conflict that was resolved and comes back is new.
        """
        ready = self._jobs(plan.jobs)
        held = {conflict: jobs for conflict in plan.conflicts if (jobs := self._jobs(conflict.jobs))}
        new = [(conflict, jobs) for conflict, jobs in held.items() if conflict not in self._reported]
        self._reported = set(held)
        self.pictures.intersection_update([job.source for jobs in held.values() for job in jobs])
        return ready, new

    def _jobs(self, jobs: Iterable[Job]) -> list[Job]:
        return [job for job in jobs if job.source in self.pictures]


def _stamp(path: Path) -> _Stamp | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


def arrivals(
    folder: Path,
    *,
    recursive: bool,
    settle: float = 1.0,
    waiting: Collection[Path] = (),
    stop: Event | None = None,
) -> Iterator[list[Path]]:
    """Yield pictures that come into a folder or change there, until ``stop`` is set.

    Args:
        folder: where they arrive; what lies in it at the start is yielded first.
        recursive: look into sub-folders too.
        settle: a file counts as whole when neither its size nor its time of change moved for so many seconds.
        waiting: pictures that the caller keeps for later. While there are any, an empty list is yielded when something
            else in the folder changes.
        stop: ends the watch.

    Raises:
        MissingExtraError: watchfiles is not installed.
        PictureError: the folder cannot be read, or it was removed, renamed or replaced during the watch.
    """
    given: dict[Path, _Stamp] = {}
    moving: dict[Path, tuple[_Stamp, float]] = {}
    ended = stop or Event()
    same = _identity(folder)
    with _changes(folder, recursive=recursive) as changed:
        settled, change = _settled(folder, recursive, given, moving, settle=0.0), False
        while True:
            if settled or (change and waiting):
                yield settled
            if ended.is_set():
                return
            change = changed()
            if _identity(folder) != same:
                raise _lost(folder)
            # the stamp alone shows whether a file still changes
            settled = _settled(folder, recursive, given, moving, settle) if change or moving else []


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return the device and the inode of a folder; None if there is none of that name."""
    try:
        facts = folder.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _lost(folder: Path) -> PictureError:
    return PictureError(
        f"The watched folder {folder} was removed, renamed or replaced. Create it if it is missing, then run again."
    )


@contextmanager
def _changes(folder: Path, *, recursive: bool) -> Iterator[Callable[[], bool]]:
    """Provide a function that waits up to :data:`_LOOK` seconds and returns whether a folder's content changed.

    watchfiles runs in a thread of its own: in the main thread it raises KeyboardInterrupt for every signal, whatever
    the signal's handler raises.
    """
    try:
        from watchfiles import Change, watch
    except ImportError:
        raise MissingExtraError("Watching a folder", "watch") from None
    stop, changed, errors = Event(), Event(), list[Exception]()
    names = {os.path.abspath(folder), os.path.realpath(folder)}

    def look() -> None:
        started = False
        try:
            for changes in watch(
                folder, recursive=recursive, stop_event=stop, rust_timeout=round(_LOOK * 1000), yield_on_timeout=True
            ):
                if any(change is Change.deleted and path in names for change, path in changes):
                    raise _lost(folder)  # a new folder may have got the same inode
                if changes or not started:  # some may have come before the watch began
                    changed.set()
                started = True
        except Exception as error:
            errors.append(error)
            changed.set()

    def wait() -> bool:
        if found := changed.wait(_LOOK):
            changed.clear()
        if errors:
            raise errors[0]
        return found

    thread = Thread(target=look, name="rlfn-watch", daemon=True)
    thread.start()
    try:
        yield wait
    finally:
        stop.set()
        thread.join()


def _settled(
    folder: Path, recursive: bool, given: dict[Path, _Stamp], moving: dict[Path, tuple[_Stamp, float]], settle: float
) -> list[Path]:
    """Return the pictures that are whole and new, note those that still move, and forget those that are gone."""
    now, found, seen = time.monotonic(), [], set()
    for path in folder_content(folder, recursive=recursive).pictures:
        stamp = _stamp(path)
        if stamp is None:
            continue
        seen.add(path)
        if given.get(path) == stamp:
            moving.pop(path, None)
            continue
        since = moving.get(path)
        if since is None or since[0] != stamp:
            moving[path] = since = (stamp, now)
        if now - since[1] < settle:
            continue
        del moving[path]
        if stamp[0] > 0:  # an empty file is noticed again when it gets its content
            given[path] = stamp
            found.append(path)
    for known in (given, moving):
        for path in known.keys() - seen:
            del known[path]
    return found
