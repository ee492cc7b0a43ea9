"""Plans of batches: collect the inputs, name the outputs, and detect every conflict before any work starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlfn.atomic import check_name
from rlfn.errors import OptionError, OutputError, PictureError
from rlfn.images.formats import FORMATS, READABLE_SUFFIXES, WRITABLE, format_for, result_format
from rlfn.jobs.conflicts import Conflict, conflict_error, find_conflicts
from rlfn.jobs.finding import collect, folder_content
from rlfn.jobs.keys import file_key, name_key
from rlfn.jobs.video.detection import ANIMATED, CONTAINERS, is_animation, is_video, no_animation, video_suffix
from rlfn.wording import listing, setting

STREAM = "-"
"""The name that stands for standard input or output."""

_OUTPUT = setting("output")
_SEPARATORS = tuple({"/", os.sep})


@dataclass(frozen=True)
class Job:
    """The source and the target of one picture or video. ``None`` is standard input or output.

    ``video`` is true if the source is enlarged as a video, ``overwrite`` if an existing output is replaced.
    """

    source: Path | None
    target: Path | None
    video: bool = field(default=False, kw_only=True)
    overwrite: bool = field(default=False, kw_only=True)


@dataclass
class Plan:
    """The jobs of a call, and the inputs that were left out.

    Attributes:
        jobs: one per picture.
        conflicts: jobs that were set aside because of a conflict.
        left_out: inputs that are outputs of other inputs.
        others: pictures in unsupported formats, found in folders.
        unreadable: (path, error message) of sub-folders that cannot be listed and of broken links.
        elsewhere: output folders that lie outside the output root because of a symbolic link.
    """

    jobs: list[Job] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    elsewhere: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Naming:
    """How outputs are named.

    Attributes:
        label: appended to the names, e.g. ``x4``.
        format: the output format; None to take it from the output's name, or PNG if that has no suffix.
        recursive: include sub-folders and mirror them in the output.
        keep_suffix: keep the input's suffix in the name (``a.jpg.png``), so that ``a.jpg`` and ``a.png`` can be in one
            folder.
        video_label: appended to the names of videos; None if videos are not accepted.
    """

    label: str
    format: str | None = None
    recursive: bool = False
    keep_suffix: bool = False
    video_label: str | None = None

    @property
    def suffix(self) -> str:
        """The suffix of outputs whose name the user did not give."""
        return result_format(self.format)

    def stem(self, path: Path) -> str:
        """Return the part of an input's name that its output keeps."""
        return path.name if self.keep_suffix else path.stem

    def moves(self, path: Path) -> bool:
        """Return whether an input is enlarged as a video; an animation is not if a picture format was requested."""
        if self.video_label is None or not is_video(path):
            return False
        return self.format is None or not is_animation(path)

    def job(self, source: Path, folder: Path, *, labelled: bool) -> Job:
        """Return the job of an input whose output is named after it."""
        video = self.moves(source)
        label = f"_{self.video_label if video else self.label}" if labelled else ""
        suffix = video_suffix(source) if video else f".{self.suffix}"
        return Job(source, folder / f"{self.stem(source)}{label}{suffix}", video=video)


def make_plan(inputs: Sequence[str], output: str | None, naming: Naming, *, set_aside: bool = False) -> Plan:
    """Decide every output's name.

    Args:
        inputs: files, folders, patterns, or ``-``.
        output: a file, a folder, ``-``, or None for names next to the inputs: ``photo_x4.png``, ``folder_x4/``. A
            single picture is written to a file if ``output`` is a file or has a suffix; otherwise to a folder.
        naming: see :class:`Naming`.
        set_aside: move jobs in a conflict to the plan's ``conflicts`` instead of refusing the call.

    Raises:
        PictureError: an input is missing, or there is nothing to do.
        OptionError: the output does not fit the inputs or the format.
        OutputError: two inputs would write one file, or an output would replace an input; not with ``set_aside``.
    """
    if "" in inputs or output == "":
        raise OptionError("An empty name was given. Name a file or a folder, or - for standard input or output.")
    for name in inputs:
        check_name(name, PictureError)
    check_name(output or "")
    if STREAM in inputs or output == STREAM:
        return _stream_plan(inputs, output, naming.format)
    files, folders = collect(inputs)
    plan = Plan()
    if output is not None and len(files) == 1 and not folders and _is_file_name(output):
        video = naming.moves(files[0]) and not _is_still(files[0], output)
        if video:
            _check_video_name(files[0], output)
        else:
            _check_file_name(output, naming.format)
        plan.jobs.append(Job(files[0], Path(output), video=video))
    else:
        _check_folder_name(output)
        _name_outputs(plan, files, folders, output, naming)
    _drop_outputs(plan)
    plan.conflicts = find_conflicts(plan.jobs)
    if plan.conflicts and not set_aside:
        raise conflict_error(plan.conflicts, keep_suffix=naming.keep_suffix)
    aside = {job for conflict in plan.conflicts for job in conflict.jobs}
    plan.jobs = [job for job in plan.jobs if job not in aside]
    return plan


def _name_outputs(plan: Plan, files: list[Path], folders: list[Path], output: str | None, naming: Naming) -> None:
    """Fill ``plan`` with outputs named after their inputs, in ``output`` or next to the inputs."""
    target = Path(output) if output is not None else None
    for file in files:
        home = target if target is not None else file.parent
        plan.jobs.append(naming.job(file, home, labelled=True))
    for folder in folders:
        root = target if target is not None else _sibling(folder, naming.label)
        if len(folders) > 1 and target is not None:
            root /= Path(os.path.realpath(folder)).name
        _add_folder(plan, folder, root, target if target is not None else root, naming)


def _stream_plan(inputs: Sequence[str], output: str | None, format: str | None) -> Plan:
    if len(inputs) != 1:
        raise OptionError(
            f"'-' was given with {len(inputs)} inputs. Standard input and output carry one picture: give one input."
        )
    source = None
    if inputs[0] != STREAM:
        files, folders = collect(inputs)
        if folders or len(files) != 1:
            found = f"is {len(files)} files" if files else "is a folder"
            raise OptionError(
                f"{inputs[0]} {found}, but standard output carries one picture. Give a folder with {_OUTPUT}."
            )
        source = files[0]
        if is_video(source) and not is_animation(source):
            raise OptionError(f"{source} is a video, which cannot go through a pipe. Name a file with {_OUTPUT}.")
    elif output is not None and Path(output).suffix.lower() in set(CONTAINERS) - ANIMATED:
        raise OptionError(
            f"{output} is the name of a video, but standard input takes pictures only. Save the video to a file and "
            "name that, or end the output's name with a picture's suffix."
        )
    if output in (None, STREAM):
        return Plan([Job(source, None)])
    if not _is_file_name(str(output)):
        raise OptionError(
            f"Standard input has no name, so its output in the folder {output} cannot be named after it. "
            f"Name a file with {_OUTPUT}, for instance {setting('output', 'out.png')}."
        )
    _check_file_name(str(output), format)
    return Plan([Job(source, Path(str(output)))])


def _is_file_name(output: str) -> bool:
    """Return whether ``output`` names a file: an existing one, or a name with a suffix."""
    if os.path.isdir(output) or output.endswith(_SEPARATORS):
        return False
    return os.path.lexists(output) or Path(output).suffix != ""


def _check_file_name(output: str, format: str | None) -> None:
    """Refuse a name whose format is unknown or contradicts ``format``, and anything but a regular file."""
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
                f"The name {output} has no suffix of a writable format. End it with {suffixes}, "
                f"give {setting('format')}, or name a folder as {output}/."
            ) from None
    elif suffix in READABLE_SUFFIXES and suffix not in FORMATS[format].suffixes:
        raise OptionError(
            f"The name {output} contradicts {setting('format', format)}. Leave out the one that is wrong."
        )


def _is_still(source: Path, output: str) -> bool:
    """Return whether an animation's output has the name of a still picture."""
    return is_animation(source) and Path(output).suffix.lower() not in CONTAINERS


def _check_video_name(source: Path, output: str) -> None:
    """Refuse a name without a container's suffix, an animation as a video's output, and anything but a regular file."""
    if os.path.exists(output) and not os.path.isfile(output):
        raise OutputError(f"{output} is not an ordinary file. Name a file.")
    if Path(output).suffix.lower() in ANIMATED and not is_animation(source):
        refusal = no_animation(source, Path(output))
        raise OptionError(f"{refusal}, or write the frames as pictures with {setting('to_frames')}.")
    if Path(output).suffix.lower() not in CONTAINERS:
        raise OptionError(
            f"The name {output} has no suffix of a writable video format. End it with {listing(CONTAINERS)}, "
            f"or name a folder as {output}/."
        )


def _check_folder_name(output: str | None) -> None:
    """Refuse a file, or the name of one, as the output of several pictures."""
    if output is None or os.path.isdir(output):
        return
    if os.path.lexists(output.rstrip("".join(_SEPARATORS))):
        raise OptionError(f"{output} is a file, but several pictures need a folder. Give a folder with {_OUTPUT}.")
    if not output.endswith(_SEPARATORS) and Path(output).suffix.lower() in READABLE_SUFFIXES:
        raise OptionError(
            f"{output} is the name of a single picture, but there are several outputs. Give a folder with {_OUTPUT}; "
            f"{output}/ creates a folder of that name."
        )


def _add_folder(plan: Plan, folder: Path, root: Path, output: Path, naming: Naming) -> None:
    """Mirror the pictures of ``folder`` in ``root``; if ``output`` lies inside ``folder``, its content is no input."""
    if root.is_file():
        raise OptionError(f"{root} is a file, but the pictures of a folder need a folder. Give one with {_OUTPUT}.")
    if file_key(output) == file_key(folder):
        raise OutputError(f"{folder} would be its own output. Give another folder with {_OUTPUT}, or leave it out.")
    excluded = Path(file_key(output))
    inside = excluded.is_relative_to(file_key(folder))
    found = folder_content(folder, recursive=naming.recursive, videos=naming.video_label is not None)
    taken = {name_key(job.source) for job in plan.jobs if job.source is not None}
    jobs, twice = [], False
    for path in found.pictures:
        if name_key(path) in taken:  # given as a file too, or found in an earlier folder
            twice = True
        elif not (inside and Path(file_key(path)).is_relative_to(excluded)):
            jobs.append(naming.job(path, root / path.relative_to(folder).parent, labelled=False))
    if not jobs and not twice:
        deeper = "" if naming.recursive else f" Its sub-folders are searched with {setting('recursive')}."
        others = f" It holds {len(found.others)} pictures in unsupported formats." if found.others else ""
        unreadable = f" {found.unreadable[0][1]}" if found.unreadable else ""
        raise PictureError(f"There are no pictures in {folder}.{others}{unreadable}{deeper}")
    home = Path(file_key(root))
    folders = dict.fromkeys(job.target.parent for job in jobs if job.target is not None)
    plan.elsewhere += [parent for parent in folders if not Path(file_key(parent)).is_relative_to(home)]
    plan.jobs += jobs
    plan.others += found.others
    plan.unreadable += found.unreadable


def _sibling(folder: Path, label: str) -> Path:
    """Return the folder next to ``folder`` that receives its outputs."""
    named = folder if folder.name not in ("", "..") else Path(os.path.realpath(folder))
    if not named.name:
        raise OptionError(f"{folder} has no folder next to it. Name the output with {_OUTPUT}.")
    return named.with_name(f"{named.name}_{label}")


def _drop_outputs(plan: Plan) -> None:
    """Leave out inputs that are outputs of other inputs, so a second run does not upscale the results of the first."""
    targets = {name_key(job.target): job for job in plan.jobs if job.target is not None}
    kept = []
    for job in plan.jobs:
        assert job.source is not None
        if targets.get(name_key(job.source), job) is job:
            kept.append(job)
        else:
            plan.left_out.append(job.source)
    plan.jobs = kept
