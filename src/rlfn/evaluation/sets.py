"""Test sets: locating pictures, pairing LR with HR, and checking that the pixels are the standard ones.

Supported layouts, where ``S`` is the scale:

===============================================  =====================================================
``HR/NAME.png`` + ``LR_bicubic/XS/NAME[xS].png``  the usual one; DIV2K's ``..._HR`` + ``..._LR_bicubic`` too
``image_SRF_S/NAME_HR.png`` + ``NAME_LR.png``     Huang's packs
``HR/NAME.png`` or ``NAME.png``                   LR is made here by :func:`rlfn.images.resize.resize`
===============================================  =====================================================

An HR picture is cropped at the right and bottom to a multiple of the scale, as for the LR pictures of all packs. Gray
pictures are repeated in three channels.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import DataError, PictureError
from rlfn.images.color import to_rgb
from rlfn.images.files import READABLE_SUFFIXES, read_picture
from rlfn.images.resize import resize
from rlfn.wording import listing

STANDARD = ("Set5", "Set14", "B100", "Urban100", "Manga109")
"""The standard sets of the field, by the names of their folders."""

# sub-folders of the sets folder that are searched
_PLACES = ("", "bench", "benchmark", "data", "data/bench", "data/benchmark")

# (HR, LR) fingerprints of the standard pixels, measured on the sets as shared by the papers' authors;
# any LR picture made from the HR with MATLAB's bicubic has the same fingerprint
KNOWN: dict[tuple[str, int], tuple[str, str]] = {
    ("Set5", 2): ("4df8c56a37ffd7cf", "06fe5096611e4f78"),
    ("Set5", 3): ("e0ed2fd8ab94e6cc", "51ef4abc94193ca4"),
    ("Set5", 4): ("4df8c56a37ffd7cf", "5be011fd5eedb2b3"),
    ("Set14", 2): ("704200d5c2539e61", "808ef06284832913"),
    ("Set14", 3): ("c5e5ebe0f04b1d46", "8dd716d55400d13f"),
    ("Set14", 4): ("74b6518b1f725f12", "9d82a325755b3bc2"),
    ("B100", 2): ("1541122e83d96a99", "6452f97d2fd4fef1"),
    ("B100", 3): ("c944a4d95c0b054f", "f915d6240865523b"),
    ("B100", 4): ("1541122e83d96a99", "76af567a384a3334"),
}
"""Fingerprints of the standard pictures by set and scale: cropped HR, and its bicubic LR."""


@dataclass(frozen=True)
class PicturePair:
    """One picture of a set: its name, its HR file, and its LR file (None: computed from the HR)."""

    name: str
    hr: Path
    lr: Path | None


@dataclass(frozen=True)
class PictureSet:
    """A set at one scale, its pictures sorted by name."""

    name: str
    root: Path
    scale: int
    pairs: tuple[PicturePair, ...]

    @property
    def lr_source(self) -> str:
        """The source of the LR pictures, in words."""
        first = self.pairs[0].lr
        return "made here, MATLAB bicubic" if first is None else f"files of {first.parent.relative_to(self.root)}"


@dataclass(frozen=True)
class Sample:
    """A pair of images: ``lr`` (h, w, 3) and ``hr`` (s h, s w, 3), both uint8 RGB."""

    name: str
    lr: NDArray[np.uint8]
    hr: NDArray[np.uint8]


class Fingerprint:
    """A hash of a set's pixels, independent of file names, formats and the order of the pictures."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, image: NDArray[np.uint8]) -> None:
        """Add one picture (H, W, 3)."""
        head = "x".join(map(str, image.shape)).encode()
        self._parts.append(hashlib.sha256(head + np.ascontiguousarray(image).tobytes()).digest())

    def __str__(self) -> str:
        return hashlib.sha256(b"".join(sorted(self._parts))).hexdigest()[:16]


def find_set(which: str, scale: int, sets_dir: str | os.PathLike[str] | None = None) -> PictureSet:
    """Find a set and its pictures; nothing is decoded yet.

    Args:
        which: a set's name, searched in ``sets_dir``, or the path of any folder of pictures.
        scale: the upscaling factor.
        sets_dir: the folder that contains the sets; None for that of :func:`sets_folder`.

    Raises:
        DataError: there is no such folder, it has no pictures, or its LR folder is incomplete.
    """
    root = _find_root(which, sets_folder(sets_dir))
    name = next((known for known in STANDARD if known.lower() == root.name.lower()), root.name or str(root))
    pairs = _srf_pairs(root, scale) or _folder_pairs(root, scale)
    return PictureSet(name, root, scale, tuple(pairs))


def sets_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the sets: ``given``, otherwise ``$RLFN_SETS_DIR``, otherwise the current directory."""
    return Path(given or os.environ.get("RLFN_SETS_DIR") or ".")


def sets_present(scale: int, sets_dir: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the names of the standard sets that :func:`find_set` finds."""
    found = []
    for name in STANDARD:
        try:
            find_set(name, scale, sets_dir)
        except DataError:
            continue
        found.append(name)
    return found


def read_pair(pair: PicturePair, scale: int) -> Sample:
    """Decode one picture of a set and check that the sizes of LR and HR match.

    Raises:
        DataError: the size of the LR picture is not that of the HR picture divided by ``scale``.
        PictureError: a file is damaged, or holds something other than 8-bit gray or RGB.
    """
    hr = read_rgb(pair.hr)
    height, width = (side // scale for side in hr.shape[:2])
    if min(height, width) == 0:
        raise DataError(f"{pair.hr} is {_size(hr)}, too small to be reduced by {scale}. Remove it from the set.")
    hr = np.ascontiguousarray(hr[: height * scale, : width * scale])
    lr = read_rgb(pair.lr) if pair.lr else resize(hr, scale=1 / scale)
    if lr.shape[:2] != (height, width):
        raise DataError(
            f"{pair.lr} is {_size(lr)}, but {pair.hr.name} reduced by {scale} is {width}x{height}. "
            f"The LR picture is of another scale or another crop; get the set again, or remove its LR folder "
            "to have LR made here."
        )
    return Sample(pair.name, lr, hr)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Decode one picture to (H, W, 3) uint8 RGB; gray is repeated in three channels.

    Raises:
        PictureError: the file is missing or damaged, or holds something other than 8-bit gray or RGB.
    """
    pixels = read_picture(path).pixels
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or pixels.shape[2] == 3):
        bits = f"{8 * pixels.dtype.itemsize}-bit"
        kind = f"{bits} gray" if pixels.ndim == 2 else f"{bits} RGB" + " with transparency" * (pixels.shape[2] == 4)
        raise PictureError(
            f"{path} is {kind}. Sets are of 8-bit gray or RGB. Convert the picture, or remove it from the set."
        )
    return to_rgb(pixels)


def warning(name: str, scale: int, hr: Fingerprint, lr: Fingerprint) -> str | None:
    """Return a warning if the pixels of a standard set differ from the standard ones, otherwise None."""
    wanted = KNOWN.get((name, scale))
    if wanted is None or wanted == (str(hr), str(lr)):
        return None
    wrong = "HR" if str(hr) != wanted[0] else "LR"
    return (
        f"The {wrong} pixels of this {name} x{scale} are not the standard ones (fingerprint "
        f"{hr if wrong == 'HR' else lr}, standard {wanted[wrong == 'LR']}): its scores cannot be compared with others'."
    )


def _find_root(which: str, sets_dir: Path) -> Path:
    direct = Path(which).expanduser()
    if direct.is_dir() and (direct.name.lower() not in map(str.lower, STANDARD) or len(direct.parts) > 1):
        return direct.resolve()
    tried = [sets_dir / place for place in _PLACES]
    for folder in tried:
        if folder.is_dir():
            for entry in sorted(folder.iterdir()):
                if entry.name.lower() == which.lower() and entry.is_dir():
                    return entry.resolve()
    if direct.is_dir():
        return direct.resolve()
    standard = [name for name in STANDARD if any((folder / name).is_dir() for folder in tried)]
    there = f" The standard sets there: {listing(standard)}." if standard else ""
    raise DataError(
        f"There is no set {which}: neither a folder of that path, nor one of that name in {sets_dir.resolve()} or its "
        f"{listing(place for place in _PLACES if place)}.{there} Give a folder's path, or set RLFN_SETS_DIR to the "
        "folder that holds the sets."
    )


def _srf_pairs(root: Path, scale: int) -> list[PicturePair]:
    """Read Huang's layout: both pictures in one folder."""
    folder = root / f"image_SRF_{scale}"
    if not folder.is_dir():
        others = sorted(entry.name for entry in root.glob("image_SRF_*"))
        if others and not _pictures(root) and not _hr_folder(root):
            raise DataError(
                f"{root} has {listing(others)}, none of them for scale {scale}. Use a model of their scale."
            )
        return []
    pairs = []
    for hr in _pictures(folder):
        if hr.stem.endswith("_HR"):
            name = hr.stem.removesuffix("_HR").removesuffix(f"_SRF_{scale}")
            pairs.append(PicturePair(name, hr, _require(folder, [hr.stem.removesuffix("_HR") + "_LR"], hr)))
    if not pairs:
        raise DataError(f"{folder} has no pictures named ..._HR. Its layout is not supported.")
    return pairs


def _folder_pairs(root: Path, scale: int) -> list[PicturePair]:
    """Read a folder with ``HR`` and optionally ``LR_bicubic``, or a plain folder of pictures."""
    folder = _hr_folder(root) or root
    pictures = _pictures(folder)
    if not pictures:
        raise DataError(
            f"{root} has no pictures in a supported layout: HR with or without LR_bicubic/X{scale}, "
            f"image_SRF_{scale}, or the pictures themselves. Suffixes read: {listing(sorted(READABLE_SUFFIXES))}."
        )
    lr = _lr_folder(root, folder, scale)
    stems = [picture.stem for picture in pictures]
    if len(set(stems)) < len(stems):
        twice = sorted({stem for stem in stems if stems.count(stem) > 1})
        raise DataError(f"{folder} has two pictures called {listing(twice[:3])}. Keep one of each.")
    return [
        PicturePair(
            picture.stem,
            picture,
            _require(lr, [f"{picture.stem}{mark}" for mark in (f"x{scale}", "", f"_x{scale}")], picture)
            if lr
            else None,
        )
        for picture in pictures
    ]


def _hr_folder(root: Path) -> Path | None:
    candidates = [root / "HR", *sorted(root.glob("*_HR"))]
    return next((folder for folder in candidates if folder.is_dir()), None)


def _lr_folder(root: Path, hr: Path, scale: int) -> Path | None:
    if hr == root:
        return None
    stem = hr.name.removesuffix("HR")
    return next((path for x in "Xx" if (path := root / f"{stem}LR_bicubic" / f"{x}{scale}").is_dir()), None)


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in READABLE_SUFFIXES and not path.name.startswith(".")
    )


def _require(folder: Path, stems: list[str], hr: Path) -> Path:
    for stem in stems:
        for suffix in (hr.suffix, *sorted(READABLE_SUFFIXES)):
            if (path := folder / f"{stem}{suffix}").is_file():
                return path
    raise DataError(
        f"{folder} has no LR picture for {hr.name}: looked for {listing(stems)}. "
        "Complete it, or remove the LR folder to have LR made here by MATLAB's bicubic."
    )


def _size(image: NDArray[Any]) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
