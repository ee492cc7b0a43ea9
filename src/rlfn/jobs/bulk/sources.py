"""The input pictures: those of a folder, or of a list with options for each picture."""

from __future__ import annotations

import io
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlfn.errors import OptionError, PictureError
from rlfn.images.formats import READABLE_SUFFIXES, looks_like_picture
from rlfn.jobs.bulk.locations import canonical_url, local_path, protocol_of, split
from rlfn.jobs.bulk.manifest import import_arrow
from rlfn.jobs.bulk.stores import Store, local_facts
from rlfn.jobs.walking import UnreadableEntry
from rlfn.wording import listing

if TYPE_CHECKING:
    import pyarrow as pa

OPTION_COLUMNS: dict[str, type] = {
    "scale": float,
    "width": int,
    "height": int,
    "model": str,
    "restore": str,
    "format": str,
    "quality": int,
}
"""The columns of a list that override options for one picture."""

FILE_COLUMNS = ("path", "key", "bytes", "stamp")
"""The other columns: a picture's path (required), its name in the output, its size in bytes, and its version."""

LISTS = (".txt", ".csv", ".parquet")
"""The suffixes of lists."""

_CHUNK_ROWS = 50_000

Options = tuple[tuple[str, Any], ...]
"""Options of one picture: (name, value), in the order of :data:`OPTION_COLUMNS`."""


class SourceRow(NamedTuple):
    """One row of a source: a picture, or an ``error`` in the place of one; ``options`` is an index."""

    key: str
    path: str
    bytes: int
    stamp: str
    options: int
    error: str = ""


@dataclass
class FoundPictures:
    """The pictures of a source.

    Attributes:
        table: columns ``key``, ``path`` (full, with the protocol), ``bytes``, ``stamp`` and ``options`` (an index).
        options: the distinct per-picture options; the first is empty.
        unsupported: number of files in unsupported picture formats.
        ignored: columns of a list that are ignored.
        rejected: why a picture is rejected, by row index.
    """

    table: pa.Table
    options: list[Options] = field(default_factory=lambda: [()])
    unsupported: int = 0
    ignored: tuple[str, ...] = ()
    rejected: dict[int, str] = field(default_factory=dict)


def find_pictures(source: str | Sequence[str], output: Store) -> FoundPictures:
    """Return the pictures of a source.

    Args:
        source: a folder (searched recursively), one picture, a list of paths (:data:`LISTS`), or paths.
        output: files in it are not inputs.

    Raises:
        PictureError: the source does not exist, has no pictures, or access is denied.
        OptionError: a list is invalid.
        UnreachableError: the source's store does not answer.
    """
    if not isinstance(source, str):
        return _paths({"path": list(source)}, "")
    store = Store(source)
    if PurePosixPath(source).suffix.lower() in LISTS:
        return _list(store)
    facts = store.facts()
    if facts is None:
        raise PictureError(f"{source} does not exist. Check the spelling.")
    if facts.is_file:
        name = posixpath.basename(store.root)
        return _table_of(iter([SourceRow(name, store.display_path(store.root), facts.size, facts.stamp, 0)]))
    return _folder(store, output)


def _folder(store: Store, output: Store) -> FoundPictures:
    root, target = _resolved(store), _resolved(output)
    if root == target:
        raise OptionError(f"{store.location} would be its own output. Name another destination.")
    inside = target[len(root) + 1 :] + "/" if target.startswith(f"{root}/") else None
    unsupported = 0
    unreadable: list[UnreadableEntry] = []

    def rows() -> Iterator[SourceRow]:
        nonlocal unsupported
        for found in store.files(unreadable.append):
            if inside is not None and found.name.startswith(inside):
                continue
            if _has_suffix(found.name):
                key = found.name.lstrip("/")  # keys of buckets may begin with one
                yield SourceRow(key, store.display_path(store.path(found.name)), found.size, found.stamp, 0)
            elif looks_like_picture(PurePosixPath(found.name)):
                unsupported += 1
        for entry in unreadable:
            if inside is not None and f"{entry.path}/".startswith(inside):
                continue
            if entry.is_folder or _has_suffix(entry.path) or looks_like_picture(PurePosixPath(entry.path)):
                yield SourceRow(entry.path, store.display_path(store.path(entry.path)), 0, "", 0, entry.error)

    found = _table_of(rows())
    found.unsupported = unsupported
    if found.table.num_rows == len(found.rejected):
        more = f" It has {unsupported} pictures in unsupported formats." if unsupported else ""
        reason = "".join(f" {error}" for error in list(found.rejected.values())[:1])
        raise PictureError(f"There are no pictures in {store.location}.{more}{reason}")
    return found


def _has_suffix(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in READABLE_SUFFIXES


def _resolved(store: Store) -> str:
    """Return a store's folder in a form that can be compared."""
    return os.path.realpath(store.root) if store.local else canonical_url(store.display_path(store.root))


def _table_of(rows: Iterator[SourceRow]) -> FoundPictures:
    """Collect rows in chunks: Arrow takes much less memory than Python objects."""
    arrow = import_arrow()
    schema = arrow.schema(
        [
            ("key", arrow.string()),
            ("path", arrow.string()),
            ("bytes", arrow.int64()),
            ("stamp", arrow.string()),
            ("options", arrow.int32()),
        ]
    )
    pieces, piece = [], []
    rejected: dict[int, str] = {}
    for number, row in enumerate(rows):
        names = row.key + row.path
        if "\0" in names or not is_text(names):
            problem = "contains a zero byte" if "\0" in names else "is not UTF-8"
            error = f"The name {row.path} {problem}. Rename the file or its folder."
            row = row._replace(key=_escaped(row.key), path=_escaped(row.path), error=_escaped(row.error or error))
        if row.error:
            rejected[number] = row.error
        piece.append(row[: len(schema)])
        if len(piece) == _CHUNK_ROWS:
            pieces.append(arrow.table(list(map(list, zip(*piece, strict=True))), schema=schema))
            piece = []
    if piece:
        pieces.append(arrow.table(list(map(list, zip(*piece, strict=True))), schema=schema))
    return FoundPictures(arrow.concat_tables(pieces) if pieces else schema.empty_table(), rejected=rejected)


def is_text(name: str) -> bool:
    """Tell whether a name is valid UTF-8: Python keeps other bytes as surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(name: str) -> str:
    r"""Escape bytes that are not UTF-8, and zero bytes, as ``\xff``."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace").replace("\0", r"\x00")


def _list(store: Store) -> FoundPictures:
    """Read a list of paths; relative ones start from the list's folder."""
    arrow = import_arrow()
    data = store.read(store.root)
    suffix = PurePosixPath(store.root).suffix.lower()
    folder, _ = split(store.location)
    try:
        if suffix == ".txt":
            lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
            return _paths({"path": [line for line in lines if line]}, folder)
        if suffix == ".csv":
            # all columns are text: names may look like numbers or dates
            texts = {name: arrow.string() for name in (*FILE_COLUMNS, *OPTION_COLUMNS)}
            how = arrow.csv.ConvertOptions(column_types=texts, strings_can_be_null=True)
            table = arrow.csv.read_csv(io.BytesIO(data), convert_options=how)
        else:
            table = arrow.parquet.read_table(io.BytesIO(data))
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise OptionError(f"{store.location} is not a valid list of pictures ({reason}). Fix the file.") from error
    return _paths({name: table.column(name).to_pylist() for name in table.column_names}, folder)


def _paths(columns: dict[str, list[Any]], folder: str) -> FoundPictures:
    if "path" not in columns:
        raise OptionError(
            f"The list has the columns {listing(columns)}, but no column path with the pictures' paths. Add one."
        )
    given = [name for name in OPTION_COLUMNS if name in columns]
    distinct: dict[Options, int] = {(): 0}

    def rows() -> Iterator[SourceRow]:
        for number, path in enumerate(columns["path"]):
            if not isinstance(path, str) or not path:
                raise OptionError(f"Row {number + 1} of the list has no path. Add it, or remove the row.")
            own = tuple((name, _value(name, columns[name][number], number)) for name in given)
            own = tuple(pair for pair in own if pair[1] is not None)
            full = _full_path(path, folder)
            key = _cell(columns, "key", number) or _default_key(path)
            size = _byte_count(_cell(columns, "bytes", number), number)
            version = str(_cell(columns, "stamp", number) or "")
            if not (size and version) and (here := local_path(full)) is not None:
                facts = local_facts(here)
                size, version = facts[0] or size, version or facts[1]
            yield SourceRow(str(key), full, size, version, distinct.setdefault(own, len(distinct)))

    found = _table_of(rows())
    if not found.table.num_rows:
        raise PictureError("The list is empty.")
    _drop_repeated(found)
    found.options = list(distinct)
    found.ignored = tuple(name for name in columns if name not in (*FILE_COLUMNS, *OPTION_COLUMNS))
    return found


def _drop_repeated(found: FoundPictures) -> None:
    """Keep one of the rows that have the same file, key and options."""
    arrow = import_arrow()
    compute = arrow.compute
    keys = found.table.column("key")
    counts = compute.value_counts(keys)
    several = counts.field("values").filter(compute.greater(counts.field("counts"), 1))
    candidates = np.flatnonzero(compute.is_in(keys, several).to_numpy())
    names = ("key", "path", "options")
    rows = zip(*(found.table.column(name).take(candidates).to_pylist() for name in names), strict=True)
    seen, kept = set(), np.ones(len(keys), bool)
    for index, (key, path, options) in zip(candidates, rows, strict=True):
        row = (key, local_path(path) or canonical_url(path), options)
        kept[index] = row not in seen
        seen.add(row)
    found.table = found.table.filter(arrow.array(kept))
    places = np.cumsum(kept) - 1
    found.rejected = {int(places[index]): error for index, error in found.rejected.items() if kept[index]}


def _cell(columns: dict[str, list[Any]], name: str, number: int) -> Any:
    return columns[name][number] if name in columns else None


def _byte_count(value: Any, number: int) -> int:
    try:
        return int(value or 0)
    except (TypeError, ValueError):
        raise OptionError(f"Row {number + 1} of the list has the bytes {value!r}. Allowed: a whole number.") from None


def _value(name: str, value: Any, number: int) -> Any:
    """Read an option's value; None for an empty cell."""
    if value is None or value == "":
        return None
    try:
        found = OPTION_COLUMNS[name](value)
        if isinstance(value, float) and found != value:
            raise ValueError
    except (TypeError, ValueError):
        kind = {float: "a number", int: "a whole number", str: "a text"}[OPTION_COLUMNS[name]]
        raise OptionError(f"Row {number + 1} of the list has the {name} {value!r}. Allowed: {kind}.") from None
    return found


def _full_path(path: str, folder: str) -> str:
    """Return a list's path in full: relative ones start from the list's ``folder``."""
    if protocol_of(path):
        return path
    if protocol_of(folder) and not path.startswith("/"):
        path = posixpath.normpath(path)
        while path.startswith("../") and "/" in folder.partition("://")[2]:
            folder, path = split(folder)[0], path.removeprefix("../")
        return f"{folder}/{path}"
    return os.path.abspath(os.path.join(folder, path))


def _default_key(path: str) -> str:
    """Return a picture's default key: its path without protocol, leading slashes and leading ``..``.

    >>> _default_key("../many/./a.png"), _default_key("s3://bucket//a.png")
    ('many/a.png', 'bucket//a.png')
    """
    protocol = protocol_of(path)
    if local_path(path) is not None:
        path = posixpath.normpath(path.removeprefix(f"{protocol}://"))
    path = path.removeprefix(f"{protocol}://").lstrip("/").removeprefix("./")
    while path.startswith("../"):
        path = path.removeprefix("../").lstrip("/")
    return path
