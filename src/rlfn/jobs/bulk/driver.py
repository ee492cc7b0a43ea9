"""Runs a bulk job: schedules the work and keeps the manifest; the workers move the pictures from store to store."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rlfn.errors import OptionError, OutputError
from rlfn.jobs.bulk.file_systems import UnreachableError
from rlfn.jobs.bulk.locations import protocol_of
from rlfn.jobs.bulk.manifest import Manifest, PictureRow, import_arrow
from rlfn.jobs.bulk.pending import BulkEntry, PendingWork, resolve_settings
from rlfn.jobs.bulk.ray_cluster import ClusterOptions, cluster, import_ray
from rlfn.jobs.bulk.ray_workers import WorkerPool
from rlfn.jobs.bulk.scheduler import Scheduler
from rlfn.jobs.bulk.sources import find_pictures, is_text
from rlfn.jobs.bulk.stores import Store
from rlfn.jobs.bulk.worker import WorkerConfig, failed_row
from rlfn.jobs.record import Settings
from rlfn.jobs.walking import UnreadableEntry
from rlfn.wording import setting

if TYPE_CHECKING:
    import pyarrow as pa

OVERSIZED_PIXELS = 16_000_000
"""Number of pixels from which a picture is split among several workers."""

MANIFEST = "_manifest"
"""The folder in the destination that holds the manifest."""


@dataclass(frozen=True)
class BulkRequest:
    """A bulk job.

    Attributes:
        source: see :func:`rlfn.jobs.bulk.sources.find_pictures`.
        output: the folder or URL where results go.
        settings: how pictures are treated; ``overwrite`` also redoes finished ones.
        cluster: the Ray cluster and its workers.
        manifest: its folder; None for one in the output.
        keep_suffix: keep the inputs' suffixes in the names.
        verify: read finished pictures again and compare them with the manifest.
        oversized_pixels: see :data:`OVERSIZED_PIXELS`.
    """

    source: str | Sequence[str]
    output: str
    settings: Settings = field(default_factory=Settings)
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    manifest: str | None = None
    keep_suffix: bool = False
    verify: bool = False
    oversized_pixels: int = OVERSIZED_PIXELS


@dataclass
class BulkProgress:
    """The progress of a run.

    Attributes:
        total: pictures in the source.
        skipped: pictures finished by an earlier run.
        done, failed: pictures of this run.
        pixels: input pixels of this run.
        workers: number of workers that are ready.
    """

    total: int = 0
    skipped: int = 0
    done: int = 0
    failed: int = 0
    pixels: int = 0
    workers: int = 0


class BulkRun:
    """One run: the constructor checks everything, :meth:`rows` does the work.

    Raises:
        OptionError, ModelError, MissingExtraError, PictureError, OutputError: there is nothing to do, or it cannot
            be done.
    """

    def __init__(self, request: BulkRequest) -> None:
        self.request = request
        import_ray()
        import_arrow()
        if request.settings.keep_dates:
            raise OptionError(f"{setting('keep_dates')} is for folders of this machine. Leave it out.")
        for location in (request.source, request.output, request.manifest):
            _check_shared(location)
        self._output = Store(request.output)
        self.found = find_pictures(request.source, self._output)
        enlarge = replace(request.settings.enlarge, threads=request.cluster.threads)
        settings = resolve_settings(replace(request.settings, enlarge=enlarge), self.found.options)
        self._work = PendingWork(self.found, settings, self._output, keep_suffix=request.keep_suffix)
        self.manifest = Manifest(Store(request.manifest or self._output.display_path(self._output.path(MANIFEST))))
        self._skip_done()
        digests, threads = tuple(self._work.digests), request.cluster.threads
        self._config = WorkerConfig(tuple(settings), digests, request.output, request.oversized_pixels, threads)
        self.progress = BulkProgress(len(self._work.table))

    def _skip_done(self) -> None:
        """Skip what an earlier run has finished."""
        if self.request.settings.overwrite:
            return
        sizes, unreadable = _sizes(self._output)
        self._check_readable(unreadable)
        self._work.skip_done(self.manifest.read(), sizes)
        unknown = self._work.unrecorded(sizes)
        if len(unknown):  # a killed run may have written outputs without rows
            compute = import_arrow().compute
            unknown = unknown.filter(compute.invert(compute.is_in(unknown, self.manifest.planned())))
        if len(unknown):
            raise OutputError(
                f"{self._output.location} holds {len(unknown)} files that results would replace, for example "
                f"{unknown[0]}, and no manifest that lists them. Name another folder, move them away, or replace them "
                f"with {setting('overwrite')}."
            )

    def _check_readable(self, unreadable: Sequence[UnreadableEntry]) -> None:
        """Check that no result belongs in a folder that cannot be listed."""
        compute = import_arrow().compute
        for folder in unreadable:
            inside = compute.starts_with(self._work.outputs(), f"{folder.path}/")
            if compute.any(inside).as_py():
                raise OutputError(f"{folder.error} Results belong in it.")

    def skipped(self) -> Iterator[BulkEntry]:
        """Yield the pictures that an earlier run has finished."""
        return self._work.entries(self._work.done)

    def rows(self) -> Generator[PictureRow, None, None]:
        """Do the work and yield a row for each picture as it finishes.

        Closing the generator ends the run; finished pictures are kept, and the next run resumes from there.

        Raises:
            UnreachableError: a store stopped answering.
            OutputError: the manifest cannot be written, or workers keep crashing.
        """
        self.manifest.begin(self._work.outputs())
        work, progress = self._work, self.progress
        for index, error in work.rejected.items():
            row = self._record(failed_row(work.rejected_entry(index), "", error.template))
            yield row
        if not self.request.verify:
            progress.skipped = len(work.done)
        scheduler = Scheduler(work, self._config, verify=self.request.verify)
        if scheduler.left:
            try:
                with cluster(self.request.cluster) as capacity:
                    pool = WorkerPool(
                        self._config, min(capacity, scheduler.useful_workers), self.request.cluster.threads
                    )
                    yield from self._run(scheduler, pool)
            finally:
                self.manifest.flush()
        self.manifest.compact()

    def _run(self, scheduler: Scheduler, pool: WorkerPool) -> Generator[PictureRow, None, None]:
        meters = _Meters()
        unreachable_in_a_row = 0
        while scheduler.left or pool.busy:
            scheduler.assign(pool)
            for result in pool.wait(1.0):
                outcome = scheduler.finish(result)
                self.progress.skipped += outcome.verified
                for row in outcome.rows:
                    meters.count(row)
                    yield self._record(row)
                reached = any(row.status == "done" for row in outcome.rows)
                unreachable_in_a_row = 0 if reached else unreachable_in_a_row + len(outcome.unreachable)
                if unreachable_in_a_row >= max(8, 2 * pool.count):
                    raise UnreachableError(str(outcome.rows[-1].error))
            self.progress.workers = sum(one.ready for one in pool.workers)
            meters.left(self.progress.total - self.progress.skipped - self.progress.done - self.progress.failed)
            if self.manifest.due():
                self.manifest.flush()

    def _record(self, row: PictureRow) -> PictureRow:
        self.manifest.add(row)
        if row.status == "done":
            self.progress.done += 1
        else:
            self.progress.failed += 1
        self.progress.pixels += row.pixels
        return row


class _Meters:
    """Metrics for Ray's dashboard and Prometheus."""

    def __init__(self) -> None:
        import_ray()
        from ray.util import metrics

        self._pictures = metrics.Counter("rlfn_pictures", "Pictures by status.", ("status",))
        self._pixels = metrics.Counter("rlfn_input_pixels", "Input pixels of finished pictures.")
        self._left = metrics.Gauge("rlfn_pictures_left", "Pictures that are not finished.")

    def count(self, row: PictureRow) -> None:
        """Count a picture."""
        self._pictures.inc(1, {"status": row.status})
        if row.pixels:
            self._pixels.inc(row.pixels)

    def left(self, count: int) -> None:
        """Set the number of unfinished pictures."""
        self._left.set(count)


def _check_shared(location: str | Sequence[str] | None) -> None:
    if isinstance(location, str) and protocol_of(location) == "memory":
        raise OptionError(
            f"{location} is in the memory of one process, and bulk processing uses several. Name a folder or a bucket."
        )


def _sizes(store: Store) -> tuple[pa.Table, list[UnreadableEntry]]:
    """Return ``name`` and ``bytes`` of the files in the destination, and its folders that cannot be listed.

    Files that cannot be accessed, such as broken links, have -1 bytes.
    """
    arrow = import_arrow()
    unreadable: list[UnreadableEntry] = []
    names, sizes = [], []
    for found in store.files(unreadable.append):
        if is_text(found.name):  # no result has another name
            names.append(found.name)
            sizes.append(found.size)
    for entry in unreadable:
        if is_text(entry.path) and not entry.is_folder:
            names.append(entry.path)
            sizes.append(-1)
    table = arrow.table({"name": arrow.array(names, arrow.string()), "bytes": arrow.array(sizes, arrow.int64())})
    return table, [entry for entry in unreadable if is_text(entry.path) and entry.is_folder]
