"""How far a command is: one bar for all of them, on a terminal; nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rlfn.cli.messages import printable

Show = Callable[[float, float | None, str], None]
"""Shows how much is done, of how much (None where it is unknown), and what is at work."""

_WIDTH = 32


@contextmanager
def progress(title: str, unit: str = "") -> Iterator[Show]:
    """Show a bar on standard error while the body runs, if that is a terminal; it begins with the first call.

    Args:
        title: what is done, such as ``Packing``.
        unit: ``"B"`` where what is counted are bytes.
    """
    if not _is_terminal(sys.stderr):
        yield lambda done, total, name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn() if unit == "B" else MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}", markup=False),
    )
    # what is printed meanwhile goes above the bar, unless it goes elsewhere altogether
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=_is_terminal(sys.stdout))
    tasks: list[Any] = []

    def show(done: float, total: float | None, name: str) -> None:
        if not tasks:  # an error before the first step shows no bar
            tasks.append(bar.add_task(title, total=None, rate="", name=""))
            bar.start()
        speed = bar.tasks[0].speed
        rate = f"{60 * speed:.1f}/min" if speed and unit != "B" else ""
        bar.update(tasks[0], completed=done, total=total or None, rate=rate, name=printable(name)[-_WIDTH:])

    try:
        yield show
    finally:
        bar.stop()


def _is_terminal(stream: Any) -> bool:
    return stream is not None and stream.isatty()
