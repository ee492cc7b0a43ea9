"""Gives the work out, keeps the manifest, and loses nothing: pictures go from store to store past this process."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rlfn.errors import OptionError, OutputError, setting
from rlfn.jobs.bulk.crew import Crew, Where, cluster, import_ray
from rlfn.jobs.bulk.manifest import Manifest, PictureRow, import_arrow
from rlfn.jobs.bulk.schedule import Work
from rlfn.jobs.bulk.sources import find, is_text
from rlfn.jobs.bulk.stores import Store, UnreachableError
from rlfn.jobs.bulk.todo import BulkEntry, Todo, settings_for
from rlfn.jobs.bulk.worker import Duty, failed_row
from rlfn.jobs.record import Settings

if TYPE_CHECKING:
    import pyarrow as pa

GIANT = 16_000_000
"""Pictures of at least so many pixels are computed by several workers."""

MANIFEST = "_manifest"
"""The folder in the destination that holds the manifest."""


@dataclass(frozen=True)
class BulkRequest:
    """What is to be done.

    Attributes:
        source: see :func:`rlfn.jobs.bulk.sources.find`.
        output: the folder or URL where results go.
        settings: how pictures are treated; ``overwrite`` does those again that are done.
        where: on what.
        manifest: its folder; None for one in the output.
        keep_suffix: keep the inputs' suffixes in the names.
        verify: read again what is done, and compare it with the manifest.
        giant: see :data:`GIANT`.
    """

    source: str | Sequence[str]
    output: str
    settings: Settings = field(default_factory=Settings)
    where: Where = field(default_factory=Where)
    manifest: str | None = None
    keep_suffix: bool = False
    verify: bool = False
    giant: int = GIANT


@dataclass
class Tally:
    """How far a run is.

    Attributes:
        total: pictures of the source.
        skipped: those that an earlier run has done.
        done, failed: those of this run.
        pixels: input pixels of this run's.
        workers: that are ready.
    """

    total: int = 0
    skipped: int = 0
    done: int = 0
    failed: int = 0
    pixels: int = 0
    workers: int = 0


class BulkRun:
    """One run: everything is checked when it is made, and done by :meth:`rows`.

    Raises:
        OptionError, ModelError, MissingExtraError, PictureError, OutputError: there is nothing to do, or it would go
            wrong.
    """

    def __init__(self, request: BulkRequest) -> None:
        self.request = request
        import_ray()
        import_arrow()
        if request.settings.keep_dates:
            raise OptionError(f"{setting('keep_dates')} is for folders of this machine. Leave it out.")
        self._output = Store(request.output)
        self.found = find(request.source, self._output)
        enlarge = replace(request.settings.enlarge, threads=request.where.threads)
        settings = settings_for(replace(request.settings, enlarge=enlarge), self.found.options)
        self._todo = Todo(self.found, settings, self._output, keep_suffix=request.keep_suffix)
        self.manifest = Manifest(Store(request.manifest or self._output.shown(self._output.path(MANIFEST))))
        self._skip()
        digests, threads = tuple(self._todo.digests), request.where.threads
        self._duty = Duty(tuple(settings), digests, request.output, request.giant, threads)
        self.tally = Tally(len(self._todo.table))

    def _skip(self) -> None:
        """Find what an earlier run has done."""
        if self.request.settings.overwrite:
            return
        sizes = _sizes(self._output)
        self._todo.skip(self.manifest.read(), sizes)
        strange = self._todo.unrecorded(sizes)
        if len(strange):  # a run that was killed has no rows of the last that it wrote
            compute = import_arrow().compute
            strange = strange.filter(compute.invert(compute.is_in(strange, self.manifest.planned())))
        if len(strange):
            raise OutputError(
                f"{self._output.place} holds {len(strange)} files that results would replace, {strange[0]} for "
                "instance, and no manifest that tells of them. Name another folder, move them away, or replace them "
                f"with {setting('overwrite')}."
            )

    def skipped(self) -> Iterator[BulkEntry]:
        """Yield the pictures that an earlier run has done."""
        return self._todo.entries(self._todo.done)

    def rows(self) -> Generator[PictureRow, None, None]:
        """Do the work, and yield what becomes of each picture as it comes.

        Closing the generator ends the run; what is finished stays, and the next run goes on from there.

        Raises:
            UnreachableError: a store does not answer any more.
            OutputError: the manifest cannot be written, or workers cannot live.
        """
        self.manifest.begin(self._todo.outputs())
        todo, tally = self._todo, self.tally
        for place, error in todo.refused.items():
            row = self._kept(failed_row(todo.refused_entry(place), "", error.template))
            yield row
        if not self.request.verify:
            tally.skipped = len(todo.done)
        work = Work(todo, self._duty, verify=self.request.verify)
        if work.left:
            try:
                with cluster(self.request.where) as room:
                    crew = Crew(self._duty, min(room, work.hands), self.request.where.threads)
                    yield from self._run(work, crew)
            finally:
                self.manifest.flush()
        self.manifest.compact()

    def _run(self, work: Work, crew: Crew) -> Generator[PictureRow, None, None]:
        meters = _Meters()
        silent = 0
        while work.left or crew.busy:
            work.give(crew)
            for ended in crew.next(1.0):
                outcome = work.take(ended)
                self.tally.skipped += outcome.sound
                for row in outcome.rows:
                    meters.count(row)
                    yield self._kept(row)
                heard = any(row.status == "done" for row in outcome.rows)
                silent = 0 if heard else silent + len(outcome.unreachable)
                if silent >= max(8, 2 * crew.count):
                    raise UnreachableError(outcome.rows[-1].error)
            self.tally.workers = sum(one.ready for one in crew.members)
            meters.left(self.tally.total - self.tally.skipped - self.tally.done - self.tally.failed)
            if self.manifest.due():
                self.manifest.flush()

    def _kept(self, row: PictureRow) -> PictureRow:
        self.manifest.add(row)
        if row.status == "done":
            self.tally.done += 1
        else:
            self.tally.failed += 1
        self.tally.pixels += row.input_width * row.input_height
        return row


class _Meters:
    """Counters that Ray's dashboard and Prometheus show."""

    def __init__(self) -> None:
        import_ray()
        from ray.util import metrics

        self._pictures = metrics.Counter("rlfn_pictures", "Pictures by what became of them.", ("status",))
        self._pixels = metrics.Counter("rlfn_input_pixels", "Input pixels of finished pictures.")
        self._left = metrics.Gauge("rlfn_pictures_left", "Pictures that are not finished.")

    def count(self, row: PictureRow) -> None:
        """Count a picture."""
        self._pictures.inc(1, {"status": row.status})
        if pixels := row.input_width * row.input_height:
            self._pixels.inc(pixels)

    def left(self, count: int) -> None:
        """Tell how many are left."""
        self._left.set(count)


def _sizes(store: Store) -> pa.Table:
    """Return ``name`` and ``bytes`` of what lies in the destination."""
    arrow = import_arrow()
    names, sizes = [], []
    for found in store.files():
        if is_text(found.name):  # no result has another name
            names.append(found.name)
            sizes.append(found.size)
    return arrow.table({"name": arrow.array(names, arrow.string()), "bytes": arrow.array(sizes, arrow.int64())})


def bulk(request: BulkRequest) -> Tally:
    """Do all of a request and return what became of it; :class:`BulkRun` tells of each picture.

    Raises:
        RlfnError: see :class:`BulkRun`.
    """
    run = BulkRun(request)
    for _ in run.rows():
        pass
    return run.tally
