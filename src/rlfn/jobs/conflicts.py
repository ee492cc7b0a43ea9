"""Conflicts between jobs: one output for several inputs, or an output in the place of an input."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rlfn.errors import OutputError
from rlfn.jobs.keys import file_key, output_key
from rlfn.wording import listing, setting

if TYPE_CHECKING:
    from rlfn.jobs.plan import Job

_NAMED = 20


@dataclass(frozen=True)
class Conflict:
    """Jobs that must not run.

    Attributes:
        jobs: those that would write one file, or the one that would replace an input.
        replaced: the input that would be replaced; None if several jobs would write one file.
    """

    jobs: tuple[Job, ...]
    replaced: Path | None = None


def find_conflicts(jobs: Sequence[Job]) -> list[Conflict]:
    """Return the conflicts between jobs that have a source and a target."""
    sources = {file_key(job.source): job.source for job in jobs if job.source is not None}
    found: list[Conflict] = []
    taken: dict[str, list[Job]] = {}
    for job in jobs:
        assert job.source is not None
        assert job.target is not None
        key = file_key(job.target)
        replaced = sources.get(key)
        if replaced is None and os.path.exists(key) and os.path.exists(job.source):
            replaced = job.source if os.path.samefile(key, job.source) else None  # a hard link, or a difference in case
        if replaced is not None:
            found.append(Conflict((job,), replaced))
        else:
            taken.setdefault(output_key(job.target), []).append(job)
    return found + [Conflict(tuple(clash)) for clash in taken.values() if len(clash) > 1]


def conflict_error(conflicts: Sequence[Conflict], *, keep_suffix: bool) -> OutputError:
    """Return the error for conflicts, at least one; ``keep_suffix`` tells whether outputs keep their inputs' suffixes.

    An input that would be replaced is named alone, files with several inputs all together.
    """
    for each in conflicts:
        if each.replaced is not None:
            return OutputError(
                f"{each.replaced} would be replaced by the result {each.jobs[0].target}. Inputs are never overwritten: "
                f"choose another {setting('output')}."
            )
    clashes = [each.jobs for each in conflicts]
    rows = [f"{' and '.join(str(job.source) for job in jobs)} ({jobs[0].target})" for jobs in clashes]
    more = f", and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    by_suffix = all(len({Path(str(job.source)).name for job in jobs}) == len(jobs) for jobs in clashes)
    help = (
        f": {setting('keep_suffix')} keeps the inputs' suffixes in the names, or rename one."
        if by_suffix and not keep_suffix
        else ". Rename one, or run the command for each folder."
    )
    return OutputError(
        f"Several pictures would be written to one file: {listing(rows[:_NAMED])}{more}. Every picture needs a unique "
        f"name{help}"
    )
