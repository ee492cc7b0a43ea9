"""Reports of an evaluation: Markdown tables, and plain data for JSON."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from rlfn.evaluation.scores import RULES, BenchmarkReport, Result
from rlfn.evaluation.sets import KNOWN
from rlfn.evaluation.similarity import METRICS
from rlfn.evaluation.spoil import CLEAN, parse_spoils
from rlfn.wording import Wording, as_argument, counted, worded


def header(report: BenchmarkReport) -> list[str]:
    """Return the header lines with the settings that determine the scores."""
    precisions = {result.model: f"{result.model} in {result.precision}" for result in report.results}
    computed = [text for text in precisions.values() if not text.endswith(" in fp32")]
    rules = [*RULES, *([("computed", ", ".join([*computed, "else fp32"]))] if computed else [])]
    width = max(len(name) for name, _ in rules)
    lines = [f"{name:<{width}}  {text}" for name, text in rules]
    for facts in report.sets:
        state = "other than the standard" if facts.warning else "standard"
        if (facts.name, facts.scale) not in KNOWN:
            state = "no standard known here"
        lines.append(
            f"{facts.name} x{facts.scale}: {counted(facts.pictures, 'picture')} of {facts.root}; "
            f"LR: {facts.lr_source}; pixels: HR {facts.hr_fingerprint}, LR {facts.lr_fingerprint} ({state})"
        )
    for spoil in parse_spoils(result.spoil for result in report.results):
        if spoil.kind is not None:
            lines.append(f"{spoil.name}: LR spoiled by {spoil.kind.means}")
    return lines


def table(report: BenchmarkReport) -> list[str]:
    """Return the scores as the lines of a Markdown table, one row per model and scale, one column per set."""
    sets = list(dict.fromkeys(result.set for result in report.results))
    rows: dict[tuple[int, str], dict[str, Result]] = {}
    for result in report.results:
        rows.setdefault((result.scale, result.model), {})[result.set] = result
    cells = [["scale", "model", *(f"{name}: dB Y / SSIM Y / dB RGB" for name in sets)]]
    for (scale, model), found in rows.items():
        cells.append([f"x{scale}", model, *(_cell(found.get(name)) for name in sets)])
    return aligned(cells)


def tables(report: BenchmarkReport) -> list[str]:
    """Return all scores as the lines of Markdown tables.

    Spoiled sets have one table per metric with one column per kind of spoiling; additional metrics have tables too.
    """
    parts: list[list[str]] = []
    if all(result.spoil == CLEAN for result in report.results):
        parts.append(table(report))
    else:
        parts.append(_measure_table(report, "dB Y", lambda result: f"{result.psnr:.2f}"))
        parts.append(_measure_table(report, "SSIM Y", lambda result: f"{result.ssim:.4f}"))
    for name in dict.fromkeys(name for result in report.results for name in result.extra_metrics):
        parts.append(_measure_table(report, METRICS[name].title, partial(_further, name)))
    return [line for part in parts for line in ("", *part)][1:]


def _further(name: str, result: Result) -> str:
    return f"{result.extra_metrics[name]:.{METRICS[name].digits}f}"


def _measure_table(report: BenchmarkReport, title: str, cell: Callable[[Result], str]) -> list[str]:
    """Return one metric: one row per set, scale and model, one column per kind of spoiling."""
    ways = list(dict.fromkeys(result.spoil for result in report.results))
    rows: dict[tuple[str, int, str], dict[str, Result]] = {}
    for result in report.results:
        rows.setdefault((result.set, result.scale, result.model), {})[result.spoil] = result
    cells = [["set", "scale", f"model: {title}", *ways]]
    for (name, scale, model), found in rows.items():
        cells.append([name, f"x{scale}", model, *(cell(found[way]) if way in found else "failed" for way in ways)])
    return aligned(cells)


def image_table(report: BenchmarkReport) -> list[str]:
    """Return every picture's scores as the lines of a Markdown table."""
    spoiled = any(result.spoil != CLEAN for result in report.results)
    cells = [["set", "scale", "picture", "model", "dB Y", "SSIM Y", "dB RGB", "s"]]
    for result in report.results:
        for image in result.images:
            cells.append(
                [
                    result.set,
                    f"x{result.scale}",
                    f"{image.name} {result.spoil}" if spoiled else image.name,
                    result.model,
                    f"{image.psnr:.3f}",
                    f"{image.ssim:.4f}",
                    f"{image.psnr_rgb:.3f}",
                    f"{image.seconds:.3f}",
                ]
            )
    return aligned(cells)


def aligned(cells: list[list[str]]) -> list[str]:
    """Format rows of cells as a Markdown table; the first row is the header.

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
    """Return the report as data for JSON; an infinite PSNR (equal pictures) becomes None."""
    return {
        "rules": dict(RULES),
        "sets": [vars(facts) for facts in report.sets],
        "results": [
            {
                "set": result.set,
                "scale": result.scale,
                "spoil": result.spoil,
                "model": result.model,
                "engine": result.engine,
                "precision": result.precision,
                "psnr": _finite(result.psnr),
                "ssim": result.ssim,
                "psnr_rgb": _finite(result.psnr_rgb),
                "seconds": result.seconds,
                "extra_metrics": result.extra_metrics,
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
