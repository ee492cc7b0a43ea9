"""What there is to do: the pictures of a folder, or of a list with options of their own."""

from __future__ import annotations

import io
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from rlfn.errors import OptionError, PictureError, listing
from rlfn.images.formats import READABLE_SUFFIXES, looks_like_picture
from rlfn.jobs.bulk.manifest import import_arrow
from rlfn.jobs.bulk.stores import Store, canonical, local_facts, local_path, split

if TYPE_CHECKING:
    import pyarrow as pa

OPTIONS: dict[str, type] = {
    "scale": float,
    "width": int,
    "height": int,
    "model": str,
    "restore": str,
    "format": str,
    "quality": int,
}
"""The columns of a list that say how a picture is enlarged, where it is not as the others are."""

FACTS = ("path", "key", "bytes", "stamp")
"""The other columns: where a picture lies (needed), its name in the output, its size in bytes, and its version."""

LISTS = (".txt", ".csv", ".parquet")
"""The suffixes of lists."""

_ROWS = 50_000

Options = tuple[tuple[str, Any], ...]
"""Options of a picture of its own: (name, value), in the order of :data:`OPTIONS`."""


@dataclass
class Found:
    """The pictures of a source.

    Attributes:
        table: columns ``key``, ``path`` (full, with the protocol), ``bytes``, ``stamp`` and ``options`` (an index).
        options: the different options that pictures have of their own; the first has none.
        others: files with a suffix of pictures that are not read.
        ignored: columns of a list that say nothing here.
        refused: why a picture cannot be taken, by the row's number.
    """

    table: pa.Table
    options: list[Options] = field(default_factory=lambda: [()])
    others: int = 0
    ignored: tuple[str, ...] = ()
    refused: dict[int, str] = field(default_factory=dict)


def find(source: str | Sequence[str], output: Store) -> Found:
    """Return the pictures of a source.

    Args:
        source: a folder with all that lies below it, one picture, a list of paths (:data:`LISTS`), or paths.
        output: what lies there is no input.

    Raises:
        PictureError: there is nothing, or no picture.
        OptionError: a list makes no sense.
    """
    if not isinstance(source, str):
        return _paths({"path": list(source)}, "")
    store = Store(source)
    if PurePosixPath(source).suffix.lower() in LISTS:
        return _list(store)
    if not store.is_there():
        raise PictureError(f"There is nothing at {source}. Check the spelling.")
    if store.is_file():
        folder, name = split(source)
        parent = Store(folder)
        facts = parent.facts(parent.path(name))
        return _made(iter([(name, parent.shown(facts.name), facts.size, facts.stamp, 0)]))
    return _folder(store, output)


def _folder(store: Store, output: Store) -> Found:
    root, target = _resolved(store), _resolved(output)
    if root == target:
        raise OptionError(f"{store.place} would be its own output. Name another destination.")
    inside = target[len(root) + 1 :] + "/" if target.startswith(f"{root}/") else None
    others = 0

    def rows() -> Iterator[tuple[str, str, int, str, int]]:
        nonlocal others
        for found in store.files():
            if inside is not None and found.name.startswith(inside):
                continue
            if PurePosixPath(found.name).suffix.lower() in READABLE_SUFFIXES:
                yield found.name, store.shown(store.path(found.name)), found.size, found.stamp, 0
            elif looks_like_picture(PurePosixPath(found.name)):
                others += 1

    made = _made(rows())
    made.others = others
    if not made.table.num_rows:
        more = f" There are {others} pictures of other kinds in it." if others else ""
        raise PictureError(f"There are no pictures in {store.place}.{more}")
    return made


def _resolved(store: Store) -> str:
    """Return a store's folder as it can be compared with another's."""
    return os.path.realpath(store.root) if store.local else canonical(store.shown(store.root))


def _made(rows: Iterator[tuple[str, str, int, str, int]]) -> Found:
    """Collect rows in pieces, as a million of them take much more room in Python than in Arrow."""
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
    refused: dict[int, str] = {}
    for number, row in enumerate(rows):
        if not is_text(row[0] + row[1]):
            refused[number] = f"The name {_escaped(row[1])} is not UTF-8. Rename the file or its folder."
            row = (_escaped(row[0]), _escaped(row[1]), *row[2:])
        piece.append(row)
        if len(piece) == _ROWS:
            pieces.append(arrow.table(list(map(list, zip(*piece, strict=True))), schema=schema))
            piece = []
    if piece:
        pieces.append(arrow.table(list(map(list, zip(*piece, strict=True))), schema=schema))
    return Found(arrow.concat_tables(pieces) if pieces else schema.empty_table(), refused=refused)


def is_text(name: str) -> bool:
    """Tell whether a name can be written as UTF-8: Python keeps bytes that are none in code points of its own."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(name: str) -> str:
    r"""Write bytes that are not UTF-8 as ``\xff``."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _list(store: Store) -> Found:
    """Read a list of paths; relative ones begin in its own folder."""
    arrow = import_arrow()
    data = store.read(store.root)
    suffix = PurePosixPath(store.root).suffix.lower()
    folder, _ = split(store.place)
    try:
        if suffix == ".txt":
            lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
            return _paths({"path": [line for line in lines if line]}, folder)
        if suffix == ".csv":
            # what looks like a number or a date in a column of names is a name all the same
            texts = {name: arrow.string() for name in (*FACTS, *OPTIONS)}
            how = arrow.csv.ConvertOptions(column_types=texts, strings_can_be_null=True)
            table = arrow.csv.read_csv(io.BytesIO(data), convert_options=how)
        else:
            table = arrow.parquet.read_table(io.BytesIO(data))
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        said = str(error).splitlines()[0].rstrip(".")
        raise OptionError(f"{store.place} cannot be read as a list of pictures ({said}). Mend it.") from error
    return _paths({name: table.column(name).to_pylist() for name in table.column_names}, folder)


def _paths(columns: dict[str, list[Any]], folder: str) -> Found:
    if "path" not in columns:
        raise OptionError(
            f"The list has the columns {listing(columns)}, and none with the pictures' paths. Name it path."
        )
    given = [name for name in OPTIONS if name in columns]
    distinct: dict[Options, int] = {(): 0}

    def rows() -> Iterator[tuple[str, str, int, str, int]]:
        for number, path in enumerate(columns["path"]):
            if not isinstance(path, str) or not path:
                raise OptionError(f"Row {number + 1} of the list has no path. Fill it in, or leave the row out.")
            own = tuple((name, _value(name, columns[name][number], number)) for name in given)
            own = tuple(pair for pair in own if pair[1] is not None)
            full = _full(path, folder)
            key = _fact(columns, "key", number) or _key(path)
            size, version = _size(_fact(columns, "bytes", number), number), str(_fact(columns, "stamp", number) or "")
            if not (size and version) and (here := local_path(full)) is not None:
                facts = local_facts(here)
                size, version = facts[0] or size, version or facts[1]
            yield str(key), full, size, version, distinct.setdefault(own, len(distinct))

    made = _made(rows())
    if not made.table.num_rows:
        raise PictureError("The list names no picture.")
    made.options = list(distinct)
    made.ignored = tuple(name for name in columns if name not in (*FACTS, *OPTIONS))
    return made


def _fact(columns: dict[str, list[Any]], name: str, number: int) -> Any:
    return columns[name][number] if name in columns else None


def _size(value: Any, number: int) -> int:
    try:
        return int(value or 0)
    except (TypeError, ValueError):
        raise OptionError(f"Row {number + 1} of the list has the bytes {value!r}. Allowed: a whole number.") from None


def _value(name: str, value: Any, number: int) -> Any:
    """Read an option's value; an empty cell is none."""
    if value is None or value == "":
        return None
    try:
        found = OPTIONS[name](value)
        if isinstance(value, float) and found != value:
            raise ValueError
    except (TypeError, ValueError):
        kind = {float: "a number", int: "a whole number", str: "a text"}[OPTIONS[name]]
        raise OptionError(f"Row {number + 1} of the list has the {name} {value!r}. Allowed: {kind}.") from None
    return found


def _full(path: str, folder: str) -> str:
    """Return where a list's path leads: a relative one begins in the list's ``folder``."""
    if "://" in path:
        return path
    if "://" in folder and not path.startswith("/"):
        return f"{folder}/{posixpath.normpath(path)}"
    return os.path.abspath(os.path.join(folder, path))


def _key(path: str) -> str:
    """Return the name of a picture by its path: that without protocol and leading slashes."""
    return path.split("://", 1)[-1].lstrip("/").removeprefix("./")
