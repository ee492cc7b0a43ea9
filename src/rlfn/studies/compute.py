"""PSNR against compute: an RLFN-S x4's stages, the official weights, a law fitted to them, and other points.

Compute is what the training steps multiply and add: three times a forward pass (one forward, two backward) for every LR
pixel that was seen. A teacher's passes and validation are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlfn.evaluation.figures import new_figure, write_figure
from rlfn.models import catalog
from rlfn.models.variants import get_variant
from rlfn.networks import build
from rlfn.networks.counting import count
from rlfn.studies.report import NOT_MEASURED, Cell, Column, StudyPage, Table
from rlfn.studies.request import PAPER_ITERATIONS, StudyRequest

SETS = ("Set5", "Set14", "B100")
MODEL = "rlfn-s-x4"

STAGES: tuple[tuple[int, tuple[float, float, float]], ...] = (
    (100_700_000, (31.62, 28.19, 27.32)),
    (26_300_000, (31.74, 28.28, 27.38)),
    (17_800_000, (31.76, 28.30, 27.39)),
    (46_800_000, (31.79, 28.32, 27.41)),
    (57_200_000, (31.87, 28.39, 27.45)),
    (69_400_000, (31.89, 28.40, 27.46)),
    (54_200_000, (31.91, 28.41, 27.47)),
    (214_769_664, (31.979, 28.457, 27.502)),
)
"""LR pixels of each stage of what :data:`MODEL` was before it was taught block by block, and PSNR on :data:`SETS` after
it."""

OFFICIAL = (32.239, 28.623, 27.581)
"""The official weights' PSNR on :data:`SETS`, as ``rlfn study results`` measures it."""

MINIATURE: tuple[tuple[float, float], ...] = ((26.178, 24.569), (27.294, 25.358), (27.844, 25.722))
"""PSNR on Set5 and Set14 of ``rlfn-mini`` after one to three stages with the paper's optimiser, means of the seeds of
``rlfn study warm-start --budget mini=2000`` (docs/reports/proof.md)."""

MINIATURE_PIXELS = 2000 * 8 * 24**2
"""LR pixels that a stage of these sees."""

Points = Sequence[tuple[str, float, tuple[float, ...]]]
"""Name, compute and PSNR by set."""

PAPER_PIXELS = 3 * PAPER_ITERATIONS * 64 * 64**2
"""LR pixels that the paper's training sees: three stages of batches of 64 patches of 64 px."""

_SIDE = 64
_EXPONENTS = np.linspace(0.02, 2.0, 397)


@dataclass(frozen=True)
class Law:
    """PSNR = limit - span * (compute / unit) ** -exponent, compute in multiply-adds.

    Attributes:
        limit: dB that no compute exceeds.
        span: dB below it at one ``unit`` of compute, 1e15 multiply-adds.
        exponent: how fast it is approached.
        error: root mean square of what the points differ from it, in dB.
    """

    limit: float
    span: float
    exponent: float
    error: float

    def at(self, compute: float) -> float:
        """Return the PSNR in dB that the law predicts."""
        return float(self.limit - self.span * (compute / 1e15) ** -self.exponent)


def fit(points: Sequence[tuple[float, float]]) -> Law:
    """Fit the law to (compute, PSNR) by least squares: linear in limit and span, a grid of exponents.

    >>> law = fit([(x * 1e15, 30.0 - 2.0 * x**-0.5) for x in (1.0, 4.0, 9.0, 100.0)])
    >>> f"{law.limit:.2f} {law.span:.2f} {law.exponent:.3f}"
    '30.00 2.00 0.500'
    """
    x = np.array([compute for compute, _ in points]) / 1e15
    y = np.array([psnr for _, psnr in points])
    best: Law | None = None
    for exponent in _EXPONENTS:
        columns = np.stack([np.ones_like(x), -(x**-exponent)], axis=1)
        (limit, span), *_ = np.linalg.lstsq(columns, y, rcond=None)
        error = float(np.sqrt(np.mean((columns @ (limit, span) - y) ** 2)))
        if best is None or error < best.error:
            best = Law(float(limit), float(span), float(exponent), error)
    assert best is not None
    return best


def multiply_adds(variant: str, scale: int) -> float:
    """Return those of one forward pass for each LR pixel."""
    return count(build(get_variant(variant), scale), _SIDE, _SIDE).multiply_adds / _SIDE**2


def stage_points() -> Points:
    """Return (name, compute, PSNR by set) after each of :data:`STAGES`."""
    each = 3.0 * multiply_adds("rlfn-s", 4)
    seen = np.cumsum([pixels for pixels, _ in STAGES])
    return [(f"stage {number}", each * float(seen[number - 1]), found) for number, (_, found) in enumerate(STAGES, 1)]


def packaged_point() -> tuple[str, float, tuple[float, ...]]:
    """Return (name, compute, PSNR by set) of the packaged model, whose first stages are taught block by block."""
    model = catalog.get_model(MODEL)
    pixels = sum(stage["lr_pixels"] for stage in model.chain)
    compute = 3.0 * multiply_adds(model.variant, model.scale) * pixels
    return f"{MODEL}, packaged", compute, tuple(model.scores[name]["psnr"] for name in SETS)


def miniature_points() -> Points:
    """Return (name, compute, PSNR on Set5 and Set14) after every stage of the miniature."""
    each = 3.0 * multiply_adds("rlfn-mini", 4) * MINIATURE_PIXELS
    return [(f"rlfn-mini, stage {number}", each * number, found) for number, found in enumerate(MINIATURE, 1)]


def run(request: StudyRequest) -> bool:
    """Write the points, the laws and what they predict."""
    own = stage_points()
    official = 3.0 * multiply_adds("rlfn-s", 4) * PAPER_PIXELS
    points = [*own, ("official weights", official, OFFICIAL)]
    small = miniature_points()
    rows: list[tuple[Cell, ...]] = [
        (name, f"{compute:.3g}", *found) for name, compute, found in (*points, packaged_point())
    ]
    rows += [(name, f"{compute:.3g}", *found, NOT_MEASURED) for name, compute, found in small]
    columns = (Column(""), Column("multiply-adds"), *(Column(f"{name}, dB", 3) for name in SETS))
    laws: list[tuple[Cell, ...]] = []
    lines: dict[str, Law] = {}
    for index, name in enumerate(SETS):
        pairs = [(compute, found[index]) for _, compute, found in points]
        for label, chosen in (("the stages", pairs[:-1]), ("the stages and the official weights", pairs)):
            law = lines[f"{name}, {label}"] = fit(chosen)
            spread = [fit([*chosen[:left], *chosen[left + 1 :]]).at(official) for left in range(len(chosen))]
            between = f"{min(spread):.2f} to {max(spread):.2f}"
            numbers = (law.limit, law.span, law.exponent, law.error)
            laws.append((f"{name}: {label}", *numbers, law.at(official), between, OFFICIAL[index]))
    heads = ("limit, dB", "span, dB", "exponent", "error, dB", "predicted for the paper's budget, dB")
    further = (Column("without any one point"), Column("official, dB", 3))
    page = StudyPage(
        "PSNR against compute",
        "RLFN-S x4: PSNR = limit - span * (compute / 1e15) ^ -exponent, compute being the multiply-adds of the "
        "training steps, three times a forward pass for every LR pixel. The paper's budget is three stages of a "
        "million steps of 64 patches of 64 px.",
    )
    times = official / own[-1][1]
    page.facts["paper's budget"] = f"{official:.3g} multiply-adds, {times:,.0f} times the eight stages'"
    page.tables = {
        "points": Table(columns, tuple(rows)),
        "laws": Table((Column(""), *(Column(head, 3) for head in heads), *further), tuple(laws)),
    }
    page.remarks.append(
        "The stages after the first learned from the official weights, so that they are not independent of the last "
        "point, and they differ in rates, batches and data. A law from them is a description; it was not tested on "
        "another training."
    )
    page.figures["compute.png"] = "PSNR on Set14 against compute"
    shown = {label: law for label, law in lines.items() if label.startswith("Set14")}
    page.remarks.append(
        f"The laws are not fitted to {MODEL} as it is packaged, whose first stages teach each part of the network on "
        "its own, nor to rlfn-mini, which is another network."
    )
    _draw(points, small, shown, request.out / "compute.png")
    page.write(request.out)
    request.log("\n".join(page.tables["laws"].markdown()))
    request.log(f"Written to {request.out / 'README.md'}.")
    return True


def _draw(points: Points, small: Points, laws: Mapping[str, Law], path: Path) -> None:
    figure = new_figure(7.6, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=(1, 2.6))
    for axes, shown, title in ((left, small, "rlfn-mini"), (right, points, "RLFN-S")):
        x, y = zip(*((compute, found[SETS.index("Set14")]) for _, compute, found in shown), strict=True)
        axes.scatter(x, y, color="C1", s=24, zorder=3)
        axes.set_xscale("log")
        axes.set_title(f"{title} x4", fontsize=9)
        axes.grid(alpha=0.3)
    left.set_xlim(1e11, 1e12)
    left.tick_params(which="minor", labelbottom=False)
    line = np.geomspace(points[0][1] / 2.0, points[-1][1] * 2.0, 200)
    for number, (label, law) in enumerate(laws.items()):
        right.plot(line, [law.at(x) for x in line], color=f"C{2 * number}", label=label)
    left.set_ylabel("PSNR on Set14, dB", fontsize=9)
    right.set_xlabel("multiply-adds of the training steps", fontsize=9)
    right.legend(fontsize=8)
    write_figure(figure, path)
