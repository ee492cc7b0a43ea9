"""The pending work: every output's name, every conflict, and what an earlier run has finished."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import OptionError, OutputError, PictureError, RlfnError
from rlfn.images.formats import format_for, result_format
from rlfn.inference.engines import CPU
from rlfn.inference.enlarge import Enlarger
from rlfn.inference.sizing import Wanted, is_family_or_default
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.bulk.manifest import import_arrow, schema
from rlfn.jobs.bulk.names import check_names, output_name
from rlfn.jobs.bulk.sources import FoundPictures, Options
from rlfn.jobs.bulk.stores import Store
from rlfn.jobs.record import Settings
from rlfn.models import catalog
from rlfn.models.source import ModelSource
from rlfn.wording import listing, setting

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 10_000
"""Number of Arrow rows converted to Python objects at a time."""


@dataclass(frozen=True)
class BulkEntry:
    """One picture to process.

    Attributes:
        key: its name in the source.
        path: its full path, with the protocol.
        output: the name of its output below the destination.
        options: index of its settings.
        bytes: size of the input, 0 if unknown.
        stamp: version of the input as reported by the source.
        attempts: number of earlier attempts.
        input_sha256, output_sha256: the hashes in the manifest, for verification.
    """

    key: str
    path: str
    output: str
    options: int
    bytes: int
    stamp: str
    attempts: int = 0
    input_sha256: str = ""
    output_sha256: str = ""


class PendingWork:
    """The pictures of a source, and which of them remain to be processed.

    Args:
        found: the pictures.
        settings: how they are treated, one for each of ``found.options``.
        output: where results go.
        keep_suffix: keep the inputs' suffixes in the names.

    Attributes:
        table: the pictures, with a column ``output``, null where the key is not a valid name.
        rejected: errors of rejected rows, by row index.
        remaining, done: indices of the unfinished and of the finished rows.
        digests: a hash of each of the settings.

    Raises:
        OutputError: two pictures would be written to one file, or an input would be replaced.
    """

    def __init__(self, found: FoundPictures, settings: Sequence[Settings], output: Store, *, keep_suffix: bool) -> None:
        arrow = import_arrow()
        self.digests = [digest(one) for one in settings]
        suffixes = [result_format(one.format) for one in settings]
        self.rejected: dict[int, RlfnError] = {}
        names: list[str | None] = []
        columns = (found.table.column(name).to_pylist() for name in ("key", "path", "options"))
        for index, (key, path, kind) in enumerate(zip(*columns, strict=True)):
            try:
                if index in found.rejected:
                    raise PictureError(found.rejected[index])
                names.append(output_name(key, suffixes[kind], keep_suffix=keep_suffix, location=path))
            except (PictureError, OutputError) as error:
                self.rejected[index] = error
                names.append(None)
        self.table: pa.Table = found.table.append_column("output", arrow.array(names, arrow.string()))
        check_names(self.table, output)
        self._named = np.array([name is not None for name in names], bool)
        self.remaining: NDArray[np.int64] = np.flatnonzero(self._named)
        self.done: NDArray[np.int64] = np.zeros(0, np.int64)
        self._attempts = np.zeros(len(names), np.int64)
        self._rows: NDArray[np.int64] = np.full(len(names), -1)
        self._manifest: pa.Table = schema().empty_table()

    def skip_done(self, manifest: pa.Table, sizes: pa.Table) -> None:
        """Skip finished pictures: recorded, with unchanged input and settings, and an output of the recorded size.

        Outputs are matched by name, as a picture may have several.

        Args:
            manifest: the rows of earlier runs.
            sizes: ``name`` and ``bytes`` of the files in the destination.
        """
        self._manifest = manifest
        compute = import_arrow().compute
        row = compute.index_in(self.table.column("output"), manifest.column("output"))
        self._rows = row.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        keys, theirs = _column(self.table, "key"), np.array([*manifest.column("key").to_pylist(), None], object)
        self._rows[keys != theirs[self._rows]] = -1  # this output was last written from another picture
        known = self._rows >= 0
        indices = self._rows[known]
        attempts = manifest.column("attempts").to_numpy()
        self._attempts[known] = np.where(_column(manifest, "status")[indices] == "failed", attempts[indices], 0)
        found = compute.index_in(self.table.column("output"), sizes.column("name")).fill_null(-1)
        found = found.to_numpy(zero_copy_only=False).astype(np.int64)
        there = np.where(found >= 0, np.append(sizes.column("bytes").to_numpy(), -1)[found], -1)
        digests = np.array(self.digests, object)[self.table.column("options").to_numpy()]
        stamps, versions = _column(self.table, "stamp"), _column(manifest, "input_stamp")
        now, then = (
            table.column(name).to_numpy() for table, name in ((self.table, "bytes"), (manifest, "input_bytes"))
        )
        good = np.zeros(len(known), bool)
        good[known] = (
            (_column(manifest, "status")[indices] == "done")
            & (_column(manifest, "settings")[indices] == digests[known])
            & (manifest.column("output_bytes").to_numpy()[indices] == there[known])
            & ((stamps[known] == versions[indices]) | (stamps[known] == ""))
            & ((now[known] == then[indices]) | (now[known] == 0))
        )
        self.remaining, self.done = np.flatnonzero(~good & self._named), np.flatnonzero(good)

    def unrecorded(self, sizes: pa.Table) -> pa.ChunkedArray:
        """Return the pending outputs that exist in the destination but not in the manifest."""
        compute = import_arrow().compute
        names = self.outputs()
        there = compute.is_in(names, sizes.column("name"))
        known = compute.is_in(names, self._manifest.column("output"))
        return names.filter(compute.and_not(there, known))

    def outputs(self) -> pa.ChunkedArray:
        """Return the pending outputs."""
        return self.table.column("output").take(self.remaining)

    def rejected_entry(self, index: int) -> BulkEntry:
        """Return a picture that was rejected."""
        row = self.table.slice(index, 1).to_pylist()[0]
        return BulkEntry(**{**row, "output": ""})

    def entries(self, indices: NDArray[np.int64], *, check: bool = False) -> Iterator[BulkEntry]:
        """Yield pictures grouped by options, the largest files first, so that small ones fill the cores at the end.

        Args:
            indices: rows of the table.
            check: include the hashes of inputs and outputs.
        """
        sizes = self.table.column("bytes").to_numpy()[indices]
        kinds = self.table.column("options").to_numpy()[indices]
        ordered = indices[np.lexsort((-sizes, kinds))]
        for start in range(0, len(ordered), _ROWS_AT_ONCE):
            part = ordered[start : start + _ROWS_AT_ONCE]
            for index, row in zip(part, self.table.take(part).to_pylist(), strict=True):
                row["attempts"] = int(self._attempts[index])
                known = int(self._rows[index])
                if check and known >= 0:
                    for name in ("input_sha256", "output_sha256"):
                        row[name] = self._manifest.column(name)[known].as_py()
                yield BulkEntry(**row)


def resolve_settings(base: Settings, options: Sequence[Options]) -> list[Settings]:
    """Return the settings for each distinct set of per-picture options.

    The engine is chosen once, so that every machine computes the same.

    Raises:
        OptionError, ModelError, MissingExtraError: no picture can be enlarged with them.
    """
    if base.enlarge.device != CPU:
        raise OptionError(
            f"{setting('device', base.enlarge.device)} was given, but bulk processing runs on CPUs only. Leave it out."
        )
    made, pool = [], UpscalerPool()
    for own in options:
        asked = dict(own)
        size = {name: asked.pop(name) for name in ("scale", "width", "height") if name in asked}
        how: dict[str, Any] = {name: asked.pop(name) for name in ("model", "restore") if name in asked}
        try:
            if size:
                how["wanted"] = Wanted(**size)
            if "format" in asked:
                asked["format"] = format_for(f".{asked['format'].removeprefix('.')}").name
            enlarge = Enlarger(replace(base.enlarge, **how), pool).with_auto_engine(None).options
            made.append(replace(base, enlarge=enlarge, overwrite=True, **asked))
        except OptionError as error:
            if not own:
                raise
            values = listing(f"{name} {value}" for name, value in own)
            raise OptionError(f"The list has pictures with {values}: {error.template}") from error
    return made


def digest(settings: Settings) -> str:
    """Return a hash of everything that determines a result besides the input: the options and the model's weights."""
    enlarge = settings.enlarge
    facts = {
        "wanted": [enlarge.wanted.scale, enlarge.wanted.width, enlarge.wanted.height],
        "weights": _weights(enlarge.model),
        "options": {
            name: str(value)
            for name, value in sorted(vars(enlarge).items())
            if name not in ("wanted", "model", "engine", "threads", "device")
        },
        "format": result_format(settings.format),
        "quality": settings.quality,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _weights(model: Any) -> str:
    """Return a hash of the weights that a model name or path may refer to."""
    if is_family_or_default(model) or ModelSource(model).packaged is not None:
        photo = catalog.photo_families()
        family = model if model in catalog.families() else None
        if model is not None and family is None:
            family = catalog.models()[model].family
        files = [
            (one.name, file.format, file.precision, file.sha256)
            for one in catalog.models().values()
            if family is None or one.family in (family, photo.get(family))
            for file in one.files
        ]
        return hashlib.sha256(json.dumps(sorted(files)).encode()).hexdigest()
    with open(model, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    return np.array(table.column(name).to_pylist(), object)
