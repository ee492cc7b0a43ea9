"""How far a batch is: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlfn.jobs.plan import Job


@contextmanager
def progress(jobs: list[Job]) -> Iterator[Callable[[Job, float], None]]:
    """Give a function that shows the share done of the running job, with the rate and the time left."""
    if not sys.stderr.isatty():
        yield lambda job, share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    places = {id(job): number for number, job in enumerate(jobs)}
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    # what is printed meanwhile goes above the bar, unless it goes elsewhere altogether
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty())
    with bar:
        task = bar.add_task("", total=len(jobs), rate="")

        def show(job: Job, share: float) -> None:
            speed = bar.tasks[0].speed
            name = job.source.name if job.source is not None else "stdin"
            printable = name.encode("utf-8", "backslashreplace").decode("utf-8")
            rate = f"{60 * speed:.1f}/min" if speed else ""
            bar.update(task, completed=places[id(job)] + share, description=printable[-32:], rate=rate)

        yield show
