"""Which files become which: inputs collected, outputs named, and every conflict found before any work starts."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlfn.errors import OptionError, OutputError, PictureError, listing
from rlfn.images.formats import READABLE_SUFFIXES, format_for

STREAM = "-"
"""The name that stands for standard input or output."""

_GLOB = set("*?[")


@dataclass(frozen=True)
class Job:
    """One picture's way: where it comes from and where it goes. ``None`` is standard input or output."""

    source: Path | None
    target: Path | None


@dataclass
class Plan:
    """The jobs of a call, and the inputs that were left out because they are outputs of others."""

    jobs: list[Job] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)


def make_plan(
    inputs: Sequence[str], output: str | None, label: str, *, format: str = "png", recursive: bool = False
) -> Plan:
    """Decide every output's name.

    Args:
        inputs: files, folders, patterns, or ``-``.
        output: a file, a folder, ``-``, or None for names beside the inputs: ``photo_x4.png``, ``folder_x4/``.
        label: what names carry, e.g. ``x4``.
        format: the format of outputs whose name does not say it.
        recursive: take folders' sub-folders too, mirrored in the output.

    Raises:
        PictureError: an input is missing, or there is nothing to do.
        OptionError: the output does not fit the inputs.
        OutputError: two inputs would write one file, or an output would replace an input.
    """
    if STREAM in inputs or output == STREAM:
        return _stream_plan(inputs, output)
    plan = Plan()
    files, folders = _collect(inputs)
    one = len(files) == 1 and not folders
    as_folder = output is not None and (not one or Path(output).is_dir() or output.endswith(("/", os.sep)))
    target = Path(output) if output is not None else None
    if target is not None and as_folder and target.is_file():
        raise OptionError(f"{target} is a file, but several pictures are to be written. Give a folder with -o.")
    for file in files:
        if target is not None and not as_folder:
            plan.jobs.append(Job(file, target))
        elif target is not None:
            plan.jobs.append(Job(file, target / f"{file.stem}_{label}.{format}"))
        else:
            plan.jobs.append(Job(file, file.with_name(f"{file.stem}_{label}.{format}")))
    for folder in folders:
        root = target if target is not None else _sibling(folder, label)
        plan.jobs += _folder_jobs(folder, root, format, recursive, within=len(folders) > 1 and target is not None)
    _drop_outputs(plan)
    _check_conflicts(plan)
    return plan


def _stream_plan(inputs: Sequence[str], output: str | None) -> Plan:
    if len(inputs) != 1:
        raise OptionError(
            f"'-' was given with {len(inputs)} inputs. Standard input and output carry one picture: give one input."
        )
    source = None if inputs[0] == STREAM else Path(inputs[0])
    if source is not None and not source.is_file():
        raise PictureError(f"There is no picture {source}. Check the name.")
    target = None if output in (None, STREAM) else Path(str(output))
    if target is not None:
        format_for(target)
    return Plan([Job(source, target)])


def _collect(inputs: Iterable[str]) -> tuple[list[Path], list[Path]]:
    """Return the files and the folders among ``inputs``, patterns expanded, each once, in order."""
    files: dict[str, Path] = {}
    folders: dict[str, Path] = {}
    missing = []
    for name in inputs:
        found = [Path(name)]
        if not Path(name).exists() and _GLOB & set(name):
            found = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
        for path in found:
            if path.is_dir():
                folders[_key(path)] = path
            elif path.exists():
                files[_key(path)] = path
        if not found or not found[0].exists():
            missing.append(name)
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise PictureError(f"There is no file, folder or match for {listing(missing[:3])}{more}. Check the names.")
    return list(files.values()), list(folders.values())


def _folder_jobs(folder: Path, root: Path, format: str, recursive: bool, within: bool) -> list[Job]:
    if root.is_file():
        raise OptionError(f"{root} is a file, but a folder's pictures are to be written. Give a folder with -o.")
    if _key(root) == _key(folder):
        raise OutputError(f"{folder} would be its own output. Give another folder with -o, or leave it out.")
    walk = folder.rglob("*") if recursive else folder.glob("*")
    jobs = []
    for path in sorted(walk):
        inside = path.relative_to(folder)
        if path.suffix.lower() not in READABLE_SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        if _is_within(path, root):
            continue
        base = root / (folder.resolve().name if within else "")
        jobs.append(Job(path, base / inside.parent / f"{path.stem}.{format}"))
    if not jobs:
        deeper = "" if recursive else " Its sub-folders are searched with --recursive."
        raise PictureError(f"There are no pictures in {folder}.{deeper}")
    return jobs


def _sibling(folder: Path, label: str) -> Path:
    whole = folder.resolve()
    return (
        folder.parent / f"{folder.name}_{label}"
        if folder.name not in ("", "..")
        else whole.with_name(f"{whole.name}_{label}")
    )


def _drop_outputs(plan: Plan) -> None:
    """Leave out inputs that are the output of another input, so that a second run does not upscale the first's work."""
    targets = {_key(job.target): job for job in plan.jobs if job.target is not None}
    kept = []
    for job in plan.jobs:
        assert job.source is not None
        maker = targets.get(_key(job.source))
        if maker is None or maker is job:
            kept.append(job)
        else:
            plan.left_out.append(job.source)
    plan.jobs = kept


def _check_conflicts(plan: Plan) -> None:
    taken: dict[str, Job] = {}
    for job in plan.jobs:
        assert job.source is not None
        assert job.target is not None
        if _key(job.source) == _key(job.target):
            raise OutputError(
                f"{job.source} would be replaced by its own result. Inputs are never overwritten: choose another -o."
            )
        other = taken.setdefault(_key(job.target), job)
        if other is not job:
            raise OutputError(
                f"{other.source} and {job.source} would both be written to {job.target}. "
                "Every picture needs a name of its own: rename one, or upscale them separately with -o."
            )


def _key(path: Path) -> str:
    """Return a name that two paths of one file share, also where case does not count."""
    return os.path.normcase(os.path.realpath(path))


def _is_within(path: Path, folder: Path) -> bool:
    return Path(_key(path)).is_relative_to(_key(folder))
