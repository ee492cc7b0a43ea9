"""Source pictures of training data: finding files in folders, and reading them as 8-bit RGB."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import DataError
from rlfn.images import files
from rlfn.images.color import over_white, to_rgb
from rlfn.images.convert import eight_bit
from rlfn.wording import listing

SUFFIXES = tuple(sorted(files.READABLE_SUFFIXES))

_ENDS = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG": b"IEND"}
"""The end marker of a format's files, by their first bytes."""

_TAIL = 32
"""Number of bytes at the end of a file in which its end marker is looked for."""


@dataclass(frozen=True)
class TrainingPicture:
    """A picture file and its name: the path relative to the folder that was searched, with forward slashes."""

    name: str
    path: Path


def find_pictures(folders: list[Path]) -> list[TrainingPicture]:
    """Return the pictures in ``folders`` and their sub-folders, sorted by name.

    Hidden files and folders are ignored. With several folders, names start with the name of their folder.

    Raises:
        DataError: a folder is missing, is a file or has no picture, or two pictures would have the same name.
    """
    found: dict[str, TrainingPicture] = {}
    for folder in folders:
        if not folder.is_dir():
            what = "is a file, not a folder" if folder.exists() else "does not exist"
            raise DataError(f"{folder} {what}. Give a folder of pictures ({listing(SUFFIXES)}).")
        here = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
        here = [path for path in here if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
        if not here:
            raise DataError(f"{folder} has no pictures. Looked for {listing(SUFFIXES)}, in its sub-folders too.")
        prefix = f"{folder.resolve().name}/" if len(folders) > 1 else ""
        for path in here:
            name = prefix + path.relative_to(folder).as_posix()
            if name in found:
                raise DataError(f"{found[name].path} and {path} would both have the name {name}. Rename one folder.")
            found[name] = TrainingPicture(name, path)
    return [found[name] for name in sorted(found)]


def picture_size(path: Path) -> tuple[int, int]:
    """Return the (height, width) of a picture, upright, without decoding it.

    Raises:
        PictureError: the file is not a picture that can be read.
    """
    width, height = files.picture_size(path, max_pixels=None)
    return height, width


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read a picture as RGB, (H, W, 3) uint8, upright.

    Gray is repeated in the three channels, 16 bits are rounded to 8, transparency is composited over white, and other
    colour spaces are converted to sRGB.

    Raises:
        PictureError: the file is not a picture, is truncated or damaged.
    """
    pixels: NDArray[Any] = files.read_picture(path, max_pixels=None).pixels
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = over_white(pixels)
    if pixels.dtype == np.uint16:
        pixels = eight_bit(pixels)
    return np.ascontiguousarray(to_rgb(pixels))


def looks_truncated(path: Path) -> bool:
    """Return whether a JPEG or PNG file lacks its end marker; it may be intact and have something after its end.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(8)
        stream.seek(max(0, path.stat().st_size - _TAIL))
        tail = stream.read()
    return any(start.startswith(magic) and end not in tail for magic, end in _ENDS.items())


def write_rgb(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a (H, W, 3) uint8 picture as PNG, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    files.write_picture(files.Picture(pixels), path, format="png")
