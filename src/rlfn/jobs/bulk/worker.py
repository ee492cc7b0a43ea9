"""The work of one process: pictures from store to store, by the same batch code that processes folders."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from rlfn.errors import RlfnError
from rlfn.images.files import Picture
from rlfn.inference.enlarge import EnlargePlan, Enlarger
from rlfn.inference.part_upscaler import PartUpscaler
from rlfn.inference.parts import Computed, ImagePart
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.batch import Batch
from rlfn.jobs.bulk.file_systems import UnreachableError
from rlfn.jobs.bulk.files import BudgetExhausted, FileFacts, OversizedPicture, StoreFiles, StoreJob, sha256_of
from rlfn.jobs.bulk.manifest import PictureRow
from rlfn.jobs.bulk.part_dispatch import PartDispatcher
from rlfn.jobs.bulk.pending import BulkEntry
from rlfn.jobs.bulk.stores import Store, read_location
from rlfn.jobs.picture import Planner
from rlfn.jobs.plan import Job
from rlfn.jobs.record import Record, Settings

RemoteHelper = Callable[[bytes, ImagePart], Iterator[Computed]]
"""Computes a part with a pickled upscaler in another process."""

_CHUNK_BYTES = 16 << 20
"""Size of the chunks in which results are sent."""


@dataclass(frozen=True)
class WorkerConfig:
    """The configuration of all workers of a run.

    Attributes:
        settings: how pictures are treated; each entry refers to one of them.
        digests: a hash of each.
        output: where results go.
        oversized_pixels: number of pixels from which a picture is returned, to be split among several workers.
        threads: threads of each worker.
    """

    settings: tuple[Settings, ...]
    digests: tuple[str, ...]
    output: str
    oversized_pixels: int
    threads: int = 1


@dataclass
class Outcome:
    """The outcome of a batch.

    Attributes:
        rows: rows of the pictures that were tried.
        unreachable: keys of the pictures that failed because a store did not answer.
        deferred: entries that exceeded the budget.
        oversized: entries to be split among several workers.
    """

    rows: list[PictureRow] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    deferred: list[BulkEntry] = field(default_factory=list)
    oversized: list[BulkEntry] = field(default_factory=list)


class BulkWorker:
    """Upscales pictures; models are loaded once.

    Args:
        config: see :class:`WorkerConfig`.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._output = Store(config.output)
        self._pool = UpscalerPool()
        self._received: dict[bytes, PartUpscaler] = {}

    def ping(self) -> int:
        """Return the process's id once it is ready."""
        return os.getpid()

    def run(self, entries: Sequence[BulkEntry], budget: int) -> Outcome:
        """Upscale pictures with the same settings until ``budget`` input pixels are used up, but at least one."""
        return self._upscale(entries, StoreFiles(self._output, self._config.oversized_pixels, budget))

    def check(self, entries: Sequence[BulkEntry]) -> list[BulkEntry]:
        """Return the entries whose input or output does not match the manifest."""
        return [entry for entry in entries if not self._is_valid(entry)]

    def run_with_helpers(
        self, entry: BulkEntry, helpers: Sequence[RemoteHelper], is_lost: Callable[[BaseException], bool]
    ) -> Outcome:
        """Upscale one picture whose parts are computed by the helpers and this process."""

        def plan(enlarger: Enlarger, picture: Picture) -> EnlargePlan:
            own = enlarger.plan(picture.pixels, picture.coding)
            blob = pickle.dumps(own.upscaler)
            dispatcher = PartDispatcher([own.upscaler.compute, *(partial(one, blob) for one in helpers)], is_lost)
            return replace(own, run=dispatcher)

        return self._upscale([entry], StoreFiles(self._output), plan)

    def compute(self, upscaler: bytes, part: ImagePart) -> Iterator[list[Computed]]:
        """Compute a part of another worker's picture with a pickled upscaler, and yield results as they are ready."""
        name = hashlib.sha256(upscaler).digest()
        if name not in self._received:
            self._received.clear()
            self._received[name] = pickle.loads(upscaler)
        ready: list[Computed] = []
        for computed in self._received[name].compute(part):
            ready.append(computed)
            if sum(each.nbytes for _, each in ready) >= _CHUNK_BYTES:
                yield ready
                ready = []
        yield ready

    def _upscale(self, entries: Sequence[BulkEntry], files: StoreFiles, plan: Planner | None = None) -> Outcome:
        outcome = Outcome()
        jobs: list[Job] = [StoreJob(Path(entry.key), Path(entry.output), entry) for entry in entries]
        threads = 2 if self._output.local else 4
        batch = Batch(
            self._config.settings[entries[0].options],
            pool=self._pool,
            files=files,
            plan=plan,
            ahead=threads,
            writers=threads,
        )
        for entry, record in zip(entries, batch.run(jobs), strict=True):
            if isinstance(record.cause, BudgetExhausted):
                outcome.deferred.append(entry)
            elif isinstance(record.cause, OversizedPicture):
                outcome.oversized.append(entry)
            else:
                if isinstance(record.cause, UnreachableError):
                    outcome.unreachable.append(entry.key)
                outcome.rows.append(self._row(entry, record, files.facts.pop(entry.key, FileFacts())))
        return outcome

    def _is_valid(self, entry: BulkEntry) -> bool:
        try:
            made = self._output.read(self._output.path(entry.output))
            given = read_location(entry.path)
        except RlfnError:
            return False
        return sha256_of(made) == entry.output_sha256 and sha256_of(given) == entry.input_sha256

    def _row(self, entry: BulkEntry, record: Record, facts: FileFacts) -> PictureRow:
        return PictureRow(
            **vars(replace(record, input=entry.path, output=entry.output, cause=None)),
            **vars(facts),
            key=entry.key,
            attempts=entry.attempts + 1,
            input_stamp=entry.stamp,
            settings=self._config.digests[entry.options],
            worker=self._name,
            finished=time.time(),
        )


def failed_row(entry: BulkEntry, digest: str, error: str) -> PictureRow:
    """Return the row of a picture that failed before a worker processed it."""
    return PictureRow(
        entry.path,
        entry.output,
        "failed",
        error=error,
        key=entry.key,
        attempts=entry.attempts + 1,
        input_stamp=entry.stamp,
        settings=digest,
        finished=time.time(),
    )
