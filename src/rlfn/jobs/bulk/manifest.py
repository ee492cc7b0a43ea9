"""The manifest: one row a picture, in Parquet files of one folder that can be read while the work goes on.

Rows are added in further files, each of which appears whole; at the end of a run they become one file. A picture that
is tried again has its older row beside the newer one until then: the newest counts, see :func:`read_manifest`.
"""

from __future__ import annotations

import io
import secrets
import time
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rlfn.errors import MissingExtraError, OutputError, as_argument, worded
from rlfn.jobs.bulk.stores import Store

if TYPE_CHECKING:
    import pyarrow as pa

_LEAST = 5.0
_SHARE = 0.01
"""A file is written after so many seconds, or this share of the time since the beginning: there will be hundreds."""

_MOST_ROWS = 20_000


@dataclass(frozen=True)
class PictureRow:
    """What became of one picture.

    Attributes:
        key: its name in the source; the output's follows from it.
        status: ``"done"`` or ``"failed"``.
        attempts: how often it was tried, in this run and before.
        error: why it failed, in a sentence.
        input_stamp: what the source says about the file's version (an ETag, a time of change).
        input_sha256, output_sha256: of the files' bytes.
        settings: a hash of the options and the model.
        seconds: the work on it; of these ``engine_seconds`` of inference.
        worker: the machine and the process.
        finished: seconds since 1970.
    """

    key: str
    input: str
    output: str
    status: str
    attempts: int = 1
    error: str = ""
    input_bytes: int = 0
    input_stamp: str = ""
    input_sha256: str = ""
    input_width: int = 0
    input_height: int = 0
    output_width: int = 0
    output_height: int = 0
    output_bytes: int = 0
    output_sha256: str = ""
    settings: str = ""
    model: str = ""
    engine: str = ""
    precision: str = ""
    restore: float = 0.0
    warnings: str = ""
    seconds: float = 0.0
    engine_seconds: float = 0.0
    worker: str = ""
    finished: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return asdict(self)


def import_arrow() -> Any:
    """Return pyarrow with what is used of it.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("Bulk work", "bulk") from None
    return pyarrow


def schema() -> pa.Schema:
    """Return the columns of the manifest."""
    arrow = import_arrow()
    kinds = {"str": arrow.string(), "int": arrow.int64(), "float": arrow.float64()}
    return arrow.schema([(row.name, kinds[str(row.type)]) for row in fields(PictureRow)])


class Manifest:
    """The folder of Parquet files, as one run adds to it.

    Args:
        store: the folder.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
        self._rows: list[PictureRow] = []
        self._written = 0
        self._began = self._flushed = time.monotonic()

    def add(self, row: PictureRow) -> None:
        """Keep a row, and write what is kept if it is time."""
        self._rows.append(
            replace(row, error=worded(row.error, as_argument), warnings=worded(row.warnings, as_argument))
        )
        if self.due() or len(self._rows) >= _MOST_ROWS:
            self.flush()

    def due(self) -> bool:
        """Tell whether it is time to write."""
        now = time.monotonic()
        return now - self._flushed >= max(_LEAST, _SHARE * (now - self._began))

    def flush(self) -> None:
        """Write what is kept."""
        self._flushed = time.monotonic()
        if self._rows:
            arrow = import_arrow()
            self._write(arrow.Table.from_pylist([row.as_dict() for row in self._rows], schema()))
            self._rows.clear()

    def begin(self) -> None:
        """Put an empty file where there is none: from now on what lies in the destination is this program's work."""
        if not self._names():
            self._write(schema().empty_table())

    def compact(self) -> None:
        """Make one file of all, with the newest row of each picture."""
        self.flush()
        names = self._names()
        if len(names) > 1:
            self._write(_newest(self._read(names)))
            for name in names:
                self.store.delete(name)

    def read(self) -> pa.Table:
        """Return the newest row of each picture.

        Raises:
            OutputError: a file is damaged.
        """
        names = self._names()
        return _newest(self._read(names)) if names else schema().empty_table()

    def exists(self) -> bool:
        """Tell whether there is a manifest."""
        return bool(self._names())

    def _names(self) -> list[str]:
        return sorted(found.name for found in self.store.files() if found.name.endswith(".parquet"))

    def _read(self, names: list[str]) -> pa.Table:
        arrow = import_arrow()
        tables = []
        for name in names:
            data = self.store.read(self.store.path(name))
            try:
                table = arrow.parquet.read_table(io.BytesIO(data))
                tables.append(table.select(schema().names).cast(schema()))
            except (arrow.ArrowException, KeyError, ValueError) as error:
                shown = self.store.shown(self.store.path(name))
                raise OutputError(
                    f"{shown} is no manifest of bulk work, or it is damaged. Remove it, or name another folder."
                ) from error
        return arrow.concat_tables(tables)

    def _write(self, table: pa.Table) -> None:
        arrow = import_arrow()
        stream = io.BytesIO()
        arrow.parquet.write_table(table, stream, compression="zstd")
        self.store.put(f"part-{self._run}-{self._written:06d}.parquet", stream.getvalue())
        self._written += 1


def read_manifest(place: str) -> pa.Table:
    """Return a manifest as a pyarrow table, the newest row of each picture, also while a run goes on.

    Args:
        place: the folder's path or URL.
    """
    return Manifest(Store(place)).read()


def _newest(table: pa.Table) -> pa.Table:
    order = table.column("finished").combine_chunks().to_numpy().argsort(kind="stable")[::-1]
    seen: set[str] = set()
    kept = []
    keys = table.column("key").to_pylist()
    for index in order:
        if keys[index] not in seen:
            seen.add(keys[index])
            kept.append(int(index))
    return table.take(np.array(sorted(kept), np.int64))
