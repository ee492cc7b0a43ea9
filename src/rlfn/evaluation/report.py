"""An evaluation as text for people and as plain data for programs."""

from __future__ import annotations

import math
from typing import Any

from rlfn.errors import Wording, as_argument, worded
from rlfn.evaluation.benchmark import RULES, BenchmarkReport, Result
from rlfn.evaluation.sets import KNOWN


def header(report: BenchmarkReport) -> list[str]:
    """Return the lines that say what decides the numbers."""
    width = max(len(name) for name, _ in RULES)
    lines = [f"{name:<{width}}  {text}" for name, text in RULES]
    for facts in report.sets:
        state = "other than the standard" if facts.warning else "standard"
        if (facts.name, facts.scale) not in KNOWN:
            state = "no standard known here"
        lines.append(
            f"{facts.name} x{facts.scale}: {facts.pictures} pictures of {facts.root}; LR: {facts.lr_source}; "
            f"pixels: HR {facts.hr_fingerprint}, LR {facts.lr_fingerprint} ({state})"
        )
    return lines


def table(report: BenchmarkReport) -> list[str]:
    """Return the scores as the lines of a Markdown table, a row for each model and scale, a column for each set."""
    sets = list(dict.fromkeys(result.set for result in report.results))
    rows: dict[tuple[int, str], dict[str, Result]] = {}
    for result in report.results:
        rows.setdefault((result.scale, result.model), {})[result.set] = result
    cells = [["scale", "model", *(f"{name}: dB Y / SSIM Y / dB RGB" for name in sets)]]
    for (scale, model), found in rows.items():
        cells.append([f"x{scale}", model, *(_cell(found.get(name)) for name in sets)])
    return aligned(cells)


def image_table(report: BenchmarkReport) -> list[str]:
    """Return every picture's scores as the lines of a Markdown table."""
    cells = [["set", "scale", "picture", "model", "dB Y", "SSIM Y", "dB RGB", "s"]]
    for result in report.results:
        for image in result.images:
            cells.append(
                [
                    result.set,
                    f"x{result.scale}",
                    image.name,
                    result.model,
                    f"{image.psnr:.3f}",
                    f"{image.ssim:.4f}",
                    f"{image.psnr_rgb:.3f}",
                    f"{image.seconds:.3f}",
                ]
            )
    return aligned(cells)


def aligned(cells: list[list[str]]) -> list[str]:
    """Lay rows of cells out as a Markdown table, the first row being its head.

    >>> print(*aligned([["a", "long"], ["bc", "d"]]), sep="\\n")
    | a  | long |
    |----|------|
    | bc | d    |
    """
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def to_data(report: BenchmarkReport, wording: Wording = as_argument) -> dict[str, Any]:
    """Return the report as data for JSON; an infinite PSNR, of equal pictures, becomes None."""
    return {
        "rules": dict(RULES),
        "sets": [vars(facts) for facts in report.sets],
        "results": [
            {
                "set": result.set,
                "scale": result.scale,
                "model": result.model,
                "engine": result.engine,
                "psnr": _finite(result.psnr),
                "ssim": result.ssim,
                "psnr_rgb": _finite(result.psnr_rgb),
                "seconds": result.seconds,
                "images": [
                    {**vars(image), "psnr": _finite(image.psnr), "psnr_rgb": _finite(image.psnr_rgb)}
                    for image in result.images
                ],
            }
            for result in report.results
        ],
        "failures": [{**vars(failure), "message": worded(failure.message, wording)} for failure in report.failures],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cell(result: Result | None) -> str:
    if result is None:
        return "failed"
    return f"{result.psnr:.3f} / {result.ssim:.4f} / {result.psnr_rgb:.3f}"
