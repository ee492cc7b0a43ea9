"""The output of a study: tables as Markdown and CSV, and a page that documents how they were made."""

from __future__ import annotations

import csv
import io
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev

from rlfn.atomic import make_folder, write_bytes
from rlfn.evaluation.report import aligned
from rlfn.wording import as_argument, worded

NOT_MEASURED = "not measured"
"""Shown in place of a number that was not measured."""

Cell = str | float | None | tuple[float, ...]
"""A text, a number, the numbers of several seeds, or None: not measured."""


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading and the number of digits after the decimal point."""

    title: str
    digits: int = 2


@dataclass(frozen=True)
class Table:
    """A table by rows; every row has a cell for each column, the first one its name.

    Several seeds are shown as their mean and standard deviation, or with ``errors`` as mean and standard error.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    errors: bool = False

    def markdown(self) -> list[str]:
        """Return the lines of a Markdown table."""
        body = [
            [_text(cell, column, self.errors) for cell, column in zip(row, self.columns, strict=True)]
            for row in self.rows
        ]
        return aligned([[column.title for column in self.columns], *body])

    def csv(self) -> str:
        """Return the table as CSV; several seeds in a column each, behind that of their mean."""
        counts = [
            max((len(row[index]) for row in self.rows if isinstance(row[index], tuple)), default=0)  # type: ignore[arg-type]
            for index in range(len(self.columns))
        ]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        head: list[str] = []
        for column, count in zip(self.columns, counts, strict=True):
            head += [column.title, *(f"{column.title}, seed {seed}" for seed in range(count))]
        writer.writerow(head)
        for row in self.rows:
            cells: list[object] = []
            for cell, count in zip(row, counts, strict=True):
                values = cell if isinstance(cell, tuple) else ()
                mean: object = fmean(values) if values else cell
                cells += ["" if mean is None else mean, *values, *[""] * (count - len(values))]
            writer.writerow(cells)
        return text.getvalue()


@dataclass
class StudyPage:
    """A study's results as they are written: title, facts, table, remarks."""

    title: str
    purpose: str
    facts: dict[str, str] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)

    def write(self, out: Path) -> None:
        """Write ``README.md``, and ``NAME.md`` and ``NAME.csv`` for every table, into ``out``.

        Raises:
            OutputError: a file cannot be written.
        """
        make_folder(out)
        lines = [f"# {self.title}", "", self.purpose, "", "| | |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in {**self.facts, **machine()}.items()]
        for name, table in self.tables.items():
            markdown = table.markdown()
            write_bytes(out / f"{name}.md", ("\n".join(markdown) + "\n").encode())
            write_bytes(out / f"{name}.csv", table.csv().encode())
            lines += ["", *markdown]
        for remark in self.remarks:
            lines += ["", worded(remark, as_argument)]
        for name, caption in self.figures.items():
            lines += ["", f"![{caption}]({name})"]
        write_bytes(out / "README.md", ("\n".join(lines) + "\n").encode())


def machine() -> dict[str, str]:
    """Return the facts about this machine and the versions that a page states."""
    import torch

    import rlfn

    return {
        "made with": f"rlfn {rlfn.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }


def spread(values: Mapping[str, tuple[float, ...]]) -> float | None:
    """Return the standard deviation from seed to seed, pooled over the rows that have several; None if none has."""
    variances = [stdev(row) ** 2 for row in values.values() if len(row) > 1]
    return math.sqrt(fmean(variances)) if variances else None


def verdict(values: Mapping[str, tuple[float, ...]], what: str) -> str:
    """Say which rows differ from the first by more than the seeds explain.

    Two means of n seeds each are significantly different if they differ by more than twice s sqrt(2 / n), where s is
    the standard deviation from seed to seed, pooled over the rows. Studies that test claims have more seeds and judge
    by the paired differences (:mod:`rlfn.studies.paired`); of two seeds, the default here, Student's interval would be
    12.7 standard errors wide to each side.

    Args:
        values: in dB, for every row the numbers of its seeds; the first row is what the others are compared with.
        what: the name of the numbers, such as ``"Set5"``.
    """
    names = [name for name, row in values.items() if row]
    if len(names) < 2:
        return f"{what}: there are no two rows to compare."
    deviation = spread(values)
    if deviation is None:
        return f"{what}: one seed only, so it is unknown which differences are more than chance."
    base = values[names[0]]
    told: list[str] = []
    close: list[str] = []
    for name in names[1:]:
        difference = fmean(values[name]) - fmean(base)
        limit = 2.0 * deviation * math.sqrt(1.0 / len(values[name]) + 1.0 / len(base))
        text = f"{name} {difference:+.3f}"
        (told if abs(difference) > limit else close).append(text)
    parts = [f"{what}: the standard deviation from seed to seed is {deviation:.3f} dB."]
    if told:
        parts.append(f"Significantly different from {names[0]} (dB): {'; '.join(told)}.")
    if close:
        parts.append(f"Not significantly different from {names[0]} at this budget: {'; '.join(close)}.")
    return " ".join(parts)


def _text(cell: Cell, column: Column, errors: bool) -> str:
    if cell is None:
        return NOT_MEASURED
    if isinstance(cell, str):
        return cell
    if isinstance(cell, tuple):
        if len(cell) > 1:
            spread = stdev(cell) / (math.sqrt(len(cell)) if errors else 1.0)
            return f"{fmean(cell):,.{column.digits}f} ± {spread:.{column.digits}f}"
        return f"{cell[0]:,.{column.digits}f}"
    return f"{cell:,.{column.digits}f}"
