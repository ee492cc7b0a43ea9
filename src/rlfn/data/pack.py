"""A pack: a folder of pictures, decoded once, from which a random crop costs microseconds.

A pack is a folder with one file of raw uint8 samples for the high-resolution pictures (``hr.u8``), one for each scale
(``x4.u8``, ...) and ``index.json`` with the names and offsets of the pictures. A picture is stored as three planes,
(3, H, W), the layout that networks expect. ``rlfn data pack`` writes packs (:mod:`rlfn.data.packing`).
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rlfn.atomic import to_path
from rlfn.data.store import CheckProgress, PictureStore, shorten
from rlfn.errors import DataError
from rlfn.wording import listing, setting

INDEX = "index.json"
JOURNAL = "journal.jsonl"
KIND, VERSION = "rlfn pack", 1

PictureProgress = Callable[[int, int, str], None]
"""Called with the pictures done, the pictures in all, and the name just done."""

_MOST_BYTES = 1 << 50
_AGAIN = "Delete the folder and run `rlfn data pack` again."


def layer_file(scale: int) -> str:
    """Return the name of the file for ``scale``; 1 is the high-resolution pictures."""
    return "hr.u8" if scale == 1 else f"x{scale}.u8"


@dataclass(frozen=True)
class PackEntry:
    """One picture of a pack; the dictionaries have a key for each scale, 1 being the high-resolution picture."""

    name: str
    height: int
    width: int
    offsets: dict[int, int]
    checksums: dict[int, int]  # CRC-32 of the samples
    stamp: list[int] = field(default_factory=list)  # size in bytes and modification time (ns) of each source file

    def shape(self, scale: int) -> tuple[int, int, int]:
        """Return (3, height, width) of the picture reduced by ``scale``."""
        return 3, self.height // scale, self.width // scale

    def count(self, scale: int) -> int:
        """Return the number of samples of the picture reduced by ``scale``; also its size in bytes."""
        _, height, width = self.shape(scale)
        return 3 * height * width

    @classmethod
    def from_json(cls, row: dict[str, Any], scales: Iterable[int]) -> PackEntry:
        """Rebuild an entry of a pack with ``scales`` from its JSON form, whose keys are strings.

        Raises:
            ValueError, KeyError, TypeError, AttributeError, OverflowError: the row is not a valid entry.
        """
        offsets = {int(scale): int(offset) for scale, offset in row["offsets"].items()}
        checksums = {int(scale): int(checksum) for scale, checksum in row["checksums"].items()}
        made = cls(str(row["name"]), int(row["height"]), int(row["width"]), offsets, checksums, list(row["stamp"]))
        for scale in (1, *scales):
            if not 0 <= offsets[scale] < _MOST_BYTES or not 0 < made.count(scale) < _MOST_BYTES:
                raise ValueError(f"{made.name} has no samples at scale {scale}")
            if min(made.height, made.width) < 1 or checksums[scale] < 0:
                raise ValueError(f"{made.name} has no size or no checksum at scale {scale}")
        return made


@dataclass(frozen=True)
class LeftOut:
    """A picture that could not be decoded and was left out: the ``stamp`` of its files, and the reason."""

    stamp: list[int]
    reason: str


def seal(index: dict[str, Any]) -> dict[str, Any]:
    """Return the index with the SHA-256 of its content added."""
    text = json.dumps({key: value for key, value in index.items() if key != "sha256"}, sort_keys=True)
    return {**index, "sha256": hashlib.sha256(text.encode()).hexdigest()}


class Pack(PictureStore):
    """A finished pack, memory-mapped and read-only; it can be shared between threads and pickled.

    Attributes:
        path: the pack's folder.
        scales: the downscaling factors of the low-resolution pictures, ascending.
        names: the pictures' names, sorted.
        stamps: size in bytes and modification time (ns) of each picture's files at the time of packing.
        settings: the settings that the pack was made with.
        left_out: the pictures that could not be decoded and were left out, by name.
    """

    def __init__(
        self,
        path: Path,
        entries: list[PackEntry],
        scales: tuple[int, ...],
        settings: dict[str, Any],
        left_out: dict[str, LeftOut],
    ) -> None:
        self.label = f"the pack {path}"
        self.published = path.resolve().name
        self.path = path
        self.scales = scales
        self.names = tuple(entry.name for entry in entries)
        self.stamps = tuple(entry.stamp for entry in entries)
        self.settings = settings
        self.left_out = left_out
        self._entries = entries
        self._layers = {scale: _map(path / layer_file(scale)) for scale in (1, *scales)}
        self.sides = np.array([(entry.height, entry.width) for entry in entries])

    @classmethod
    def open(cls, path: str | Path) -> Pack:
        """Open the pack in the folder ``path``.

        Raises:
            DataError: the folder is missing, is not a pack, is not finished, or its files do not match its index.
        """
        path = Path(path)
        index = _read_index(path)
        try:
            entries, scales, settings, left_out = _content(index)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(f"{path / INDEX} is damaged or not the index of a pack. {_AGAIN}") from error
        for scale in (1, *scales):
            file = path / layer_file(scale)
            needed = max((entry.offsets[scale] + entry.count(scale) for entry in entries), default=0)
            size = file.stat().st_size if file.is_file() else 0
            if size < max(needed, 1):
                raise DataError(
                    f"The pack {path} is damaged: {file.name} has {size:,} bytes and {needed:,} are needed. "
                    "Delete the folder and run `rlfn data pack` again."
                )
        return cls(path, entries, scales, settings, left_out)

    def __reduce__(self) -> tuple[Any, ...]:
        return Pack.open, (self.path,)

    def __repr__(self) -> str:
        return f"Pack({str(self.path)!r}, {len(self)} pictures, scales {listing(self.scales)})"

    def planes(self, picture: int, scale: int = 1) -> NDArray[np.uint8]:
        """Return a view of the picture at index ``picture``, reduced by ``scale``: (3, H // scale, W // scale) uint8.

        Raises:
            DataError: the pack does not have that scale.
        """
        self.check_scale(scale)
        entry = self._entries[picture]
        start = entry.offsets[scale]
        return self._layers[scale][start : start + entry.count(scale)].reshape(entry.shape(scale))

    def _contents(self, scale: int, unpacked: bool) -> list[Any]:
        if unpacked and self.settings.get("lr") == "bicubic":
            return [next(iter(entry.stamp), None) for entry in self._entries]  # the file's size, as of a folder
        return [[entry.checksums[1], entry.checksums.get(scale)] for entry in self._entries]

    def offers(self, scale: int) -> bool:
        """See :meth:`PictureStore.offers`."""
        return scale in self._layers

    def check_scale(self, scale: int) -> None:
        """See :meth:`PictureStore.check_scale`."""
        if not self.offers(scale):
            raise DataError(
                f"The pack {self.path} has no x{scale} pictures; it has: {listing(self.scales)}. "
                f"Make them with rlfn data pack, {setting('scale', scale)}."
            )

    def check_decoding(self, progress: CheckProgress | None = None) -> None:
        """See :meth:`PictureStore.check_decoding`: the pictures of a pack are decoded already."""

    def verify(self, progress: PictureProgress | None = None) -> None:
        """Compare every picture with its checksum; this reads the whole pack.

        Args:
            progress: called after each picture.

        Raises:
            DataError: some pictures differ; the message names them.
        """
        wrong = []
        for number, entry in enumerate(self._entries, 1):
            if not intact(entry, self._layers):
                wrong.append(entry.name)
            if progress:
                progress(number, len(self._entries), entry.name)
        if wrong:
            raise DataError(f"The pack {self.path} is damaged in: {shorten(wrong)}. Delete it and pack again.")


def intact(entry: PackEntry, layers: dict[int, NDArray[np.uint8]]) -> bool:
    """Return whether the samples of a picture match the checksums of its entry."""
    for scale, layer in layers.items():
        start = entry.offsets[scale]
        samples = layer[start : start + entry.count(scale)]
        if samples.size != entry.count(scale) or zlib.crc32(samples.data) != entry.checksums[scale]:
            return False
    return True


def write_index(
    path: Path,
    entries: list[PackEntry],
    scales: tuple[int, ...],
    settings: dict[str, Any],
    left_out: dict[str, LeftOut] | None = None,
) -> None:
    """Write the index of a pack atomically; ``path`` is the pack's folder.

    Raises:
        OutputError: it cannot be written.
    """
    rows = [asdict(entry) for entry in sorted(entries, key=lambda entry: entry.name)]
    index = {
        "kind": KIND,
        "version": VERSION,
        "scales": list(scales),
        "settings": settings,
        "pictures": rows,
        "left_out": {name: asdict(row) for name, row in (left_out or {}).items()},
    }
    text = json.dumps(seal(json.loads(json.dumps(index))), separators=(",", ":"))

    def write(stream: BinaryIO) -> None:
        stream.write(text.encode())
        stream.flush()
        os.fsync(stream.fileno())

    to_path(path / INDEX, write)


def _read_index(path: Path) -> dict[str, Any]:
    """Read and check the index of the pack in the folder ``path``."""
    file = path / INDEX
    if not file.is_file():
        if (path / JOURNAL).is_file():
            raise DataError(f"The pack {path} is not finished. Run the same `rlfn data pack` command again.")
        if path.is_dir():
            raise DataError(f"{path} is not a pack: it has no {INDEX}. Make a pack with `rlfn data pack`.")
        if path.exists():
            raise DataError(f"{path} is a file. Give a pack, made by `rlfn data pack`, or a folder of pictures.")
        raise DataError(f"{path} does not exist. Make a pack with `rlfn data pack`.")
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}. Change its permissions.") from error
    except (ValueError, RecursionError):
        index = None
    if not isinstance(index, dict) or index.get("kind") != KIND:
        raise DataError(f"{file} is damaged or not the index of a pack. Delete the folder and pack again.")
    if index.get("version") != VERSION:
        raise DataError(f"{file} has version {index.get('version')}; this rlfn reads version {VERSION}. Pack again.")
    if index != _sealed_again(index):
        raise DataError(f"{file} is damaged: its checksum is wrong. Delete the folder and run `rlfn data pack` again.")
    return index


def _sealed_again(index: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return seal(index)
    except (ValueError, RecursionError):  # too deep, or a number of thousands of digits
        return None


def _content(
    index: dict[str, Any],
) -> tuple[list[PackEntry], tuple[int, ...], dict[str, Any], dict[str, LeftOut]]:
    """Return an index's entries, scales, settings and left-out pictures; raises any exception for invalid content."""
    scales = tuple(int(scale) for scale in index["scales"])
    if sorted(set(scales)) != list(scales) or any(scale < 2 for scale in scales):
        raise ValueError(f"scales {scales}")
    entries = [PackEntry.from_json(row, scales) for row in index["pictures"]]
    if not entries:
        raise ValueError("no pictures")
    left_out = {
        str(name): LeftOut(list(row["stamp"]), str(row["reason"])) for name, row in index.get("left_out", {}).items()
    }
    return entries, scales, dict(index["settings"]), left_out


def _map(file: Path) -> NDArray[np.uint8]:
    """Memory-map a file of samples as a plain array, which is faster to slice than ``numpy.memmap``."""
    return np.asarray(np.memmap(file, np.uint8, mode="r"))
