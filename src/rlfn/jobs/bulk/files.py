"""The files of a batch whose pictures lie in stores: read and put there, with their sizes and hashes noted."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from threading import Lock

from rlfn.errors import RlfnError
from rlfn.images.files import picture_size
from rlfn.images.reading import PictureSource
from rlfn.jobs.bulk.stores import Store, read_place
from rlfn.jobs.bulk.todo import BulkEntry
from rlfn.jobs.files import Encode
from rlfn.jobs.plan import Job


@dataclass(frozen=True)
class StoreJob(Job):
    """A job whose paths are names alone: the entry says where the files lie."""

    entry: BulkEntry


class GiantPicture(Exception):  # noqa: N818 - it never leaves the worker
    """A picture for several workers."""


class BudgetSpent(Exception):  # noqa: N818 - it never leaves the worker
    """The budget is used up."""


@dataclass
class FileFacts:
    """Sizes and hashes of a job's files."""

    input_bytes: int = 0
    input_sha256: str = ""
    output_bytes: int = 0
    output_sha256: str = ""


class StoreFiles:
    """Files of jobs in stores; it notes their sizes and hashes, and counts the pixels that were read.

    Args:
        giant: pictures of at least so many pixels are refused; None for none.
        budget: when so many pixels were read, further pictures are refused; None for no end.
        max_pixels: larger pictures are not looked at here: reading refuses them in its own words.
    """

    def __init__(
        self,
        output: Store,
        giant: int | None,
        budget: int | None,
        max_pixels: int | None,
    ) -> None:
        self.facts: dict[str, FileFacts] = {}
        self._output = output
        self._giant, self._budget, self._max_pixels = giant, budget, max_pixels
        self._spent = 0
        self._lock = Lock()

    def begin(self) -> None:
        """See :class:`rlfn.jobs.files.JobFiles`."""

    def exists(self, job: Job) -> bool:
        """See :class:`rlfn.jobs.files.JobFiles`: whether an output counts was decided before."""
        return False

    def pixels(self, job: Job) -> int | None:
        """See :class:`rlfn.jobs.files.JobFiles`: the engine does not depend on it."""
        return None

    def check(self, job: Job) -> None:
        """See :class:`rlfn.jobs.files.JobFiles`."""

    def source(self, job: Job) -> PictureSource:
        """See :class:`rlfn.jobs.files.JobFiles`."""
        assert isinstance(job, StoreJob)
        path = job.entry.path
        if self._budget is not None and self._spent >= self._budget:
            raise BudgetSpent
        data = read_place(path)
        try:
            width, height = picture_size(data, max_pixels=self._max_pixels)
        except RlfnError:
            width = height = 0  # reading the picture says what is wrong with it
        if self._giant is not None and width * height >= self._giant:
            raise GiantPicture
        with self._lock:
            self._spent += width * height
            self.facts[job.entry.key] = FileFacts(len(data), sha256_of(data))
        return data

    def write(self, job: Job, encode: Encode, *, keep_dates: bool) -> tuple[str, ...]:
        """See :class:`rlfn.jobs.files.JobFiles`."""
        assert isinstance(job, StoreJob)
        stream = io.BytesIO()
        warnings = encode(stream)
        data = stream.getvalue()
        facts = self.facts[job.entry.key]
        facts.output_bytes, facts.output_sha256 = len(data), sha256_of(data)
        self._output.put(job.entry.output, data)
        return warnings


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
