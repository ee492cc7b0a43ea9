"""The output of a folder job: a progress bar, a line or a JSON record for each picture, and the totals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rlfn.cli.messages import explain, flags, say, say_json, say_traceback, session, warn
from rlfn.cli.progress import Show, progress
from rlfn.errors import RlfnError
from rlfn.wording import listing, setting

if TYPE_CHECKING:
    from rlfn.jobs.batch import Record
    from rlfn.jobs.plan import Job, Plan
    from rlfn.jobs.video.progress import VideoProgress

_NAMED = 3


class Shown:
    """Prints the progress and the results of a plan.

    Args:
        as_json: print a JSON record for each picture instead of a line.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._show: Show | None = None

    @contextmanager
    def running(self, plan: Plan) -> Iterator[None]:
        """Show a plan's progress until it ends, and report unreadable sub-folders as failures."""
        from rlfn.jobs.batch import Record

        self._plan = plan
        self._places = {id(job): number for number, job in enumerate(plan.jobs)}
        self._to_stdout = any(job.target is None for job in plan.jobs)
        self._records: list[Record] = []
        for folder in plan.elsewhere:
            warn(f"{folder} is a link, or below one, to {os.path.realpath(folder)}: results are written there.")
        for folder, sentence in plan.unreadable:
            self.record(Record(str(folder), "", "failed", error=sentence))
        with progress("Upscaling") as self._show:
            yield

    def progress(self, job: Job, share: float) -> None:
        """Show the progress of the current picture."""
        if self._show is not None:
            name = "-" if job.source is None else job.source.name
            self._show(self._places[id(job)] + share, len(self._places), name)

    def video_progress(self, job: Job, progress: VideoProgress) -> None:
        """Show the progress, the rate and the remaining time of the current video."""
        if self._show is None or job.source is None:
            return
        share = progress.frames / progress.total if progress.total else 0.0
        left = "" if progress.seconds_left is None else f", {_clock(progress.seconds_left)} left"
        note = f"{progress.frames}/{progress.total or '?'} {progress.rate:.1f}/s{left}"
        self._show(self._places[id(job)] + min(share, 1.0), len(self._places), f"{job.source.name[:8]} {note}")

    def record(self, record: Record) -> None:
        """Print the result of one picture, on standard output unless the picture itself is written there."""
        self._records.append(record)
        for warning in record.warnings:
            warn(f"{record.input}: {warning}")
        if session().debug and record.cause is not None:
            say_traceback(record.cause)
        if self.as_json:
            say_json(record.as_dict(flags(session().command)), err=self._to_stdout)
        elif record.status == "failed":
            warn(_failure(record))
        elif record.status == "skipped":
            text = f"{record.output} exists: skipped. Replace it with {setting('overwrite')}."
            say(text, err=self._to_stdout)
        elif record.output_size is not None:
            wide, high = record.output_size
            restored = f"; restored {record.restore:g}: {record.restore_reason}" if record.restore else ""
            engine = record.engine if record.device in (None, "cpu") else f"{record.engine} on {record.device}"
            how = f"{wide}x{high} in {record.seconds:.1f} s ({record.model}, {engine}{restored}{record.note})"
            say(f"{record.input} -> {record.output}  {how}", err=self._to_stdout)

    def refused(self, jobs: list[Job], error: RlfnError) -> None:
        """Report jobs that are not run for one reason: in one line, or in a JSON record for each."""
        from rlfn.jobs.record import Record

        if not self.as_json:
            warn(f"rlfn: {explain(error)}")
            return
        for job in jobs:
            record = Record(str(job.source), str(job.target), "failed").failed(error)
            say_json(record.as_dict(flags(session().command)))

    def summary(self) -> bool:
        """Print the totals, the failures and the skipped inputs; return whether everything succeeded."""
        if self._plan.left_out:
            warn(f"Left out because they are outputs of other inputs: {_names(self._plan.left_out)}")
        if self._plan.others:
            count = len(self._plan.others)
            warn(f"Left out because their format is not supported ({count}): {_names(self._plan.others)}")
        failed = [record for record in self._records if record.status == "failed"]
        if len(self._records) > 1:
            kinds = [record.status for record in self._records]
            parts = [f"{kinds.count('done')} upscaled"]
            parts += [f"{kinds.count(kind)} {kind}" for kind in ("skipped", "failed") if kind in kinds]
            warn(", ".join(parts) + (":" if failed else "."))
            for record in failed:
                warn(f"  {_failure(record)}")
        return not failed


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _failure(record: Record) -> str:
    """Return the error, prefixed with the input's name unless it contains it."""
    error = record.error or ""
    told = any(name in error for name in (f"'{record.input}'", f" {record.input} "))
    return error if told else f"{record.input}: {error}"


def _names(paths: list[Path]) -> str:
    return listing(paths[:_NAMED]) + (", ..." if len(paths) > _NAMED else "")
