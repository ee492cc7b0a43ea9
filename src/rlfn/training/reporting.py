"""Output of a run: a progress bar, lines, ``metrics.jsonl`` and TensorBoard."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from rlfn.atomic import disk_is_full, make_folder, write_bytes
from rlfn.errors import OutputError
from rlfn.training.recipe import Stage
from rlfn.training.state import TrainingState
from rlfn.wording import setting

METRICS = "metrics.jsonl"


def note(text: str) -> None:
    """Print one line on standard error."""
    _console().print(text, markup=False, soft_wrap=True)


def silence(*descriptors: int) -> None:
    """Send what is written to these open file descriptors nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


class _Screen:
    """Standard error; a terminal that was closed is no reason to end a training, so what it should show is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text."""
        with self._outliving_the_terminal():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        with self._outliving_the_terminal():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _outliving_the_terminal(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            silence(self._stream.fileno())


def _console() -> Console:
    return Console(file=cast(TextIO, _Screen(sys.stderr)), highlight=False)


class Reporter:
    """Writes what happens; only the first of several processes has one that is switched on.

    Args:
        folder: the run's folder.
        on: whether to write at all.
    """

    def __init__(self, folder: Path, on: bool) -> None:
        self.folder = folder
        self.on = on
        self.console = _console()
        self._board: Any = None
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if on:
            make_folder(folder)

    def drop_after(self, iteration: int, scored: bool = False) -> None:
        """Remove the lines of ``metrics.jsonl`` that a resumed run writes again.

        Args:
            iteration: where the run resumes; later lines go.
            scored: whether the scores of ``iteration`` itself go too.

        Raises:
            OutputError: the file cannot be written; the old one stays as it was.
        """
        if self.on:
            rows = [row for row in read_metrics(self.folder) if row["iteration"] <= iteration]
            kept = [row for row in rows if not (scored and row["iteration"] == iteration and "psnr" in row)]
            text = "".join(json.dumps(row) + "\n" for row in kept)
            write_bytes(self.folder / METRICS, text.encode("utf-8"))

    def open(self, iteration: int = 0) -> None:
        """Begin to show progress: a bar on a terminal, lines elsewhere.

        Args:
            iteration: where the run is; what TensorBoard's files hold of later ones is void.
        """
        if not self.on:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter

            with _writing(self.folder / "tensorboard"):
                self._board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=iteration + 1)
        except ImportError:
            self.log("TensorBoard is not installed: its files are not written.")
        if self.console.is_terminal:
            text = TextColumn("{task.description}")
            self._bar = Progress(text, BarColumn(), TimeElapsedColumn(), console=self.console)
            self._task = self._bar.add_task("training", total=1.0)
            self._bar.start()

    def close(self) -> None:
        """End the display and flush the files.

        Raises:
            OutputError: TensorBoard's files cannot be written.
        """
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        board, self._board = self._board, None
        if board is not None:
            with _writing(self.folder / "tensorboard"):
                board.close()

    def log(self, text: str) -> None:
        """Print one line."""
        if self.on:
            self.console.print(text, markup=False, soft_wrap=True)

    def metrics(self, row: dict[str, Any], description: str, progress: float) -> None:
        """Record one line of numbers and show it.

        Args:
            row: numbers and texts by name, with ``iteration`` counted over all stages.
            description: the same as text.
            progress: of the stage, in [0, 1].

        Raises:
            OutputError: a file cannot be written.
        """
        if not self.on:
            return
        row = {"time": round(time.time(), 3), **row}
        with _writing(self.folder / METRICS), (self.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._board is not None:
            with _writing(self.folder / "tensorboard"):
                for name, value in row.items():
                    if isinstance(value, float) and name != "time":
                        self._board.add_scalar(name, value, row["iteration"])
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=progress, description=description)
        else:
            self.log(description)

    def images(self, found: Mapping[str, NDArray[np.uint8]], iteration: int) -> None:
        """Add validation images (H, W, 3) to TensorBoard, by name."""
        with _writing(self.folder / "tensorboard"):
            for name, sr in found.items() if self._board is not None else ():
                self._board.add_image(f"validation/{name}", sr, iteration, dataformats="HWC")


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "Free some space" if disk_is_full(error) else "Remove the cause"
        raise OutputError(
            f"{path} cannot be written: {(error.strerror or str(error)).lower()}. {remedy}, then resume the run "
            f"({setting('resume')})."
        ) from error


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's ``metrics.jsonl``; a last line that was cut off is left out."""
    path = folder / METRICS
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def time_left(stage: Stage, state: TrainingState, iterations_per_second: float) -> float:
    """Return the seconds until ``stage`` ends."""
    if stage.hours is not None:
        return max(0.0, stage.hours * 3600.0 - state.clock.seconds)
    return ((stage.iterations or 0) - state.iteration) / max(iterations_per_second, 1e-9)
