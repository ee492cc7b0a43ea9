"""Figures of matplotlib that need no display, written as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rlfn.atomic import make_folder, to_path
from rlfn.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of ``width`` x ``height`` inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("Drawing figures", "plots") from None
    figure = Figure(figsize=(width, height), dpi=_DPI)
    FigureCanvasAgg(figure)
    return figure


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG atomically, creating parent folders.

    Raises:
        OutputError: the file cannot be written.
    """
    make_folder(path.parent)
    to_path(path, lambda stream: figure.savefig(stream, format="png", bbox_inches="tight"))
