"""Pictures that arrive in a folder, each once it is whole."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

from rlfn.errors import MissingExtraError
from rlfn.jobs.finding import folder_content

_LOOK = 0.25
"""Seconds between two looks at files that are still being written."""

_Stamp = tuple[int, int]
"""A file's size and time of change."""


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
    try:
        from watchfiles import watch
    except ImportError:
        raise MissingExtraError("Watching a folder", "watch") from None
    given: dict[Path, _Stamp] = {}
    moving: dict[Path, tuple[_Stamp, float]] = {}
    ended = stop or Event()
    changes = watch(
        folder,
        recursive=recursive,
        stop_event=ended,
        rust_timeout=round(_LOOK * 1000),
        yield_on_timeout=True,
        raise_interrupt=True,
    )
    settled = _settled(folder, recursive, given, moving, settle=0.0)
    missed = True  # what came between the first look and the watch's beginning
    while True:
        if settled:
            yield settled
        if ended.is_set():
            return
        try:
            changed = next(changes)
        except StopIteration:
            return
        # what still moves tells of itself only by its stamp
        settled = _settled(folder, recursive, given, moving, settle) if changed or moving or missed else []
        missed = False


def _settled(
    folder: Path, recursive: bool, given: dict[Path, _Stamp], moving: dict[Path, tuple[_Stamp, float]], settle: float
) -> list[Path]:
    """Return the pictures that are whole and new, and note those that still move."""
    now, found = time.monotonic(), []
    for path in folder_content(folder, recursive=recursive).pictures:
        try:
            facts = path.stat()
        except OSError:
            continue
        stamp = (facts.st_size, facts.st_mtime_ns)
        if given.get(path) == stamp:
            moving.pop(path, None)
            continue
        since = moving.get(path, (None, 0.0))
        if since[0] != stamp:
            moving[path] = since = (stamp, now)
        if now - since[1] >= settle and facts.st_size > 0:
            given[path] = stamp
            del moving[path]
            found.append(path)
    return found
