"""The pictures that training data is made of: which files of a folder they are, and their pixels as 8-bit RGB."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import DataError, PictureError, listing

SUFFIXES = (".avif", ".heic", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Source:
    """A picture file and the name it goes by: its path below the folder it was found in, with forward slashes."""

    name: str
    path: Path


def find_pictures(folders: list[Path]) -> list[Source]:
    """Return the pictures in ``folders`` and their sub-folders, sorted by name.

    Hidden files and folders are left out. With several folders a name starts with its folder's own name.

    Raises:
        DataError: a folder is missing, is a file or has no picture, or two pictures would go by one name.
    """
    found: dict[str, Source] = {}
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
                raise DataError(f"{found[name].path} and {path} would both go by the name {name}. Rename one folder.")
            found[name] = Source(name, path)
    return [found[name] for name in sorted(found)]


# Until rlfn.images.files has a reader of its own, pictures are decoded here.


def picture_size(path: Path) -> tuple[int, int]:
    """Return the (height, width) of a picture, upright, from its header alone.

    Raises:
        PictureError: the file is not a picture that can be read.
    """
    image = _open(path)
    return int(image.height), int(image.width)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read a picture as RGB, (H, W, 3) uint8, upright.

    Gray is repeated in the three channels, 16 bits are rounded to 8, transparent parts are laid over white, other
    colour spaces become sRGB.

    Raises:
        PictureError: the file is not a picture, is cut short or damaged.
    """
    import pyvips

    image = _open(path)
    try:
        if image.interpretation not in ("srgb", "rgb", "rgb16", "b-w", "grey16"):
            image = image.colourspace("srgb")
        if image.hasalpha():
            image = image.flatten(background=[65535 if image.format == "ushort" else 255])
        pixels: NDArray[Any] = image.numpy()
    except pyvips.Error as error:
        raise PictureError(f"{path} cannot be decoded: {_reason(error)}.") from error
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise PictureError(f"{path} has samples of type {pixels.dtype}. Allowed: 8 and 16 bits a sample.")
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return np.ascontiguousarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[:, :, :3])


def write_rgb(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a (H, W, 3) uint8 picture as PNG, under a temporary name first.

    Raises:
        OSError: the file cannot be written.
    """
    import os

    import pyvips

    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(pyvips.Image.new_from_array(pixels).copy(interpretation="srgb").pngsave_buffer())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _open(path: Path) -> Any:
    """Return the lazily decoded picture, turned upright."""
    import pyvips

    try:
        # revalidate: libvips remembers what it has decoded by name alone, and the file may have changed
        return pyvips.Image.new_from_file(str(path), fail_on="truncated", revalidate=True).autorot()
    except pyvips.Error as error:
        raise PictureError(f"{path} is not a picture that can be read: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """Return the last line of what the decoder said."""
    lines = [line.strip() for line in str(getattr(error, "detail", "") or error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "no reason was given"
