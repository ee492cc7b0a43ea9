"""Pictures that arrive in a folder, each once it is whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

from rlfn.errors import MissingExtraError
from rlfn.jobs.finding import folder_content
from rlfn.jobs.plan import Job
from rlfn.jobs.record import Record

_LOOK = 0.25
"""Seconds between two looks at files that are still being written."""

_Stamp = tuple[int, int]
"""A file's size and time of change."""


class OwnOutputs:
    """The outputs that a watch wrote, which it may replace when their inputs change."""

    def __init__(self) -> None:
        self._written: dict[Path, _Stamp] = {}

    def job(self, job: Job) -> Job:
        """Return the job, which replaces its output if nobody else has changed that."""
        written = None if job.target is None else self._written.get(job.target)
        if job.target is None or written is None or written != _stamp(job.target):
            return job
        return replace(job, overwrite=True)

    def note(self, job: Job, record: Record) -> None:
        """Remember the output of a job that is done."""
        stamp = _stamp(job.target) if job.target is not None and record.status == "done" else None
        if job.target is not None and stamp is not None:
            self._written[job.target] = stamp


def _stamp(path: Path) -> _Stamp | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


def arrivals(folder: Path, *, recursive: bool, settle: float = 1.0, stop: Event | None = None) -> Iterator[list[Path]]:
    """Yield pictures that come into a folder or change there, until ``stop`` is set.

    Args:
        folder: where they arrive; what lies in it at the start is yielded first.
        recursive: look into sub-folders too.
        settle: a file counts as whole when neither its size nor its time of change moved for so many seconds.
        stop: ends the watch.

    Raises:
        MissingExtraError: watchfiles is not installed.
        PictureError: the folder cannot be read.
    """
    given: dict[Path, _Stamp] = {}
    moving: dict[Path, tuple[_Stamp, float]] = {}
    ended = stop or Event()
    with _changes(folder, recursive=recursive) as changed:
        settled = _settled(folder, recursive, given, moving, settle=0.0)
        while True:
            if settled:
                yield settled
            if ended.is_set():
                return
            # the stamp alone shows whether a file still changes
            settled = _settled(folder, recursive, given, moving, settle) if changed() or moving else []


@contextmanager
def _changes(folder: Path, *, recursive: bool) -> Iterator[Callable[[], bool]]:
    """Provide a function that waits up to :data:`_LOOK` seconds and returns whether a folder's content changed.

    watchfiles runs in a thread of its own: in the main thread it raises KeyboardInterrupt for every signal, whatever
    the signal's handler raises.
    """
    try:
        from watchfiles import watch
    except ImportError:
        raise MissingExtraError("Watching a folder", "watch") from None
    stop, changed, errors = Event(), Event(), list[Exception]()

    def look() -> None:
        started = False
        try:
            for changes in watch(
                folder, recursive=recursive, stop_event=stop, rust_timeout=round(_LOOK * 1000), yield_on_timeout=True
            ):
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
