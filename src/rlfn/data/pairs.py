"""Pairing of high-resolution pictures with low-resolution ones, with sizes checked by their headers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rlfn.data.pictures import SUFFIXES, TrainingPicture, looks_truncated, picture_size, read_rgb
from rlfn.errors import DataError, PictureError


@dataclass(frozen=True)
class PackingJob:
    """One picture to pack: its files by scale (1 for the high-resolution one) and its upright size."""

    name: str
    files: dict[int, Path]
    height: int
    width: int

    def stamp(self) -> list[int]:
        """Return size and modification time of each file, to detect changed files."""
        states = [self.files[scale].stat() for scale in sorted(self.files)]
        return [number for state in states for number in (state.st_size, state.st_mtime_ns)]


def plan_packing(
    sources: list[TrainingPicture], scales: tuple[int, ...], lr_folder: Path | None, min_side: int
) -> tuple[list[PackingJob], list[str]]:
    """Read the headers of all pictures; return those to pack, and a message for each of the others.

    Files that seem to be truncated are also decoded, to be certain; other damage is found on packing.

    Raises:
        DataError: ``lr_folder`` is not a folder.
    """
    if lr_folder is not None and not lr_folder.is_dir():
        raise DataError(f"{lr_folder} is not a folder. Give the folder of the low-resolution pictures.")
    jobs, problems = [], []
    for source in sources:
        try:
            height, width = picture_size(source.path)
            if min(height, width) < max(min_side, *scales):
                raise DataError(f"{source.name} is {width}x{height}, smaller than {min_side} pixels a side")
            files = {1: source.path}
            for scale in scales if lr_folder else ():
                files[scale] = find_lr(source, scale, lr_folder or Path(), only=len(scales) == 1)
                _check_pair(source, files[scale], (height, width), picture_size(files[scale]), scale)
            for file in filter(looks_truncated, files.values()):
                read_rgb(file)
            jobs.append(PackingJob(source.name, files, height, width))
        except (DataError, PictureError) as error:
            problems.append(str(error).rstrip("."))
    return jobs, problems


def find_lr(source: TrainingPicture, scale: int, lr_folder: Path, only: bool = True) -> Path:
    """Return the low-resolution picture of ``source``.

    For ``a/0001.png`` and scale 4 the names ``0001x4`` and ``0001`` are tried with every picture suffix, in ``X4/``,
    ``x4/`` and then ``lr_folder`` itself, each with and without the sub-folder ``a`` (``0001`` directly in
    ``lr_folder`` only if it is used for a single scale, ``only``).

    Raises:
        DataError: there is no such picture.
    """
    name = Path(source.name)
    for folder in (f"X{scale}", f"x{scale}", "."):
        stems = [f"{name.stem}x{scale}"] + ([name.stem] if folder != "." or only else [])
        for parent in dict.fromkeys((name.parent, Path())):
            for stem in stems:
                for suffix in dict.fromkeys((name.suffix, *SUFFIXES)):
                    path = lr_folder / folder / parent / f"{stem}{suffix}"
                    if path.is_file():
                        return path
    raise DataError(f"{source.name} has no picture reduced by {scale} in {lr_folder} (such as X{scale}/{stems[0]}.png)")


def _check_pair(source: TrainingPicture, file: Path, hr: tuple[int, int], lr: tuple[int, int], scale: int) -> None:
    wanted = (hr[0] // scale, hr[1] // scale)
    if lr != wanted:
        raise DataError(
            f"{source.name} is {hr[1]}x{hr[0]}, so its picture reduced by {scale} must be {wanted[1]}x{wanted[0]}, "
            f"but {file} is {lr[1]}x{lr[0]}"
        )
