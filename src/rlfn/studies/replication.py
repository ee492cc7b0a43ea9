"""A study in miniature from the request to the page: arms trained seed by seed, scored, and judged by their claims."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from rlfn.errors import DataError
from rlfn.studies.architecture import costs
from rlfn.studies.arms import MINI, Arm
from rlfn.studies.charts import draw_dots
from rlfn.studies.mini import MiniPlan
from rlfn.studies.paired import MARGIN, Claim, judge, paired, sentence
from rlfn.studies.report import Cell, Column, StudyPage, Table
from rlfn.studies.request import StudyRequest
from rlfn.studies.scoring import Measured
from rlfn.wording import duration

HELD_OUT = "held-out"
"""The column of the pictures of the pack that no training saw."""

Values = dict[str, tuple[float, ...]]
"""The PSNR of each seed by the rows' labels."""


def run(name: str, request: StudyRequest) -> bool:
    """Run a study of :data:`rlfn.studies.arms.MINI`; return False where it was asked to stop.

    The page is rewritten after every seed, so that finished results can be read while the rest runs.
    """
    study = MINI[name]
    plan = MiniPlan(study, request)
    scores = {scale: Measured(request, scale) for scale in {arm.scale for arm in plan.rows}}
    for seed in range(request.seeds):
        for number, arm in enumerate(study.arms, 1):
            if not plan.finished(arm, seed):
                request.log(f"{number} of {len(study.arms)}: {arm.name}, seed {seed}")
            if not plan.run(arm, seed):
                write(plan, scores)
                return False
            if arm.shown:
                scores[arm.scale].scores(f"{arm.name}, seed {seed}", plan.model(arm, seed))
        write(plan, scores, timed=study.timed and seed + 1 == request.seeds)
    return True


def write(plan: MiniPlan, scores: Mapping[int, Measured], timed: bool = False) -> None:
    """Write the page with its tables of everything that has been trained; ``timed`` measures latencies too."""
    study, request = plan.study, plan.request
    columns = _values(plan, scores)
    extra: dict[str, dict[str, Cell]] = {}
    if any(arm.share for arm in plan.rows):
        extra["weight"] = {arm.label: plan.weight(arm, 0) for arm in plan.rows if arm.share and plan.finished(arm, 0)}
    if study.timed:
        extra |= costs({arm.label: arm.variant for arm in plan.rows}, plan.rows[0].scale)
    if timed:
        extra |= _latencies(plan, scores)
    page = StudyPage(study.title, study.about)
    page.facts = _facts(plan, columns)
    page.tables = {"table": _table(plan, columns, extra), "claims": claims_table(study.claims, columns)}
    shown = list(columns)[-1]  # the largest set, where the sets stand in their usual order
    page.remarks.append(f"On {shown} (the other columns are in the second table):")
    page.remarks += [sentence(claim, columns[shown]) for claim in study.claims]
    chosen = {label: fmean(columns[HELD_OUT][label]) for label in study.choices if label in columns[HELD_OUT]}
    if chosen:
        page.remarks.append(f"Best on the held-out pictures: {max(chosen, key=lambda label: chosen[label])}.")
    page.remarks += study.remarks
    page.remarks += [
        "Numbers are PSNR on Y in dB, mean ± standard error over the seeds. Differences are taken seed by seed; their "
        "95% intervals are Student's, from the seeds. A row is better if the whole interval lies above 0, as good "
        f"if it lies within {MARGIN} dB of 0; otherwise the result is inconclusive. One null row in twenty will "
        "come out as different by chance.",
        *(failure for each in scores.values() for failure in dict.fromkeys(each.failures)),
        *(warning for each in scores.values() for warning in each.warnings),
    ]
    draw_dots(
        {arm.label: columns[shown].get(arm.label, ()) for arm in plan.rows},
        f"PSNR on {shown}, dB",
        request.out / "scores.png",
    )
    page.figures = {"scores.png": f"PSNR on {shown} by row and seed"}
    page.write(request.out)
    request.log(f"Written to {request.out / 'README.md'}.")


def claims_table(claims: Sequence[Claim], columns: Mapping[str, Values]) -> Table:
    """Return a row for each claim and column of scores: the paired difference, its interval, and the verdict."""
    rows: list[tuple[Cell, ...]] = []
    for name, values in columns.items():
        for claim in claims:
            found = paired(values.get(claim.row, ()), values.get(claim.against, ()))
            numbers: tuple[Cell, ...] = (None,) * 5
            if found is not None:
                numbers = (str(found.count), found.mean, found.error, found.low, found.high)
            verdict = judge(claim.sense, found)
            rows.append((claim.row, claim.sense, claim.against, claim.source, name, *numbers, verdict))
    heads = ("", "is", "than", "says", "on", "seeds")
    measures = ("difference, dB", "standard error", "from", "to")
    return Table(
        (*(Column(head) for head in heads), *(Column(head, 3) for head in measures), Column("verdict")), tuple(rows)
    )


def read_values(path: Path) -> dict[str, Values]:
    """Read back the numbers of every seed from a ``table.csv``, by column and row: what the verdicts are made of.

    Raises:
        DataError: the file is not such a table.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise DataError(f"{path} holds no table.")
    ending = ", dB, seed "
    columns: dict[str, Values] = {}
    for head in rows[0]:
        if ending not in head:
            continue
        name = head.split(ending)[0]
        values = columns.setdefault(name, {})
        for row in rows:
            if row[head]:
                values[row[""]] = (*values.get(row[""], ()), float(row[head]))
    if not columns:
        raise DataError(f"{path} has no columns of seeds.")
    return columns


def _values(plan: MiniPlan, scores: Mapping[int, Measured]) -> dict[str, Values]:
    columns: dict[str, Values] = {HELD_OUT: {}}
    for arm in plan.rows:
        for seed in _seeds(plan, arm):
            found = scores[arm.scale].scores(f"{arm.name}, seed {seed}", plan.model(arm, seed))
            numbers = {HELD_OUT: plan.trained(arm, seed).held_out, **{name: psnr for name, (psnr, _) in found.items()}}
            for name, psnr in numbers.items():
                values = columns.setdefault(name, {})
                values[arm.label] = (*values.get(arm.label, ()), psnr)
    return columns


def _seeds(plan: MiniPlan, arm: Arm) -> range:
    """Return the seeds with which an arm has been trained, from 0 up to the first that is missing."""
    return range(next((seed for seed in range(plan.request.seeds) if not plan.finished(arm, seed)), plan.request.seeds))


def _latencies(plan: MiniPlan, scores: Mapping[int, Measured]) -> dict[str, dict[str, Cell]]:
    """Return a column of milliseconds for each engine; rows of one network share a number."""
    first: dict[str, Arm] = {}
    for arm in plan.rows:
        first.setdefault(arm.variant, arm)
    models = {variant: plan.model(arm, 0) for variant, arm in first.items()}
    found = scores[plan.rows[0].scale].latencies(models)
    return {
        f"{engine}, ms": {arm.label: times[arm.variant] for arm in plan.rows if arm.variant in times}
        for engine, times in found.items()
    }


def _table(plan: MiniPlan, columns: Mapping[str, Values], extra: Mapping[str, Mapping[str, Cell]]) -> Table:
    heads = [Column(""), Column("stages", 2), *(Column(title, 5 if title == "weight" else 2) for title in extra)]
    heads += [Column(f"{name}, dB", 3) for name in columns]
    rows = []
    for arm in plan.rows:
        psnr = [values.get(arm.label) or None for values in columns.values()]
        rows.append((arm.label, plan.length(arm), *(column.get(arm.label) for column in extra.values()), *psnr))
    return Table(tuple(heads), tuple(rows), errors=True)


def _facts(plan: MiniPlan, columns: Mapping[str, Values]) -> dict[str, str]:
    stage = plan.base.stages[0]
    patch, batch = stage.sizes(0.0, plan.base.scale)
    counts = sorted({len(columns[HELD_OUT].get(arm.label, ())) for arm in plan.rows})
    many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    spent = sum(plan.trained(arm, seed).seconds for arm in plan.study.arms for seed in _seeds(plan, arm))
    return {
        "protocol": f"{plan.request.budget}: {plan.iterations:,} steps a stage of {batch} patches of {patch} px",
        "optimiser": f"{stage.optimizer.name}, {stage.optimizer.lr:g}, {stage.schedule.name}; start: {stage.init}",
        "seeds": f"{many}; the arms of a seed share initial weights and samples, the null arm does not",
        "pictures": f"{len(plan.pack)}, a tenth held out",
        "time in training steps, shared stages counted again": duration(spent),
    }
