"""The plots of the studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from rlfn.evaluation.figures import new_figure, write_figure


def draw_dots(rows: Mapping[str, tuple[float, ...]], label: str, path: Path) -> None:
    """Write a dot for each seed and a line at each row's mean, one row under the other, as PNG.

    Args:
        rows: the numbers by row; an empty row is shown as not measured.
        label: of the axis.
        path: the file to write.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    figure = new_figure(7.0, 1.1 + 0.36 * len(rows))
    axes = figure.add_subplot()
    low = min((min(values) for values in rows.values() if values), default=0.0)
    for place, values in enumerate(rows.values()):
        if values:
            axes.plot([fmean(values)] * 2, [place - 0.25, place + 0.25], color="C0", linewidth=2)
            axes.scatter(values, [place] * len(values), color="C1", s=22, zorder=3)
        else:
            axes.annotate("not measured", (low, place), va="center", fontsize=8, color="0.5")
    axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"{label}: a dot for each seed, a line at the mean", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.margins(x=0.08)
    axes.grid(alpha=0.3)
    write_figure(figure, path)


def draw_lines(lines: Mapping[str, Sequence[tuple[float, float]]], labels: tuple[str, str], path: Path) -> None:
    """Write lines of (x, y) points with a legend as PNG.

    Args:
        lines: the points by line.
        labels: of the two axes.
        path: the file to write.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    figure = new_figure(6.0, 3.8)
    axes = figure.add_subplot()
    for name, points in lines.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", markersize=3, label=name)
    axes.set_xlabel(labels[0], fontsize=9)
    axes.set_ylabel(labels[1], fontsize=9)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    write_figure(figure, path)
