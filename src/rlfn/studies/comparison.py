"""What the studies that train have in common: rows of trainings, scored, put in a table, and judged by their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlfn.studies.charts import draw_dots
from rlfn.studies.report import NOT_MEASURED, Cell, Column, StudyPage, Table, verdict
from rlfn.studies.request import StudyRequest
from rlfn.studies.scoring import Measured, Scores
from rlfn.studies.trainings import StudyPlan, total_length

HELD_OUT = "held-out, dB"
"""The column of the pictures of the pack that no training saw."""


@dataclass(frozen=True)
class ComparisonRow:
    """A row of a study's table.

    Attributes:
        label: for people.
        training: the training whose model it shows; None where that cannot be trained here.
        paper: what the paper says of it, in a word.
        missing: why there is no training.
    """

    label: str
    training: str | None
    paper: str = ""
    missing: str = ""


class Comparison:
    """The scores of a study's rows.

    Args:
        request: the sets and the seeds.
        plan: the finished trainings.
        rows: the first one is what the others are compared with.
    """

    def __init__(self, request: StudyRequest, plan: StudyPlan, rows: Sequence[ComparisonRow]) -> None:
        self.request = request
        self.plan = plan
        self.rows = tuple(rows)
        self.measured = Measured(request, _scale(plan, rows))
        self.scores: dict[str, list[Scores]] = {
            row.label: [self.measured.scores(f"{row.training}, seed {seed}", path) for seed, path in self._models(row)]
            for row in self.rows
        }

    @property
    def sets(self) -> list[str]:
        """The sets on which something was scored, in the order of the request."""
        return list(dict.fromkeys(name for seeds in self.scores.values() for found in seeds for name in found))

    def values(self, column: str) -> dict[str, tuple[float, ...]]:
        """Return the PSNR of every row's seeds on a set, or on the pack's held-out pictures (:data:`HELD_OUT`)."""
        if column == HELD_OUT:
            return {
                row.label: tuple(self.plan.trained(row.training, seed).held_out for seed, _ in self._models(row))
                if row.training
                else ()
                for row in self.rows
            }
        return {
            label: tuple(found[column][0] for found in seeds if column in found) for label, seeds in self.scores.items()
        }

    def table(
        self, extra: Mapping[str, Mapping[str, Cell]] | None = None, digits: Mapping[str, int] | None = None
    ) -> Table:
        """Return the table: length, further columns by title and row, PSNR and SSIM, and the paper's word.

        Args:
            extra: further columns by title, then by a row's label; a row that lacks one was not measured.
            digits: how many digits a further column has; 2 by default.
        """
        further = dict(extra or {})
        columns = [Column(""), Column("stages", 1), *(Column(title, (digits or {}).get(title, 2)) for title in further)]
        columns.append(Column(HELD_OUT, 3))
        for name in self.sets:
            columns += [Column(f"{name}, dB", 3), Column(f"{name}, SSIM", 4)]
        worded = any(row.paper for row in self.rows)
        columns += [Column("the paper")] * worded
        held_out = self.values(HELD_OUT)
        body = []
        for row in self.rows:
            length = total_length(self.plan.trainings, row.training) if row.training else None
            cells: list[Cell] = [row.label, length, *(column.get(row.label) for column in further.values())]
            cells.append(held_out[row.label] or None)
            for name in self.sets:
                for part in (0, 1):
                    cells.append(tuple(found[name][part] for found in self.scores[row.label] if name in found) or None)
            body.append((*cells, *[row.paper] * worded))
        return Table(tuple(columns), tuple(body))

    def report(self, page: StudyPage, table: Table) -> None:
        """Fill in what every such study states, draw ``scores.png``, and write the page."""
        page.facts.update(self.plan.facts())
        page.tables = {"table": table, **page.tables}
        page.remarks.append(
            "Held-out: crops of pictures of the pack that no training saw; all other scores: whole pictures, Y, as "
            "rlfn eval measures. Rows show mean ± standard deviation over the seeds."
        )
        for column in (HELD_OUT, *self.sets):
            page.remarks.append(verdict(self.values(column), column.removesuffix(", dB")))
        for row in self.rows:
            if row.missing:
                page.remarks.append(f"{row.label}: {NOT_MEASURED}. {row.missing}")
        failures = [f"{NOT_MEASURED.capitalize()}: {failure}" for failure in dict.fromkeys(self.measured.failures)]
        page.remarks += [*failures, *self.measured.warnings]
        shown = self.sets[0] if self.sets else HELD_OUT.removesuffix(", dB")
        values = self.values(self.sets[0] if self.sets else HELD_OUT)
        draw_dots(values, f"PSNR on {shown}, dB", self.request.out / "scores.png")
        page.figures = {"scores.png": f"PSNR on {shown} by row and seed", **page.figures}
        page.write(self.request.out)
        self.request.log("\n".join([*table.markdown(), *failures]))
        self.request.log(f"Written to {self.request.out / 'README.md'}.")

    def _models(self, row: ComparisonRow) -> list[tuple[int, Path]]:
        if row.training is None:
            return []
        return [(seed, self.plan.model(row.training, seed)) for seed in range(self.request.seeds)]


def _scale(plan: StudyPlan, rows: Sequence[ComparisonRow]) -> int:
    shown = {row.training for row in rows}
    return next(training.scale for training in plan.trainings if training.name in shown)
