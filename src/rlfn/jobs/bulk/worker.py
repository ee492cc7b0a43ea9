"""The work of one process: pictures from a store to a store, by the same batch that runs folders."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rlfn.errors import RlfnError
from rlfn.images.files import check_writable_size, read_picture, write_picture
from rlfn.inference.enlarge import UpscalerPool
from rlfn.inference.parts import Computed, ImagePart
from rlfn.inference.upscaler import Upscaler
from rlfn.jobs.batch import Batch
from rlfn.jobs.bulk.files import BudgetSpent, FileFacts, GiantPicture, StoreFiles, StoreJob, sha256_of
from rlfn.jobs.bulk.manifest import PictureRow
from rlfn.jobs.bulk.scatter import Helper, Scatter
from rlfn.jobs.bulk.stores import Store, UnreachableError, read_place
from rlfn.jobs.bulk.todo import BulkEntry
from rlfn.jobs.plan import Job
from rlfn.jobs.record import Record, Settings

_SENT = 16 << 20
"""So many bytes of results are sent at a time."""


@dataclass(frozen=True)
class Duty:
    """What all workers of a run are told.

    Attributes:
        settings: how pictures are treated; an entry names one of them.
        digests: a hash of each.
        output: where results go.
        giant: pictures of at least so many pixels are handed back, to be computed by several workers.
        threads: of each worker.
    """

    settings: tuple[Settings, ...]
    digests: tuple[str, ...]
    output: str
    giant: int
    threads: int = 1


@dataclass
class Outcome:
    """What became of some entries.

    Attributes:
        rows: of those that were tried.
        unreachable: the keys of those that failed because a store did not answer.
        left: those for which the budget was not enough.
        giants: those that are for several workers.
    """

    rows: list[PictureRow] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    left: list[BulkEntry] = field(default_factory=list)
    giants: list[BulkEntry] = field(default_factory=list)


class BulkWorker:
    """Upscales what it is given; models are loaded once.

    Args:
        duty: see :class:`Duty`.
    """

    def __init__(self, duty: Duty) -> None:
        self._duty = duty
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._output = Store(duty.output)
        self._pool = UpscalerPool()
        self._sent: dict[bytes, Upscaler] = {}

    def hello(self) -> int:
        """Return the process's id, once it is ready for work."""
        return os.getpid()

    def run(self, entries: Sequence[BulkEntry], budget: int) -> Outcome:
        """Upscale pictures with the same settings until ``budget`` input pixels are used up, one at least."""
        outcome = Outcome()
        duty, kind = self._duty, entries[0].options
        files = StoreFiles(self._output, duty.giant, budget, duty.settings[kind].max_pixels)
        jobs: list[Job] = [StoreJob(Path(entry.key), Path(entry.output), entry) for entry in entries]
        far = not self._output.local
        batch = Batch(
            duty.settings[kind], None, self._pool, files=files, ahead=4 if far else 2, writers=4 if far else 2
        )
        for entry, record in zip(entries, batch.run(jobs), strict=True):
            if isinstance(record.cause, BudgetSpent):
                outcome.left.append(entry)
            elif isinstance(record.cause, GiantPicture):
                outcome.giants.append(entry)
            else:
                if isinstance(record.cause, UnreachableError):
                    outcome.unreachable.append(entry.key)
                outcome.rows.append(self._row(entry, record, files.facts.pop(entry.key, FileFacts())))
        return outcome

    def check(self, entries: Sequence[BulkEntry]) -> list[BulkEntry]:
        """Return those whose input or output is not what the manifest says."""
        return [entry for entry in entries if not self._is_sound(entry)]

    def run_giant(self, entry: BulkEntry, helpers: Sequence[Helper], lost: Callable[[BaseException], bool]) -> Outcome:
        """Upscale one picture whose parts the helpers compute, and this process too."""
        outcome = Outcome()
        duty, facts = self._duty, FileFacts()
        settings = duty.settings[entry.options]
        record = Record(entry.key, entry.output, "failed")
        files = StoreFiles(self._output, None, None, settings.max_pixels)
        job = StoreJob(Path(entry.key), Path(entry.output), entry)
        try:
            record = self._enlarged(job, files, settings, record, helpers, lost)
            facts = files.facts.pop(entry.key)
        except Exception as error:  # as in a batch: what happens to a picture is a record
            record = record.failed(error)
            if isinstance(error, UnreachableError):
                outcome.unreachable.append(entry.key)
        outcome.rows.append(self._row(entry, record, facts))
        return outcome

    def compute(self, upscaler: bytes, part: ImagePart) -> Iterator[list[Computed]]:
        """Compute a part of another worker's picture with a pickled upscaler, and yield results as they are ready."""
        name = hashlib.sha256(upscaler).digest()
        if name not in self._sent:
            self._sent.clear()
            self._sent[name] = pickle.loads(upscaler)
        ready: list[Computed] = []
        for computed in self._sent[name].compute(part):
            ready.append(computed)
            if sum(each.nbytes for _, each in ready) >= _SENT:
                yield ready
                ready = []
        yield ready

    def _enlarged(
        self,
        job: StoreJob,
        files: StoreFiles,
        settings: Settings,
        record: Record,
        helpers: Sequence[Helper],
        lost: Callable[[BaseException], bool],
    ) -> Record:
        began = time.perf_counter()
        enlarger = Batch(settings, None, self._pool).enlarger
        format = settings.format or "png"
        picture = read_picture(files.source(job), max_pixels=settings.max_pixels)
        check_writable_size(format, *enlarger.size(picture.width, picture.height))
        plan = enlarger.plan(picture.pixels, picture.coding)
        blob = pickle.dumps(plan.upscaler)
        upscaler = plan.upscaler

        def bound(helper: Callable[[bytes, ImagePart], Iterator[Computed]]) -> Helper:
            return lambda part: helper(blob, part)

        scatter = Scatter([upscaler.compute, *(bound(one) for one in helpers)], lost)  # type: ignore[arg-type]
        started = time.perf_counter()
        made = enlarger(picture.pixels, None, picture.coding, replace(plan, run=scatter))
        took = time.perf_counter() - started
        result = replace(picture, pixels=made.image)
        warnings = files.write(
            job,
            lambda target: write_picture(result, target, format=format, quality=settings.quality),
            keep_dates=False,
        )
        return replace(
            record.made_by(made),
            status="done",
            input_size=(picture.width, picture.height),
            output_size=(result.width, result.height),
            seconds=time.perf_counter() - began,
            engine_seconds=took,
            warnings=(*picture.warnings, *made.warnings, *warnings),
        )

    def _is_sound(self, entry: BulkEntry) -> bool:
        try:
            made = self._output.read(self._output.path(entry.output))
            given = read_place(entry.path)
        except RlfnError:
            return False
        return sha256_of(made) == entry.output_sha256 and sha256_of(given) == entry.input_sha256

    def _row(self, entry: BulkEntry, record: Record, facts: FileFacts) -> PictureRow:
        # a batch names files of this machine; here it was given their bytes
        error = (record.error or "").replace("The given data", f"'{entry.path}'")
        wide, high = record.input_size or (0, 0)
        out_wide, out_high = record.output_size or (0, 0)
        return PictureRow(
            entry.key,
            entry.path,
            entry.output,
            record.status,
            entry.attempts + 1,
            error.replace("the given data", f"'{entry.path}'"),
            facts.input_bytes,
            entry.stamp,
            facts.input_sha256,
            wide,
            high,
            out_wide,
            out_high,
            facts.output_bytes if record.status == "done" else 0,
            facts.output_sha256 if record.status == "done" else "",
            self._duty.digests[entry.options],
            record.model or "",
            record.engine or "",
            record.precision or "",
            record.restore or 0.0,
            "; ".join(record.warnings),
            round(record.seconds, 4),
            round(record.engine_seconds, 4),
            self._name,
            round(time.time(), 3),
        )


def failed_row(entry: BulkEntry, digest: str, error: str) -> PictureRow:
    """Return the row of a picture that failed before a worker had it."""
    return PictureRow(
        entry.key,
        entry.path,
        entry.output,
        "failed",
        entry.attempts + 1,
        error,
        input_stamp=entry.stamp,
        settings=digest,
        finished=round(time.time(), 3),
    )
