"""Maps side by side, each in its own range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlfn.evaluation.figures import new_figure, write_figure

_INCHES = 1.75
_COLOURS = "inferno"
_TOP = 99.5


@dataclass(frozen=True)
class MapPanel:
    """A map (h, w), shown from 0 to its 99.5th percentile, or a picture (H, W, 3) in [0, 1], with two short texts."""

    title: str
    below: str
    pixels: NDArray[np.float32]


def draw_maps(lines: Sequence[Sequence[MapPanel]], path: Path) -> None:
    """Write lines of panels with one colour bar as PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    columns = max(len(line) for line in lines)
    height, width = lines[0][0].pixels.shape[:2]
    tall = _INCHES * height / width
    figure = new_figure(columns * _INCHES, len(lines) * (tall + 0.55))
    shown = None
    for row, line in enumerate(lines):
        for column, panel in enumerate(line):
            axes = figure.add_subplot(len(lines), columns, row * columns + column + 1)
            if panel.pixels.ndim == 3:
                axes.imshow(panel.pixels)
            else:
                top = float(np.percentile(panel.pixels, _TOP)) or 1.0
                shown = axes.imshow(panel.pixels / top, cmap=_COLOURS, vmin=0.0, vmax=1.0, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_title(panel.title, fontsize=8, pad=3)
            axes.set_xlabel(panel.below, fontsize=7, labelpad=2)
    figure.tight_layout(pad=0.4, h_pad=0.6, w_pad=0.5)
    if shown is not None:
        inches = figure.get_figheight()
        place = figure.add_axes((0.3, -0.12 / inches, 0.4, 0.1 / inches))
        bar = figure.colorbar(shown, cax=place, orientation="horizontal")
        bar.set_label(f"share of the panel's own {_TOP}th percentile", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    write_figure(figure, path)
