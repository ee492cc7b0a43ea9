"""Names of outputs, and checks that they are unique and do not replace inputs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from rlfn.errors import OutputError
from rlfn.jobs.bulk.locations import canonical_url, local_path
from rlfn.jobs.bulk.manifest import import_arrow
from rlfn.jobs.bulk.stores import Store
from rlfn.wording import listing, setting

if TYPE_CHECKING:
    import pyarrow as pa


def output_name(key: str, suffix: str, *, keep_suffix: bool, location: str = "") -> str:
    """Return the name of a picture's output; ``location`` is the picture's, for errors.

    >>> output_name("a/b.jpg", "png", keep_suffix=False)
    'a/b.png'
    >>> output_name("a/b.jpg", "png", keep_suffix=True)
    'a/b.jpg.png'

    Raises:
        OutputError: the key would leave the destination.
    """
    path = PurePosixPath(key)
    if path.is_absolute() or ".." in path.parts or not path.name:
        of = f" of {location}" if location else ""
        raise OutputError(
            f"The key {key!r}{of} leads out of the destination. Allowed: names without a leading / and without '..'."
        )
    return f"{path}.{suffix}" if keep_suffix else str(path.with_name(f"{path.stem}.{suffix}"))


def check_names(table: pa.Table, output: Store) -> None:
    """Check that every picture has an output of its own, and that none is an input.

    Args:
        table: with columns ``key``, ``path`` and ``output``.
        output: the destination.

    Raises:
        OutputError: two pictures would be written to one file, or an input would be replaced.
    """
    compute = import_arrow().compute
    counts = compute.value_counts(table.column("output").drop_null())
    counts = counts.filter(compute.greater(counts.field("counts"), 1))
    if len(counts):
        clashes = counts.field("values").to_pylist()
        details, remedy = [], ""
        for name in clashes[:20]:
            keys = table.column("key").filter(compute.equal(table.column("output"), name)).to_pylist()
            details.append(f"{' and '.join(keys[:3])} ({name})")
            if len(set(keys)) > 1:
                remedy = f"{setting('keep_suffix')} keeps the inputs' suffixes in the names, or "
        more = f", and {len(clashes) - 20} more" if len(clashes) > 20 else ""
        raise OutputError(
            f"Several pictures would be written to one file: {listing(details)}{more}. Use unique names: "
            f"{remedy}give a list with a column key."
        )
    replaced = (_replaced_local if output.local else _replaced_remote)(table, output)
    if replaced is not None:
        raise OutputError(
            f"{replaced} would be replaced by a result. Inputs are never overwritten: name another destination."
        )


def _replaced_local(table: pa.Table, output: Store) -> str | None:
    """Return a local input that is also an output, links resolved; None if there is none."""
    real = cache(os.path.realpath)

    def resolved(path: str) -> tuple[str, str]:
        folder, name = os.path.split(path)
        return str(real(folder)), name

    homes = {resolved(output.path(name))[0] for name in {_folder(name) for name in _texts(table, "output")}}
    inputs: dict[tuple[str, str], str] = {}
    for path in _texts(table, "path"):
        plain = local_path(path)
        if plain is not None:
            links = [os.path.realpath(plain)] if os.path.islink(plain) else []
            inputs.update((one, path) for one in map(resolved, [plain, *links]) if one[0] in homes)
    return _first_common(inputs, (resolved(output.path(name)) for name in _texts(table, "output"))) if inputs else None


def _replaced_remote(table: pa.Table, output: Store) -> str | None:
    start = canonical_url(output.display_path(output.path("")))
    inputs = {canonical_url(path): path for path in _texts(table, "path") if canonical_url(path).startswith(start)}
    return _first_common(inputs, (start + name for name in _texts(table, "output"))) if inputs else None


def _first_common(inputs: Mapping[Any, str], outputs: Iterable[Any]) -> str | None:
    return next((inputs[one] for one in outputs if one in inputs), None)


def _folder(name: str) -> str:
    """Return one representative name for all outputs of a folder."""
    return name[: name.rfind("/") + 1] + "x"


def _texts(table: pa.Table, name: str) -> Iterator[str]:
    """Yield a column's texts; only one chunk at a time becomes Python objects."""
    for chunk in table.column(name).chunks:
        for text in chunk.to_pylist():
            if text is not None:
                yield text
