"""What is left to do: every output's name, every conflict, and what an earlier run has done already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import OptionError, OutputError, PictureError, RlfnError, listing, setting
from rlfn.images.formats import format_for
from rlfn.inference.engines import CPU
from rlfn.inference.enlarge import Enlarger, UpscalerPool
from rlfn.inference.sizing import Wanted, is_family_or_default
from rlfn.jobs.bulk.manifest import import_arrow, schema
from rlfn.jobs.bulk.names import check_names, output_name
from rlfn.jobs.bulk.sources import Found, Options
from rlfn.jobs.bulk.stores import Store
from rlfn.jobs.record import Settings
from rlfn.models import catalog
from rlfn.models.source import ModelSource

if TYPE_CHECKING:
    import pyarrow as pa

_AT_ONCE = 10_000
"""So many rows of Arrow's are Python objects at a time."""


@dataclass(frozen=True)
class BulkEntry:
    """One picture's way.

    Attributes:
        key: its name in the source.
        path: where it lies, with the protocol.
        output: the name of its output below the destination.
        options: an index of the settings.
        bytes: the input's size, 0 where nobody told it.
        stamp: the input's version as the source tells it.
        attempts: how often it was tried before.
        input_sha256, output_sha256: what the manifest says, where that is to be checked.
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


class Todo:
    """The pictures of a source, and which of them are left to do.

    Args:
        found: the pictures.
        settings: how they are treated, one for each of ``found.options``.
        output: where results go.
        keep_suffix: keep the inputs' suffixes in the names.

    Attributes:
        table: what was found, with a column ``output``, null where the key makes no name.
        refused: why, by the row's number.
        left, done: numbers of the rows that are left to do and that are done.
        digests: a hash of each of the settings.

    Raises:
        OutputError: two pictures would be written to one file, or an input would be replaced.
    """

    def __init__(self, found: Found, settings: Sequence[Settings], output: Store, *, keep_suffix: bool) -> None:
        arrow = import_arrow()
        self.digests = [digest(one) for one in settings]
        suffixes = [one.format or "png" for one in settings]
        kinds = found.table.column("options").to_pylist()
        self.refused: dict[int, RlfnError] = {}
        names: list[str | None] = []
        for place, (key, kind) in enumerate(zip(found.table.column("key").to_pylist(), kinds, strict=True)):
            try:
                if place in found.refused:
                    raise PictureError(found.refused[place])
                names.append(output_name(key, suffixes[kind], keep_suffix=keep_suffix))
            except (PictureError, OutputError) as error:
                self.refused[place] = error
                names.append(None)
        self.table: pa.Table = found.table.append_column("output", arrow.array(names, arrow.string()))
        check_names(self.table, output)
        self._named = np.array([name is not None for name in names], bool)
        self.left: NDArray[np.int64] = np.flatnonzero(self._named)
        self.done: NDArray[np.int64] = np.zeros(0, np.int64)
        self._attempts = np.zeros(len(names), np.int64)
        self._rows: NDArray[np.int64] = np.full(len(names), -1)
        self._manifest: pa.Table = schema().empty_table()

    def skip(self, manifest: pa.Table, sizes: pa.Table) -> None:
        """Leave out what was done: recorded, of the same input and settings, and there in its whole size.

        An output is known by its name, as a picture may have several.

        Args:
            manifest: the rows of earlier runs.
            sizes: ``name`` and ``bytes`` of the files in the destination.
        """
        self._manifest = manifest
        compute = import_arrow().compute
        row = compute.index_in(self.table.column("output"), manifest.column("output"))
        self._rows = row.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        keys, theirs = _column(self.table, "key"), np.array([*manifest.column("key").to_pylist(), None], object)
        self._rows[keys != theirs[self._rows]] = -1  # another picture was the last with this name
        known = self._rows >= 0
        places = self._rows[known]
        attempts = manifest.column("attempts").to_numpy()
        self._attempts[known] = np.where(_column(manifest, "status")[places] == "failed", attempts[places], 0)
        lies = compute.index_in(self.table.column("output"), sizes.column("name")).fill_null(-1)
        lies = lies.to_numpy(zero_copy_only=False).astype(np.int64)
        there = np.where(lies >= 0, np.append(sizes.column("bytes").to_numpy(), -1)[lies], -1)
        digests = np.array(self.digests, object)[self.table.column("options").to_numpy()]
        stamps, versions = _column(self.table, "stamp"), _column(manifest, "input_stamp")
        now, then = (
            table.column(name).to_numpy() for table, name in ((self.table, "bytes"), (manifest, "input_bytes"))
        )
        good = np.zeros(len(known), bool)
        good[known] = (
            (_column(manifest, "status")[places] == "done")
            & (_column(manifest, "settings")[places] == digests[known])
            & (manifest.column("output_bytes").to_numpy()[places] == there[known])
            & ((stamps[known] == versions[places]) | (stamps[known] == ""))
            & ((now[known] == then[places]) | (now[known] == 0))
        )
        self.left, self.done = np.flatnonzero(~good & self._named), np.flatnonzero(good)

    def unrecorded(self, sizes: pa.Table) -> pa.ChunkedArray:
        """Return the outputs to be made that lie in the destination already, and that the manifest does not tell of."""
        compute = import_arrow().compute
        names = self.outputs()
        there = compute.is_in(names, sizes.column("name"))
        known = compute.is_in(names, self._manifest.column("output"))
        return names.filter(compute.and_not(there, known))

    def outputs(self) -> pa.ChunkedArray:
        """Return the outputs to be made."""
        return self.table.column("output").take(self.left)

    def refused_entry(self, place: int) -> BulkEntry:
        """Return a picture whose key makes no name."""
        row = self.table.slice(place, 1).to_pylist()[0]
        return BulkEntry(**{**row, "output": ""})

    def entries(self, places: NDArray[np.int64], *, check: bool = False) -> Iterator[BulkEntry]:
        """Yield pictures by their options, the largest files first: what is small fills the cores at the end.

        Args:
            places: which.
            check: tell the hashes of inputs and outputs as well.
        """
        sizes = self.table.column("bytes").to_numpy()[places]
        kinds = self.table.column("options").to_numpy()[places]
        ordered = places[np.lexsort((-sizes, kinds))]
        for start in range(0, len(ordered), _AT_ONCE):
            part = ordered[start : start + _AT_ONCE]
            for place, row in zip(part, self.table.take(part).to_pylist(), strict=True):
                row["attempts"] = int(self._attempts[place])
                known = int(self._rows[place])
                if check and known >= 0:
                    for name in ("input_sha256", "output_sha256"):
                        row[name] = self._manifest.column(name)[known].as_py()
                yield BulkEntry(**row)


def settings_for(base: Settings, options: Sequence[Options]) -> list[Settings]:
    """Return the settings for each of the options that pictures have of their own.

    The engine is chosen once for all, so that every machine computes alike.

    Raises:
        OptionError, ModelError, MissingExtraError: no picture could be enlarged with them.
    """
    if base.enlarge.device != CPU:
        raise OptionError(
            f"{setting('device', base.enlarge.device)} was given. The machines of a bulk job compute alike, on their "
            "processors. Leave it out."
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
            said = listing(f"{name} {value}" for name, value in own)
            raise OptionError(f"The list has pictures with {said}: {error.template}") from error
    return made


def digest(settings: Settings) -> str:
    """Return a hash of all that a result follows from, besides the input: the options and the model's weights."""
    enlarge = settings.enlarge
    facts = {
        "wanted": [enlarge.wanted.scale, enlarge.wanted.width, enlarge.wanted.height],
        "weights": _weights(enlarge.model),
        "options": {
            name: str(value)
            for name, value in sorted(vars(enlarge).items())
            if name not in ("wanted", "model", "engine", "threads", "device")
        },
        "format": settings.format or "png",
        "quality": settings.quality,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _weights(model: Any) -> str:
    """Return a hash of the weights that may be used for what a user calls a model."""
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
