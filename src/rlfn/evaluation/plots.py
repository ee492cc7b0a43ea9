"""Plots of evaluations: models side by side as in papers, and quality against speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import OptionError
from rlfn.evaluation.benchmark import Candidate, bicubic
from rlfn.evaluation.figures import new_figure, write_figure
from rlfn.evaluation.metrics import Score, score_y
from rlfn.evaluation.scores import BenchmarkReport
from rlfn.images.resize import resize

_PANEL_INCHES = 2.6
_MOST_COLUMNS = 4
_MARKERS = "osD^vPX<>*h"


@dataclass(frozen=True)
class Crop:
    """A rectangle of the HR picture, in px."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Crop:
        """Read ``x,y,w,h``.

        Raises:
            OptionError: the text is not four whole numbers, or the rectangle is empty.

        >>> Crop.parse("10,20,64,48")
        Crop(x=10, y=20, width=64, height=48)
        """
        try:
            x, y, width, height = (int(part) for part in text.split(","))
        except ValueError:
            raise OptionError(f"'{text}' is not a crop. Write x,y,w,h in whole px of the HR picture.") from None
        if x < 0 or y < 0 or width < 1 or height < 1:
            raise OptionError(f"The crop {text} is empty or starts outside the picture. Write x,y,w,h in px.")
        return cls(x, y, width, height)


@dataclass(frozen=True)
class Panel:
    """One picture of a comparison: its title, the pixels of the crop, and the whole picture's score (None for HR)."""

    title: str
    pixels: NDArray[np.uint8]
    score: Score | None


def compare(hr: NDArray[np.uint8], candidates: Sequence[Candidate], crop: Crop | None = None) -> list[Panel]:
    """Downscale an HR picture with bicubic, upscale it with every candidate, and crop the same area of each.

    Args:
        hr: (H, W, 3) uint8 RGB; cropped at the right and bottom to a multiple of the scale.
        candidates: models of one scale; bicubic is inserted before them.
        crop: the area to show; None for the whole picture. Scores are always of the whole picture, on Y.

    Raises:
        OptionError: no models, models of several scales, a picture smaller than the scale, or a crop outside it.
    """
    scales = {candidate.scale for candidate in candidates}
    if len(scales) != 1:
        raise OptionError(f"A comparison needs models of one scale; these have {sorted(scales) or 'none'}.")
    scale = scales.pop()
    height, width = (side // scale * scale for side in hr.shape[:2])
    if min(height, width) == 0:
        raise OptionError(
            f"The picture is {hr.shape[1]}x{hr.shape[0]}, too small to be reduced by {scale}. Choose a larger one."
        )
    hr = np.ascontiguousarray(hr[:height, :width])
    crop = crop or Crop(0, 0, width, height)
    if crop.x + crop.width > width or crop.y + crop.height > height:
        raise OptionError(
            f"The crop {crop.width}x{crop.height} at {crop.x},{crop.y} is outside the picture of {width}x{height}."
        )
    place = np.s_[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
    lr = resize(hr, scale=1 / scale)
    panels = [Panel("HR", hr[place], None)]
    for candidate in (bicubic(scale), *candidates):
        sr = candidate.upscale(lr)
        panels.append(Panel(candidate.name, sr[place], score_y(sr, hr, scale)))
    return panels


def check_figure_path(path: Path) -> None:
    """Check, before any work, that a figure's name is that of a PNG.

    Raises:
        OptionError: it does not end in ``.png``.
    """
    if path.suffix.lower() != ".png":
        raise OptionError(f"Figures are written as PNG, but '{path}' does not end in .png. Choose a name that does.")


def draw_panels(panels: Sequence[Panel], path: Path) -> None:
    """Write panels as one PNG, PSNR and SSIM under each.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    columns = min(_MOST_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    height, width = panels[0].pixels.shape[:2]
    tall = _PANEL_INCHES * height / width
    figure = new_figure(columns * _PANEL_INCHES, rows * (tall + 0.5))
    for number, panel in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, number)
        axes.imshow(panel.pixels, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        below = "PSNR / SSIM" if panel.score is None else f"{panel.score.psnr:.2f} dB / {panel.score.ssim:.4f}"
        axes.set_xlabel(f"{panel.title}\n{below}", fontsize=9)
    figure.tight_layout(pad=0.6)
    write_figure(figure, path)


def draw_scatter(report: BenchmarkReport, milliseconds: Mapping[str, float], task: str, path: Path) -> None:
    """Write PSNR on Y against latency, one chart for each set and scale, as PNG.

    Args:
        report: the scores.
        milliseconds: each model's latency, measured separately from the scoring.
        task: description of what was timed, for the axis, such as ``"320x180 on 2 threads"``.
        path: the file to write.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OptionError: the report has no model's results.
        OutputError: the file cannot be written.
    """
    charts = {
        f"{facts.name} x{facts.scale}": {
            result.model: (milliseconds[result.model], result.psnr)
            for result in report.results
            if (result.set, result.scale) == (facts.name, facts.scale) and result.model in milliseconds
        }
        for facts in report.sets
    }
    if not charts:
        raise OptionError("There is nothing to plot: no set could be measured.")
    draw_points([charts], task, path)


def draw_points(rows: Sequence[Mapping[str, Mapping[str, tuple[float, float]]]], task: str, path: Path) -> None:
    """Write charts of PSNR on Y against latency as PNG; the charts of a row share a legend, so that no names overlap.

    Args:
        rows: for each row of charts, chart -> model -> (milliseconds, dB).
        task: description of what was timed, for the axis.
        path: the file to write.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    columns = max(len(charts) for charts in rows)
    figure = new_figure(3.6 * columns + 2.0, 3.4 * len(rows))
    for row, charts in enumerate(rows):
        models = list(dict.fromkeys(model for points in charts.values() for model in points))
        seen: dict[str, Any] = {}
        for column, (title, points) in enumerate(charts.items()):
            axes = figure.add_subplot(len(rows), columns, row * columns + column + 1)
            for number, model in enumerate(models):
                if model in points:
                    marker = _MARKERS[number % len(_MARKERS)]
                    seen[model] = axes.scatter(*points[model], s=44, color=f"C{number % 10}", marker=marker)
            axes.margins(y=0.15)
            axes.set_xlim(0.0, 1.12 * max((point[0] for point in points.values()), default=1.0))
            axes.set_axisbelow(True)
            axes.set_title(title, fontsize=10)
            axes.set_xlabel(f"ms for {task}, this machine", fontsize=8)
            axes.set_ylabel("PSNR on Y, dB", fontsize=8)
            axes.tick_params(labelsize=8)
            axes.ticklabel_format(useOffset=False)
            axes.grid(alpha=0.3)
            if column == len(charts) - 1:
                marks = [seen[model] for model in models]
                axes.legend(marks, models, fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False)
    figure.tight_layout()
    write_figure(figure, path)
