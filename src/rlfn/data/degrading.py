"""Writing degraded pictures of a folder to files, to inspect or reuse what training sees."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from rlfn.atomic import make_folder
from rlfn.data.crops import sample_stream
from rlfn.data.degradations import Degradation
from rlfn.data.pack import PictureProgress
from rlfn.data.pictures import TrainingPicture, find_pictures, read_rgb, write_rgb
from rlfn.errors import DataError, OptionError, OutputError, PictureError
from rlfn.wording import setting


@dataclass
class Degraded:
    """What became of a folder's pictures.

    Attributes:
        skipped: how many low-resolution pictures existed and were kept.
        failures: a sentence on each picture that could not be read or is smaller than the scale.
    """

    skipped: int = 0
    failures: list[str] = field(default_factory=list)


def degrade_folder(
    folder: Path,
    out: Path,
    *,
    scale: int,
    degradation: Degradation,
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
    progress: PictureProgress | None = None,
) -> Degraded:
    """Write the low-resolution picture of every picture in ``folder`` as ``out/<sub-folders>/<name>x<scale>.png``.

    Random choices depend only on ``seed`` and the picture's name.

    Args:
        folder: pictures, also in sub-folders; each is cropped at the right and bottom to a multiple of ``scale``.
        out: the folder to write to, outside of ``folder``.
        scale: the downscaling factor, at least 2.
        degradation: a row of ``DEGRADATIONS``, with its settings.
        seed: the random seed.
        workers: number of threads; by default one per core.
        overwrite: replace low-resolution pictures that exist; otherwise they are kept, whatever made them.
        progress: called after each picture.

    Returns:
        How many pictures were kept, and which failed; the others are written.

    Raises:
        OptionError: a scale below 2.
        DataError: ``folder`` is missing or has no pictures, ``out`` is in it, or two pictures would become one file.
        OutputError: ``out`` cannot be written, or a picture of ``folder`` would be replaced.
    """
    if scale < 2:
        raise OptionError(f"Pictures cannot be reduced by {scale}. Give a whole number of at least 2.")
    if out.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"{out} is the folder of the input pictures or lies in it. "
            f"Choose a folder outside of it for {setting('output')}."
        )
    sources = find_pictures([folder])
    targets = _targets(sources, out, scale)
    present = [target for target in targets if target.exists()]
    if not overwrite:
        for target in present:
            del targets[target]

    def work(target: Path, source: TrainingPicture) -> str:
        try:
            hr = read_rgb(source.path)
            height, width = hr.shape[0] // scale * scale, hr.shape[1] // scale * scale
            if 0 in (height, width):
                raise PictureError(f"{source.path} is {hr.shape[1]}x{hr.shape[0]}, too small to be reduced by {scale}.")
            number = int.from_bytes(hashlib.sha256(source.name.encode()).digest()[:7], "big")
            lr = degradation.apply(hr[:height, :width], scale, sample_stream(seed, 0, number))
            make_folder(target.parent)
            write_rgb(target, lr)
        except PictureError as error:
            return str(error)
        return ""

    degraded = Degraded(0 if overwrite else len(present))
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1, "degrade")
    try:
        made = pool.map(work, targets.keys(), targets.values())
        for number, (source, failure) in enumerate(zip(targets.values(), made, strict=True), 1):
            degraded.failures += [failure] if failure else []
            if progress:
                progress(number, len(targets), source.name)
    finally:
        pool.shutdown(cancel_futures=True)
    return degraded


def _targets(sources: list[TrainingPicture], out: Path, scale: int) -> dict[Path, TrainingPicture]:
    """Return each picture under the file that it becomes; no file is that of a picture."""
    targets: dict[Path, TrainingPicture] = {}
    for source in sources:
        name = Path(source.name)
        target = out / name.parent / f"{name.stem}x{scale}.png"
        if target in targets:
            raise DataError(f"{targets[target].name} and {source.name} would both become {target}. Rename one.")
        targets[target] = source
    files = {_identity(source.path) for source in sources}
    for target in targets:
        if target.exists() and _identity(target) in files:
            raise OutputError(f"{target} is one of the input pictures. Choose another folder for {setting('output')}.")
    return targets


def _identity(path: Path) -> tuple[int, int]:
    """Return what tells a file from every other, whatever path leads to it."""
    facts = path.stat()
    return facts.st_dev, facts.st_ino
