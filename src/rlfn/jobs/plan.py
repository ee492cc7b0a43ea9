"""Which files become which: inputs collected, outputs named, and every conflict found before any work starts."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlfn.errors import OptionError, OutputError, PictureError, listing, setting
from rlfn.images.formats import FORMATS, READABLE_SUFFIXES, WRITABLE, format_for

STREAM = "-"
"""The name that stands for standard input or output."""

_OUTPUT = setting("output")
_GLOB = set("*?[")
_SEPARATORS = tuple({"/", os.sep})


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
    inputs: Sequence[str], output: str | None, label: str, *, format: str | None = None, recursive: bool = False
) -> Plan:
    """Decide every output's name.

    Args:
        inputs: files, folders, patterns, or ``-``.
        output: a file, a folder, ``-``, or None for names beside the inputs: ``photo_x4.png``, ``folder_x4/``. One
            picture goes to a file where ``output`` is one or has a suffix; everything else goes to a folder.
        label: what names carry, e.g. ``x4``.
        format: the format asked for; None for what the output's name says, else PNG.
        recursive: take folders' sub-folders too, mirrored in the output.

    Raises:
        PictureError: an input is missing, or there is nothing to do.
        OptionError: the output does not fit the inputs or the format.
        OutputError: two inputs would write one file, or an output would replace an input.
    """
    if "" in inputs or output == "":
        raise OptionError("An empty name was given. Name a file or a folder, or - for standard input or output.")
    if STREAM in inputs or output == STREAM:
        return _stream_plan(inputs, output, format)
    files, folders = _collect(inputs)
    plan = Plan()
    if output is not None and len(files) == 1 and not folders and _is_file_name(output):
        _check_file_name(output, format)
        plan.jobs.append(Job(files[0], Path(output)))
    else:
        _check_folder_name(output)
        _name_outputs(plan, files, folders, output, label, format or "png", recursive)
    _drop_outputs(plan)
    _check_conflicts(plan)
    return plan


def _name_outputs(
    plan: Plan, files: list[Path], folders: list[Path], output: str | None, label: str, suffix: str, recursive: bool
) -> None:
    """Fill ``plan`` with outputs named after their inputs, in ``output`` or beside them."""
    target = Path(output) if output is not None else None
    for file in files:
        home = target if target is not None else file.parent
        plan.jobs.append(Job(file, home / f"{file.stem}_{label}.{suffix}"))
    for folder in folders:
        root = target if target is not None else _sibling(folder, label)
        if len(folders) > 1 and target is not None:
            root /= Path(os.path.realpath(folder)).name
        plan.jobs += _folder_jobs(folder, root, target if target is not None else root, suffix, recursive)


def _stream_plan(inputs: Sequence[str], output: str | None, format: str | None) -> Plan:
    if len(inputs) != 1:
        raise OptionError(
            f"'-' was given with {len(inputs)} inputs. Standard input and output carry one picture: give one input."
        )
    source = None
    if inputs[0] != STREAM:
        files, folders = _collect(inputs)
        if folders or len(files) != 1:
            found = f"is {len(files)} files" if files else "is a folder"
            raise OptionError(
                f"{inputs[0]} {found}, but standard output carries one picture. Give a folder with {_OUTPUT}."
            )
        source = files[0]
    if output in (None, STREAM):
        return Plan([Job(source, None)])
    if not _is_file_name(str(output)):
        raise OptionError(
            f"Standard input has no name that its output in the folder {output} could have. "
            f"Name a file with {_OUTPUT}, for instance {setting('output', 'out.png')}."
        )
    _check_file_name(str(output), format)
    return Plan([Job(source, Path(str(output)))])


def _is_file_name(output: str) -> bool:
    """Tell whether ``output`` names a file: one that exists, or a name with a suffix."""
    if os.path.isdir(output) or output.endswith(_SEPARATORS):
        return False
    return os.path.lexists(output) or Path(output).suffix != ""


def _check_file_name(output: str, format: str | None) -> None:
    """Refuse a name whose format is unknown or contradicts ``format``, and what is no ordinary file."""
    if os.path.exists(output) and not os.path.isfile(output):
        raise OutputError(
            f"{output} is not an ordinary file. Name a file, or pipe the result with {setting('output', '-')}."
        )
    suffix = Path(output).suffix.lower()
    if format is None:
        try:
            format_for(Path(output))
        except OptionError:
            suffixes = listing(FORMATS[name].suffixes[0] for name in WRITABLE)
            raise OptionError(
                f"The name {output} does not say a format that can be written. End it with {suffixes}, "
                f"give {setting('format')}, or name a folder as {output}/."
            ) from None
    elif suffix in READABLE_SUFFIXES and suffix not in FORMATS[format].suffixes:
        raise OptionError(
            f"The name {output} contradicts {setting('format', format)}. Leave out the one that is wrong."
        )


def _check_folder_name(output: str | None) -> None:
    """Refuse a file, or the name of one, where several pictures are to be written."""
    if output is None or os.path.isdir(output):
        return
    if os.path.lexists(output.rstrip("".join(_SEPARATORS))):
        raise OptionError(f"{output} is a file, but pictures are to be written into it. Give a folder with {_OUTPUT}.")
    if not output.endswith(_SEPARATORS) and Path(output).suffix.lower() in READABLE_SUFFIXES:
        raise OptionError(
            f"{output} is the name of one picture, but several are to be written. Give a folder with {_OUTPUT}; "
            f"{output}/ would make one of that name."
        )


def _collect(inputs: Iterable[str]) -> tuple[list[Path], list[Path]]:
    """Return the files and the folders among ``inputs``, patterns expanded, each once, in order."""
    files: dict[str, Path] = {}
    folders: dict[str, Path] = {}
    missing = []
    for name in inputs:
        found = [name]
        if not os.path.exists(name) and _GLOB & set(name):
            found = sorted(glob.glob(name, recursive=True))
        found = [path for path in found if os.path.exists(path)]
        for path in found:
            (folders if os.path.isdir(path) else files).setdefault(_name_key(path), Path(path))
        if not found:
            missing.append(name)
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise PictureError(f"There is no file, folder or match for {listing(missing[:3])}{more}. Check the names.")
    return list(files.values()), list(folders.values())


def _folder_jobs(folder: Path, root: Path, output: Path, suffix: str, recursive: bool) -> list[Job]:
    """Mirror the pictures of ``folder`` in ``root``; what lies in ``output`` is no input."""
    if root.is_file():
        raise OptionError(f"{root} is a file, but a folder's pictures are to be written. Give a folder with {_OUTPUT}.")
    if _file_key(output) == _file_key(folder):
        raise OutputError(f"{folder} would be its own output. Give another folder with {_OUTPUT}, or leave it out.")
    excluded = Path(_file_key(output))
    jobs = []
    for path in _pictures(folder, recursive):
        if not Path(_file_key(path)).is_relative_to(excluded):
            jobs.append(Job(path, root / path.relative_to(folder).parent / f"{path.stem}.{suffix}"))
    if not jobs:
        deeper = "" if recursive else f" Its sub-folders are searched with {setting('recursive')}."
        raise PictureError(f"There are no pictures in {folder}.{deeper}")
    return jobs


def _pictures(folder: Path, recursive: bool) -> list[Path]:
    """Return the files in a folder that have a picture's suffix, sorted; hidden files and folders are left alone."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise PictureError(
                f"The folder {error.filename} cannot be read: {(error.strerror or str(error)).lower()}. "
                "Change its permissions, or name the pictures one by one."
            )

    found = []
    for home, below, names in os.walk(folder, onerror=refuse):
        below[:] = [name for name in below if recursive and not name.startswith(".")]
        for name in names:
            path = Path(home, name)
            if not name.startswith(".") and path.suffix.lower() in READABLE_SUFFIXES and path.is_file():
                found.append(path)
    return sorted(found)


def _sibling(folder: Path, label: str) -> Path:
    """Return the folder beside ``folder`` that takes its outputs."""
    named = folder if folder.name not in ("", "..") else Path(os.path.realpath(folder))
    if not named.name:
        raise OptionError(f"{folder} has no folder beside it. Name the output with {_OUTPUT}.")
    return named.with_name(f"{named.name}_{label}")


def _drop_outputs(plan: Plan) -> None:
    """Leave out inputs that are the output of another input, so that a second run does not upscale the first's work."""
    targets = {_name_key(job.target): job for job in plan.jobs if job.target is not None}
    kept = []
    for job in plan.jobs:
        assert job.source is not None
        if targets.get(_name_key(job.source), job) is job:
            kept.append(job)
        else:
            plan.left_out.append(job.source)
    plan.jobs = kept


def _check_conflicts(plan: Plan) -> None:
    sources = {_file_key(job.source): job.source for job in plan.jobs if job.source is not None}
    taken: dict[str, Job] = {}
    for job in plan.jobs:
        assert job.source is not None
        assert job.target is not None
        key = _file_key(job.target)
        replaced = sources.get(key)
        if replaced is None and os.path.exists(key) and os.path.exists(job.source):
            replaced = job.source if os.path.samefile(key, job.source) else None  # a hard link, or another case
        if replaced is not None:
            raise OutputError(
                f"{replaced} would be replaced by the result {job.target}. Inputs are never overwritten: "
                f"choose another {_OUTPUT}."
            )
        other = taken.setdefault(key, job)
        if other is not job:
            raise OutputError(
                f"{other.source} and {job.source} would both be written to {job.target}. "
                f"Every picture needs a name of its own: rename one, or upscale them separately with {_OUTPUT}."
            )


def _file_key(path: str | os.PathLike[str]) -> str:
    """Return a name that all paths of one file share, through links too, and where case does not count."""
    return _cased(os.path.realpath(path))


def _name_key(path: str | os.PathLike[str]) -> str:
    """Return a name that all spellings of one path share; a link is not what it points to."""
    return _cased(os.path.abspath(path))


def _cased(path: str) -> str:
    return path.casefold() if sys.platform == "darwin" else os.path.normcase(path)
