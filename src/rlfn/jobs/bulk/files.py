"""The files of a batch in stores; their sizes and hashes are recorded."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from threading import Lock

from rlfn.errors import RlfnError
from rlfn.images.files import Picture, picture_size, read_picture
from rlfn.jobs.bulk.pending import BulkEntry
from rlfn.jobs.bulk.stores import Store, read_location
from rlfn.jobs.files import Encode, JobFiles
from rlfn.jobs.plan import Job


@dataclass(frozen=True)
class StoreJob(Job):
    """A job whose paths are only names: the entry holds the locations of the files."""

    entry: BulkEntry


class OversizedPicture(Exception):  # noqa: N818 - it never leaves the worker
    """A picture has to be split among several workers."""


class BudgetExhausted(Exception):  # noqa: N818 - it never leaves the worker
    """The budget is used up."""


@dataclass
class FileFacts:
    """Sizes and hashes of a job's files."""

    input_bytes: int = 0
    input_sha256: str = ""
    output_bytes: int = 0
    output_sha256: str = ""


class StoreFiles(JobFiles):
    """Files of jobs in stores; records their sizes and hashes, and counts the pixels that were read.

    Args:
        output: the store for results.
        oversized_pixels: number of pixels from which a picture is refused; None for no limit.
        budget: total number of pixels after which further pictures are refused; None for no limit.
    """

    def __init__(self, output: Store, oversized_pixels: int | None = None, budget: int | None = None) -> None:
        self.facts: dict[str, FileFacts] = {}
        self._output = output
        self._oversized_pixels, self._budget = oversized_pixels, budget
        self._spent = 0
        self._lock = Lock()

    def read(self, job: Job, max_pixels: int | None) -> Picture:
        """See :class:`rlfn.jobs.files.JobFiles`."""
        assert isinstance(job, StoreJob)
        path = job.entry.path
        if self._budget is not None and self._spent >= self._budget:
            raise BudgetExhausted
        data = read_location(path)
        try:
            width, height = picture_size(data, max_pixels=max_pixels)
        except RlfnError:
            width = height = 0  # reading the picture reports the error, also that it has too many pixels
        if self._oversized_pixels is not None and width * height >= self._oversized_pixels:
            raise OversizedPicture
        with self._lock:
            self._spent += width * height
            self.facts[job.entry.key] = FileFacts(len(data), sha256_of(data))
        return read_picture(data, max_pixels=max_pixels, name=f"'{path}'")

    def write(self, job: Job, encode: Encode, *, keep_dates: bool) -> tuple[str, ...]:
        """See :class:`rlfn.jobs.files.JobFiles`."""
        assert isinstance(job, StoreJob)
        stream = io.BytesIO()
        warnings = encode(stream)
        data = stream.getvalue()
        self._output.put(job.entry.output, data)
        facts = self.facts[job.entry.key]
        facts.output_bytes, facts.output_sha256 = len(data), sha256_of(data)
        return warnings


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
