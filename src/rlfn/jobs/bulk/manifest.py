"""The manifest: one row per output, in a folder of Parquet files that can be read during a run.

New rows go to new files, each written atomically; at the end of a run they are merged into one. Until then a retried
picture has several rows, of which the newest counts, see :func:`read_manifest`.

A running or killed run also has a plan there: the outputs that it may have written before recording their rows. A file
in neither a row nor a plan does not belong to bulk processing.
"""

from __future__ import annotations

import io
import secrets
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from rlfn.errors import MissingExtraError, OutputError
from rlfn.jobs.bulk.stores import MissingFileError, Store
from rlfn.jobs.record import Record
from rlfn.jobs.walking import UnreadableEntry

if TYPE_CHECKING:
    import pyarrow as pa

_FLUSH_SECONDS = 5.0
_FLUSH_SHARE = 0.01
"""Rows are written after this many seconds or this share of the run's time, whichever is longer."""

_MAX_BUFFERED_ROWS = 20_000

_PLAN = "_plan-"
"""Prefix of plans: readers of Parquet folders ignore names that begin with an underscore."""

_ATTEMPTS = 10
"""Number of attempts to read the files while another run merges them."""


@dataclass(frozen=True, kw_only=True)
class PictureRow(Record):
    """The record of one output: a :class:`~rlfn.jobs.record.Record` and what a later run needs.

    Attributes:
        key: its name in the source; the output's follows from it.
        attempts: number of attempts, in this run and before.
        input_bytes, output_bytes: sizes of the files.
        input_stamp: version of the input as reported by the source (an ETag, a modification time).
        input_sha256, output_sha256: of the files' bytes.
        settings: a hash of the options and the model.
        worker: host name and process id.
        finished: Unix time.
    """

    key: str
    attempts: int = 1
    input_bytes: int = 0
    input_stamp: str = ""
    input_sha256: str = ""
    output_bytes: int = 0
    output_sha256: str = ""
    settings: str = ""
    worker: str = ""
    finished: float = 0.0

    @property
    def pixels(self) -> int:
        """The number of pixels of the input, 0 if unknown."""
        return 0 if self.input_size is None else self.input_size[0] * self.input_size[1]


def import_arrow() -> Any:
    """Return pyarrow with the modules that are used.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("Bulk processing", "bulk") from None
    return pyarrow


def schema() -> pa.Schema:
    """Return the columns of the manifest."""
    arrow = import_arrow()
    kinds = {
        "str": arrow.string(),
        "int": arrow.int64(),
        "float": arrow.float64(),
        "tuple[int, int]": arrow.list_(arrow.int64()),
        "tuple[str, ...]": arrow.list_(arrow.string()),
    }
    columns = [row for row in fields(PictureRow) if row.name != "cause"]
    return arrow.schema([(row.name, kinds[str(row.type).removesuffix(" | None")]) for row in columns])


class Manifest:
    """The folder of Parquet files, as one run adds to it.

    Args:
        store: the folder.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
        self._rows: list[dict[str, Any]] = []
        self._written = 0
        self._began = self._flushed = time.monotonic()

    def add(self, row: PictureRow) -> None:
        """Buffer a row, and flush if it is time."""
        self._rows.append(row.as_dict())
        if self.due() or len(self._rows) >= _MAX_BUFFERED_ROWS:
            self.flush()

    def due(self) -> bool:
        """Tell whether it is time to flush."""
        now = time.monotonic()
        return now - self._flushed >= max(_FLUSH_SECONDS, _FLUSH_SHARE * (now - self._began))

    def flush(self) -> None:
        """Write the buffered rows."""
        self._flushed = time.monotonic()
        if self._rows:
            arrow = import_arrow()
            self._write(arrow.Table.from_pylist(self._rows, schema()))
            self._rows.clear()

    def begin(self, outputs: pa.ChunkedArray) -> None:
        """Write the plan: the outputs that this run will write, so that they are known before their rows exist."""
        if not self._names():
            self._write(schema().empty_table())
        if len(outputs):
            self._put(f"{_PLAN}{self._run}", import_arrow().table({"output": outputs}))

    def planned(self) -> pa.ChunkedArray:
        """Return the outputs that running or killed runs may have written."""
        arrow = import_arrow()
        found = [self._plan(name) for name in self._names(plans=True)]
        return arrow.chunked_array([piece for one in found for piece in one.chunks], arrow.string())

    def compact(self) -> None:
        """Merge all files into one with the newest row of each output, and remove completed plans."""
        self.flush()
        names, table = self._read()
        if len(names) > 1:
            self._write(table)
            for name in names:
                self.store.delete(name)
        compute = import_arrow().compute
        for name in self._names(plans=True):
            completed = compute.is_in(self._plan(name), table.column("output"))
            if name == f"{_PLAN}{self._run}" or compute.all(completed, min_count=0).as_py():
                self.store.delete(name)

    def read(self) -> pa.Table:
        """Return the newest row of each output.

        Raises:
            OutputError: a file is damaged.
        """
        return self._read()[1]

    def exists(self) -> bool:
        """Tell whether there is a manifest."""
        return bool(self._names())

    def _names(self, *, plans: bool = False) -> list[str]:
        names = (found.name for found in self.store.files(_refuse))
        return sorted(name for name in names if (name.startswith(_PLAN) if plans else name.endswith(".parquet")))

    def _read(self) -> tuple[list[str], pa.Table]:
        """Return the files and their rows; another run may merge them meanwhile."""
        for left in reversed(range(_ATTEMPTS)):
            names = self._names()
            try:
                tables = [self._file(name, schema()) for name in names]
            except MissingFileError:
                if not left:
                    raise
            else:
                return names, _newest(import_arrow().concat_tables([schema().empty_table(), *tables]))
        raise AssertionError("the last attempt returns or raises")

    def _plan(self, name: str) -> pa.ChunkedArray:
        arrow = import_arrow()
        plan = arrow.schema([("output", arrow.string())])
        try:
            return self._file(name, plan).column("output")
        except MissingFileError:  # its run has completed
            return plan.empty_table().column("output")

    def _file(self, name: str, columns: pa.Schema) -> pa.Table:
        arrow = import_arrow()
        data = self.store.read(self.store.path(name))
        try:
            return arrow.parquet.read_table(io.BytesIO(data)).select(columns.names).cast(columns)
        except (arrow.ArrowException, KeyError, ValueError) as error:
            shown = self.store.display_path(self.store.path(name))
            raise OutputError(
                f"{shown} is not a manifest of bulk processing, or it is damaged. Remove it, or choose another folder."
            ) from error

    def _write(self, table: pa.Table) -> None:
        self._put(f"part-{self._run}-{self._written:06d}.parquet", table)
        self._written += 1

    def _put(self, name: str, table: pa.Table) -> None:
        stream = io.BytesIO()
        import_arrow().parquet.write_table(table, stream, compression="zstd")
        self.store.put(name, stream.getvalue())


def read_manifest(place: str) -> pa.Table:
    """Return a manifest as a pyarrow table, the newest row of each output, also during a run.

    Args:
        place: the folder's path or URL.
    """
    return Manifest(Store(place)).read()


def _refuse(entry: UnreadableEntry) -> None:
    if not entry.is_folder:  # the manifest has no sub-folders
        raise OutputError(entry.error)


def _newest(table: pa.Table) -> pa.Table:
    order = table.column("finished").combine_chunks().to_numpy().argsort(kind="stable")[::-1]
    seen: set[str] = set()
    kept = []
    names, keys = table.column("output").to_pylist(), table.column("key").to_pylist()
    for index in order:
        name = names[index] or f"/{keys[index]}"  # no output begins with a slash
        if name not in seen:
            seen.add(name)
            kept.append(int(index))
    return table.take(np.array(sorted(kept), np.int64))
