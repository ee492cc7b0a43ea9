"""Where the files of jobs lie: on this machine, as far as this module goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from rlfn.atomic import check_path, make_folder
from rlfn.errors import OutputError, RlfnError
from rlfn.images.files import picture_size
from rlfn.images.formats import HEAD_BYTES, sniff
from rlfn.images.reading import PictureSource
from rlfn.jobs.plan import Job

Encode = Callable[[Any], tuple[str, ...]]
"""Writes a picture to a path or a binary stream, and returns warnings."""


class JobFiles(Protocol):
    """Reads what jobs begin with and keeps what they end with. Several threads use it."""

    def begin(self) -> None:
        """Begin a run of jobs."""
        ...

    def exists(self, job: Job) -> bool:
        """Tell whether a job's output is there."""
        ...

    def pixels(self, job: Job) -> int | None:
        """Return the pixels of a job's picture, None where that is not known before it is read."""
        ...

    def check(self, job: Job) -> None:
        """Refuse, before any work, an output that cannot be written."""
        ...

    def source(self, job: Job) -> PictureSource:
        """Return the path of a job's picture, or its bytes."""
        ...

    def write(self, job: Job, encode: Encode, *, keep_dates: bool) -> tuple[str, ...]:
        """Have the output written whole or not at all, and return the warnings."""
        ...


class LocalFiles:
    """Files of this machine, and the standard streams.

    It makes the folders of a run's outputs once: one that vanishes later took results with it.
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
            return None  # reading the picture will say what is wrong with it
        return width * height

    def check(self, job: Job) -> None:
        """See :class:`JobFiles`."""
        if job.target is not None:
            check_path(job.target)

    def source(self, job: Job) -> PictureSource:
        """See :class:`JobFiles`."""
        return _standard_input() if job.source is None else job.source

    def write(self, job: Job, encode: Encode, *, keep_dates: bool) -> tuple[str, ...]:
        """See :class:`JobFiles`."""
        if job.target is None:
            stream: BinaryIO = sys.stdout.buffer
            return encode(stream)
        self._make(job.target.parent)
        warnings = encode(job.target)
        if keep_dates and job.source is not None:
            facts = job.source.stat()
            os.utime(job.target, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        return warnings

    def _make(self, folder: Path) -> None:
        if folder in self._made and not folder.is_dir():
            raise OutputError(f"The folder {folder} was removed during the job, with the results in it. Run again.")
        make_folder(folder)
        self._made.add(folder)


def _standard_input() -> bytes:
    """Return all of standard input; what is no picture is refused by its first bytes, as it may be endless."""
    head = sys.stdin.buffer.read(HEAD_BYTES)
    sniff(head, "Standard input")
    return head + sys.stdin.buffer.read()
