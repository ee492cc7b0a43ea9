"""The files of jobs: the interface, and its implementation for local files."""

from __future__ import annotations

import os
import sys
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from rlfn.atomic import check_path, make_folder
from rlfn.errors import OutputError, RlfnError
from rlfn.images.files import Picture, picture_size, read_picture
from rlfn.images.formats import HEAD_BYTES, sniff
from rlfn.jobs.plan import Job

Encode = Callable[[Any], tuple[str, ...]]
"""Writes a picture to a path or a binary stream, and returns warnings."""

_STANDARD_INPUT = "Standard input"


class JobFiles(Protocol):
    """Reads the inputs of jobs and writes their outputs. Must be thread-safe."""

    def begin(self) -> None:
        """Begin a run of jobs."""
        return

    def exists(self, job: Job) -> bool:
        """Return whether a job's output exists."""
        return False

    def pixels(self, job: Job) -> int | None:
        """Return the pixels of a job's picture; None if they are unknown before it is read."""
        return None

    @abstractmethod
    def read(self, job: Job, max_pixels: int | None) -> Picture:
        """Read a job's picture, see :func:`rlfn.images.files.read_picture`.

        Raises:
            OutputError: the output cannot be written.
        """

    @abstractmethod
    def write(self, job: Job, encode: Encode, *, keep_dates: bool) -> tuple[str, ...]:
        """Write the output atomically with ``encode`` and return the warnings."""


class LocalFiles(JobFiles):
    """Local files and the standard streams.

    Each output folder of a run is created once. One that disappears later is an error, since its results are lost.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """See :class:`JobFiles`."""
        self._made: set[Path] = set()

    def exists(self, job: Job) -> bool:
        """See :class:`JobFiles`."""
        return job.target is not None and os.path.isfile(job.target)

    def pixels(self, job: Job) -> int | None:
        """See :class:`JobFiles`."""
        if job.source is None or not os.path.isfile(job.source):
            return None  # a pipe can be read only once
        try:
            width, height = picture_size(job.source)
        except RlfnError:
            return None  # reading the picture reports the error
        return width * height

    def read(self, job: Job, max_pixels: int | None) -> Picture:
        """See :class:`JobFiles`."""
        if job.target is not None:
            check_path(job.target)
        source = _standard_input() if job.source is None else job.source
        return read_picture(source, max_pixels=max_pixels, name=_STANDARD_INPUT)

    def write(self, job: Job, encode: Encode, *, keep_dates: bool) -> tuple[str, ...]:
        """See :class:`JobFiles`."""
        if job.target is None:
            stream: BinaryIO = sys.stdout.buffer
            return encode(stream)
        folder = job.target.parent
        self._make(folder)
        try:
            warnings = encode(job.target)
        except OutputError as error:
            if not folder.is_dir():
                raise _removed(folder) from error
            raise
        if keep_dates and job.source is not None:
            copy_dates(job.source, job.target)
        return warnings

    def _make(self, folder: Path) -> None:
        if folder not in self._made:
            make_folder(folder)
            self._made.add(folder)
        elif not folder.is_dir():  # never made again: it may be removed between a check and the making
            raise _removed(folder)


def copy_dates(source: Path, target: Path) -> None:
    """Give an output the access and modification times of its input."""
    facts = source.stat()
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def _removed(folder: Path) -> OutputError:
    return OutputError(f"The folder {folder} was removed during the job, with the results in it. Run again.")


def _standard_input() -> bytes:
    """Return all of standard input; it may be endless, so the first bytes are checked for a picture before."""
    head = sys.stdin.buffer.read(HEAD_BYTES)
    sniff(head, _STANDARD_INPUT)
    return head + sys.stdin.buffer.read()
