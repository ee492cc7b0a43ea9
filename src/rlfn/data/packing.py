"""Making packs: decode every picture once, downscale it, and append it to the pack's files.

Each picture's samples are written before its line in the journal, and the index is written last, atomically; so a run
that is interrupted at any moment, even by ``kill -9``, can be resumed, and an incomplete pack is never opened.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from rlfn.atomic import disk_is_full, hold
from rlfn.data.pack import (
    INDEX,
    JOURNAL,
    LeftOut,
    Pack,
    PackEntry,
    PictureProgress,
    intact,
    layer_file,
    write_index,
)
from rlfn.data.pairs import PackingJob, plan_packing
from rlfn.data.pictures import find_pictures, read_rgb
from rlfn.data.store import reduce_bicubic, shorten
from rlfn.errors import DataError, OptionError, OutputError, PictureError
from rlfn.wording import counted, itemized, setting

Planes = dict[int, NDArray[np.uint8]]  # by scale, 1 being the high-resolution picture; (H, W, 3)


@dataclass(frozen=True)
class Packed:
    """The result of :func:`make_pack`: the pack, the number of pictures added, and messages on skipped ones."""

    pack: Pack
    made: int
    left_out: tuple[str, ...]


def make_pack(
    folders: list[Path],
    out: Path,
    *,
    scales: tuple[int, ...] = (4,),
    lr_folder: Path | None = None,
    min_side: int = 256,
    skip: bool = False,
    workers: int | None = None,
    progress: PictureProgress | None = None,
) -> Packed:
    """Pack the pictures of ``folders`` into the folder ``out``, or resume an interrupted pack.

    The low-resolution picture of a scale is computed with MATLAB's bicubic from the high-resolution one, cropped at the
    right and bottom to a multiple of that scale; or it is read from ``lr_folder``.

    Args:
        folders: folders of pictures, searched with their sub-folders.
        out: the pack's folder.
        scales: the downscaling factors, each at least 2.
        lr_folder: existing low-resolution pictures, see :func:`rlfn.data.pairs.find_lr`.
        min_side: the shortest side allowed, in high-resolution pixels: the largest crop used in training.
        skip: skip pictures that are too small, unreadable or without a pair, instead of stopping.
        workers: number of threads; by default one per core.
        progress: called after each picture.

    Raises:
        OptionError: no scale, or one below 2.
        DataError: missing or empty folders; pictures that are too small, unreadable or do not match their pair;
            ``out`` contains something else.
        OutputError: the disk is full or ``out`` cannot be written.
    """
    scales = tuple(sorted(set(scales)))
    if not scales or scales[0] < 2:
        raise OptionError(f"Cannot pack at scales {scales or 'none'}. Give whole numbers of at least 2, such as 2 3 4.")
    jobs, problems = plan_packing(find_pictures(folders), scales, lr_folder, min_side)
    if problems and not skip:
        raise DataError(_refusal("", problems))
    if not jobs:
        raise DataError(f"No picture is left to pack:{itemized(problems)}")
    settings = {"scales": list(scales), "lr": "given" if lr_folder else "bicubic"}
    if (out / INDEX).exists():
        pack = _finished(out, jobs, settings, skip, progress)
        return Packed(pack, 0, (*problems, *(row.reason for row in pack.left_out.values())))
    try:
        with ExitStack() as stack:
            writer = _Writer(out, scales, settings, stack)
            todo = writer.resume(jobs)
            _check_space(out, todo, scales)
            failures = _run(todo, scales, writer, workers or os.cpu_count() or 1, len(jobs), progress)
            if failures and not skip:
                found = [row.reason for row in failures.values()]
                raise DataError(_refusal("The others are packed. ", found, " Then run again."))
            if not writer.entries:
                raise DataError(f"No picture could be packed:{itemized(row.reason for row in failures.values())}")
            writer.sync()
        write_index(out, list(writer.entries.values()), scales, settings, failures)
        (out / JOURNAL).unlink()
    except OSError as error:
        raise _output_error(out, error) from error
    reasons = (row.reason for row in failures.values())
    return Packed(Pack.open(out), len(todo) - len(failures), (*problems, *reasons))


def _refusal(others: str, problems: list[str], then: str = "") -> str:
    """Return the message that names the pictures that cannot be packed, one on a line."""
    them = "it" if len(problems) == 1 else "them"
    return (
        f"{counted(len(problems), 'picture')} cannot be packed. {others}Remove or replace {them}, or leave {them} out "
        f"with {setting('skip')}.{then}{itemized(problems)}"
    )


def _finished(
    out: Path, jobs: list[PackingJob], settings: dict[str, Any], skip: bool, progress: PictureProgress | None
) -> Pack:
    """Return the existing pack in ``out`` if it matches the request and its checksums are right."""
    pack = Pack.open(out)
    left_out = {name: row.stamp for name, row in pack.left_out.items()}
    if left_out and not skip:
        raise DataError(
            f"{out} holds a pack without pictures that could not be decoded: {shorten(left_out)}. Keep it with "
            f"{setting('skip')}, or delete it and pack again."
        )
    jobs = [job for job in jobs if left_out.get(job.name) != job.stamp()]
    repaired = [job.name for job in jobs if job.name in left_out]
    wanted = [job for job in jobs if job.name not in left_out]
    if pack.settings != settings or pack.names != tuple(job.name for job in wanted):
        raise DataError(
            f"{out} holds a pack of other pictures or settings. Delete it or choose another {setting('output')}."
        )
    changed = [job.name for job, stamp in zip(wanted, pack.stamps, strict=True) if job.stamp() != stamp] + repaired
    if changed:
        raise DataError(
            f"{out} already holds a pack of these pictures, but some have changed since: {shorten(changed)}. "
            f"Delete it or choose another {setting('output')}."
        )
    pack.verify(progress)
    return pack


class _Writer:
    """Appends pictures to the files of an unfinished pack."""

    def __init__(self, out: Path, scales: tuple[int, ...], settings: dict[str, Any], stack: ExitStack) -> None:
        out.mkdir(parents=True, exist_ok=True)
        if not (out / JOURNAL).is_file() and any(out.iterdir()):
            raise DataError(f"{out} is not empty and contains no pack. Choose a new folder for {setting('output')}.")
        self._journal = stack.enter_context((out / JOURNAL).open("a", encoding="utf-8"))
        if not hold(self._journal) or (out / INDEX).exists():
            raise _held(out)
        known = _read_journal(out, settings)
        self.entries: dict[str, PackEntry] = {}
        layers = {scale: out / layer_file(scale) for scale in (1, *scales)}
        for file in layers.values():
            file.touch()
        views: Planes = {
            scale: np.memmap(file, np.uint8, mode="r") if file.stat().st_size else np.empty(0, np.uint8)
            for scale, file in layers.items()
        }
        self.entries = {entry.name: entry for entry in known if intact(entry, views)}
        del views
        self._ends = dict.fromkeys(layers, 0)
        for entry in self.entries.values():
            for scale in layers:
                self._ends[scale] = max(self._ends[scale], entry.offsets[scale] + entry.count(scale))
        self._layers: dict[int, IO[bytes]] = {}
        for scale, file in layers.items():
            self._layers[scale] = stack.enter_context(file.open("r+b"))
            self._layers[scale].truncate(self._ends[scale])
            self._layers[scale].seek(self._ends[scale])
        self._journal.truncate(0)
        for row in (settings, *map(asdict, self.entries.values())):
            self._journal.write(json.dumps(row) + "\n")
        self._journal.flush()

    def resume(self, jobs: list[PackingJob]) -> list[PackingJob]:
        """Return the pictures that are still missing; discard those that have changed or are no longer requested."""
        stamps = {job.name: job.stamp() for job in jobs}
        self.entries = {name: entry for name, entry in self.entries.items() if stamps.get(name) == entry.stamp}
        return [job for job in jobs if job.name not in self.entries]

    def add(self, job: PackingJob, planes: Planes) -> None:
        """Append one picture, then its line in the journal."""
        offsets = dict(self._ends)
        checksums = {}
        for scale, samples in planes.items():
            self._layers[scale].write(samples.data)
            self._layers[scale].flush()
            self._ends[scale] += samples.size
            checksums[scale] = zlib.crc32(samples.data)
        _, height, width = planes[1].shape
        entry = PackEntry(job.name, height, width, offsets, checksums, job.stamp())
        self.entries[entry.name] = entry
        self._journal.write(json.dumps(asdict(entry)) + "\n")
        self._journal.flush()

    def sync(self) -> None:
        """Flush the samples to disk before an index refers to them."""
        for stream in self._layers.values():
            os.fsync(stream.fileno())


def _held(out: Path) -> DataError:
    """Return the error of a folder in which another process is making a pack, or has just made one."""
    return DataError(
        f"Another process packs into {out}. Wait for its end or stop it, then run the same command again; or choose "
        f"another {setting('output')}."
    )


def _read_journal(out: Path, settings: dict[str, Any]) -> list[PackEntry]:
    """Return the entries that an interrupted run has written; refuse those of other settings."""
    file = out / JOURNAL
    rows = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):  # the line that was being written when the run ended
            break
    if rows and rows[0] != settings:
        raise DataError(
            f"{out} holds an unfinished pack with other settings. Delete it or choose another {setting('output')}."
        )
    try:
        return [PackEntry.from_json(row, settings["scales"]) for row in rows[1:]]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{file} is damaged. Delete the folder and run `rlfn data pack` again.") from error


def _check_space(out: Path, jobs: list[PackingJob], scales: tuple[int, ...]) -> None:
    """Raise OutputError if the disk has too little space."""
    needed = sum(3 * (job.height // scale) * (job.width // scale) for job in jobs for scale in (1, *scales))
    free = shutil.disk_usage(out).free
    if needed > free:
        raise OutputError(
            f"The pack needs {needed / 1e9:.2f} GB more and the disk of {out} has {free / 1e9:.2f} GB free. "
            f"Free some space or choose another {setting('output')}."
        )


def _run(
    jobs: list[PackingJob],
    scales: tuple[int, ...],
    writer: _Writer,
    workers: int,
    total: int,
    progress: PictureProgress | None,
) -> dict[str, LeftOut]:
    """Create and write the pictures; return those that could not be decoded."""
    failures = {}
    for number, (job, future) in enumerate(_in_threads(jobs, scales, workers), total - len(jobs) + 1):
        try:
            writer.add(job, future.result())
        except PictureError as error:
            failures[job.name] = LeftOut(job.stamp(), str(error).rstrip("."))
        if progress:
            progress(number, total, job.name)
    return failures


def _in_threads(
    jobs: list[PackingJob], scales: tuple[int, ...], workers: int
) -> Iterator[tuple[PackingJob, Future[Planes]]]:
    """Create the pictures in threads, in order, prefetching only a few, so that memory is bounded."""
    pool = ThreadPoolExecutor(workers, "pack")
    waiting = iter(jobs)
    flying: deque[tuple[PackingJob, Future[Planes]]] = deque()
    try:
        while True:
            while len(flying) < workers + 2 and (job := next(waiting, None)) is not None:
                flying.append((job, pool.submit(_make, job, scales)))
            if not flying:
                return
            yield flying.popleft()
    finally:
        pool.shutdown(cancel_futures=True)


def _make(job: PackingJob, scales: tuple[int, ...]) -> Planes:
    """Decode and downscale one picture; the result is planar, (3, H, W)."""
    hr = read_rgb(job.files[1])
    made: Planes = {1: hr}
    for scale in scales:
        made[scale] = read_rgb(job.files[scale]) if scale in job.files else reduce_bicubic(hr, scale)
    return {scale: np.ascontiguousarray(samples.transpose(2, 0, 1)) for scale, samples in made.items()}


def _output_error(out: Path, error: OSError) -> OutputError:
    if disk_is_full(error):
        return OutputError(f"The disk of {out} is full. Free some space and run the same command again to continue.")
    return OutputError(f"The pack {out} cannot be written: {error.strerror}: {error.filename or out}.")
