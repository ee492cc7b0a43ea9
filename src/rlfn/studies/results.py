"""The paper's main table: scores, size, work and latency of the packaged models and of any files beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlfn.atomic import make_folder
from rlfn.errors import DataError, ModelError, RlfnError
from rlfn.evaluation.benchmark import BICUBIC
from rlfn.evaluation.plots import draw_points
from rlfn.evaluation.profile import count_costs
from rlfn.evaluation.scores import RULES
from rlfn.evaluation.sets import STANDARD, find_set
from rlfn.inference.engines import load_engine
from rlfn.inference.hardware import default_threads
from rlfn.models import catalog
from rlfn.models.source import GRAPH_SUFFIXES, TENSOR_SUFFIXES, ModelSource
from rlfn.studies.published import Published, published
from rlfn.studies.report import Cell, Column, StudyPage, Table
from rlfn.studies.request import StudyRequest
from rlfn.studies.scoring import LATENCY_OUTPUT, Measured, Scores
from rlfn.wording import counted, listing, setting

_NONE = "-"  # where a number has no meaning; one that lacks is "not measured"

Latencies = Mapping[str, Mapping[str, float]]
"""Milliseconds by engine and model."""


@dataclass(frozen=True)
class ModelEntry:
    """One model of the table; the multiply-adds are those of a result of 1280x720, None where they are unknown."""

    name: str
    path: Path
    packaged: bool
    variant: str
    scale: int
    parameters: int | None
    multiply_adds: int | None


@dataclass(frozen=True)
class Block:
    """The models of one scale with their scores."""

    scale: int
    bicubic: Scores
    rows: tuple[tuple[ModelEntry, Scores], ...]

    @property
    def sets(self) -> list[str]:
        """The sets that were measured and those of the papers, in the field's order, others behind."""
        papers = [row.scores for row in published(self.scale)]
        names = {name for scores in (self.bicubic, *papers) for name in scores}
        return [*(name for name in STANDARD if name in names), *sorted(names - set(STANDARD))]


def run(request: StudyRequest) -> bool:
    """Measure the packaged models and ``request.models``: files, or folders of them.

    Raises:
        DataError: something could not be measured; everything else was, and is written.
    """
    make_folder(request.out)
    entries, failures = _entries(request)
    page = StudyPage(
        "Results",
        f"Scores, parameters, multiply-adds and latency of the packaged models, of other files and of {BICUBIC}, "
        "below them what papers print. Multiply-adds and latency are those of one result of {1}x{0} px; the latency "
        "is that of the network alone, a median.".format(*LATENCY_OUTPUT),
        facts=dict(RULES),
    )
    blocks = []
    for scale in sorted({entry.scale for entry in entries}):
        block = _scored(request, scale, [entry for entry in entries if entry.scale == scale], failures, page)
        blocks.append(block)
    timer = Measured(request)
    latencies = timer.latencies({entry.name: entry.path for entry in entries})
    page.remarks += [f"Not timed: {message}" for message in timer.failures]
    threads = request.threads or default_threads()
    page.facts["latency"] = (
        f"{_threads(threads)}; all models of an engine interleaved; delete latency.json to time again"
    )
    for block in blocks:
        page.tables[f"results-x{block.scale}"] = _table(block, latencies)
    differences = _differences(blocks)
    if differences.rows:
        page.tables["difference"] = differences
        page.remarks.append(
            "The last table: files whose network a paper prints, minus what it prints. It matches the network and the "
            "scale alone, so weights of another training show the distance of that training."
        )
    sources: dict[str, list[str]] = {}
    for row in (row for block in blocks for row in published(block.scale)):
        sources.setdefault(row.source, []).append(f"{row.name} x{row.scale}")
    printed = "; ".join(f"{listing(names)}: {source}" for source, names in sources.items())
    page.remarks.append(f"Printed values. {printed}. Their latencies are of other machines and left out.")
    _draw(request, blocks, latencies, threads, page)
    page.remarks += [f"Failed: {message}" for message in failures]
    page.write(request.out)
    if failures:
        raise DataError(f"The table is in {request.out}, but not all could be measured: {' | '.join(failures)}")
    return True


def _entries(request: StudyRequest) -> tuple[list[ModelEntry], list[str]]:
    """Read the packaged models and the files; return also what could not be read."""
    paths = {name: model.file(catalog.TENSORS).path for name, model in catalog.models().items()}
    packaged = len(paths)
    failures: list[str] = []
    files: dict[Path, None] = {}
    for given in request.models:
        path = Path(given)
        if given in catalog.models():
            continue
        found = sorted(file for file in path.iterdir() if _is_model(file)) if path.is_dir() else [path]
        if not found:
            failures.append(f"{path} holds no model: no file ends in {listing((*TENSOR_SUFFIXES, *GRAPH_SUFFIXES))}")
        files |= dict.fromkeys(found)
    for file in files:
        alone = sum(other.name == file.name for other in files) == 1
        paths[file.name if alone else str(file)] = file
    entries = []
    for number, (name, path) in enumerate(paths.items()):
        try:
            entries.append(_entry(name, path, number < packaged))
        except RlfnError as error:
            failures.append(f"{name}: {error.template}")
    return entries, failures


def _is_model(path: Path) -> bool:
    return path.suffix.lower() in TENSOR_SUFFIXES + GRAPH_SUFFIXES and not path.name.startswith(".")


def _entry(name: str, path: Path, packaged: bool) -> ModelEntry:
    source = ModelSource(str(path))
    engine = load_engine("onnxruntime" if source.has_graph else "torch", source)
    scale = engine.traits.scale
    height, width = (side // scale for side in LATENCY_OUTPUT)
    try:
        costs = count_costs(source, engine, height, width)
    except ModelError:  # a graph of a network outside the table
        costs = None
    variant = engine.traits.variant
    parameters, work = (costs.parameters, costs.multiply_adds) if costs else (None, None)
    return ModelEntry(name, path, packaged, variant, scale, parameters, work)


def _scored(
    request: StudyRequest, scale: int, entries: Sequence[ModelEntry], failures: list[str], page: StudyPage
) -> Block:
    """Score the models of one scale; a set or a model that fails is named in ``failures``."""
    measured = Measured(request, scale)
    there = []
    for which in measured.sets:
        try:
            found = find_set(which, scale, request.sets_dir)
        except DataError as error:
            failures.append(f"x{scale}: {error.template}")
            continue
        there.append(which)
        page.facts[f"{found.name} x{scale}"] = f"{counted(len(found.pairs), 'picture')}; LR: {found.lr_source}"
    if not measured.sets:
        missing = f"none of {listing(STANDARD)} is there. Name their folder with {setting('sets_dir')} or RLFN_SETS_DIR"
        failures.append(f"x{scale}: {missing}")
    measured.sets = tuple(there)
    bicubic = measured.bicubic()
    rows = []
    for entry in entries:
        try:
            rows.append((entry, measured.scores(entry.name, entry.path)))
        except RlfnError as error:
            failures.append(f"{entry.name}: {error.template}")
            rows.append((entry, {}))
    failures += measured.failures
    page.remarks += measured.warnings
    return Block(scale, bicubic, tuple(rows))


def _table(block: Block, latencies: Latencies) -> Table:
    """Lay out one scale: a row for bicubic, for each model, and for each network that a paper prints."""
    columns = [
        Column(f"x{block.scale}"),
        Column("weights"),
        Column("variant"),
        Column("parameters", 0),
        Column("multiply-adds, G"),
        *_score_columns(block.sets, 3),
        *(Column(f"{engine}, ms", 1) for engine in latencies),
    ]
    none = [_NONE] * len(latencies)
    rows: list[list[Cell]] = [
        [BICUBIC, _NONE, _NONE, _NONE, _NONE, *_score_cells(block.sets, block.bicubic), *none],
    ]
    for entry, scores in block.rows:
        rows.append(
            [
                entry.name,
                "packaged" if entry.packaged else "file",
                entry.variant,
                entry.parameters,
                None if entry.multiply_adds is None else entry.multiply_adds / 1e9,
                *_score_cells(block.sets, scores),
                *(row.get(entry.name) for row in latencies.values()),
            ]
        )
    for row in published(block.scale):
        printed = [f"{value:.{digits}f}" if value is not None else _NONE for value, digits in _printed(block.sets, row)]
        rows.append([f"{row.name}, as printed", "paper", row.variant or _NONE, _NONE, _NONE, *printed, *none])
    return Table(tuple(columns), tuple(tuple(row) for row in rows))


def _differences(blocks: Sequence[Block]) -> Table:
    """Lay out the scores of files minus what a paper prints for their networks."""
    sets = [name for name in STANDARD if any(name in row.scores for block in blocks for row in published(block.scale))]
    rows: list[tuple[Cell, ...]] = []
    for block in blocks:
        for entry, scores in block.rows:
            for row in published(block.scale):
                if entry.packaged or row.variant != entry.variant:
                    continue
                less = {
                    name: (scores[name][0] - row.scores[name][0], scores[name][1] - row.scores[name][1])
                    for name in sets
                    if name in scores and name in row.scores
                }
                rows.append((f"{entry.name} - {row.name}", f"x{block.scale}", *_score_cells(sets, less)))
    return Table((Column("file - printed"), Column("scale"), *_score_columns(sets, 3)), tuple(rows))


def _score_columns(sets: Sequence[str], digits: int) -> list[Column]:
    return [column for name in sets for column in (Column(f"{name} PSNR, dB", digits), Column(f"{name} SSIM", 4))]


def _score_cells(sets: Sequence[str], scores: Scores) -> list[Cell]:
    none: tuple[Cell, Cell] = (None, None)
    return [value for name in sets for value in scores.get(name, none)]


def _printed(sets: Sequence[str], row: Published) -> list[tuple[float | None, int]]:
    """Return what a paper prints with its digits: two for PSNR, four for SSIM."""
    return [
        (row.scores[name][part] if name in row.scores else None, digits)
        for name in sets
        for part, digits in ((0, 2), (1, 4))
    ]


def _draw(request: StudyRequest, blocks: Sequence[Block], latencies: Latencies, threads: int, page: StudyPage) -> None:
    """Draw PSNR against latency on the engine that 'auto' prefers, a row of charts for each scale."""
    engine = next((name for name, row in latencies.items() if row), None)
    if engine is None:
        return
    times = latencies[engine]
    rows = []
    for block in blocks:
        charts = {
            f"{name} x{block.scale}": {
                entry.name: (times[entry.name], scores[name][0])
                for entry, scores in block.rows
                if name in scores and entry.name in times
            }
            for name in block.bicubic
        }
        if charts:
            rows.append(charts)
    if rows:
        task = "{1}x{0}, {2}, {3}".format(*LATENCY_OUTPUT, engine, _threads(threads))
        draw_points(rows, task, request.out / "quality-and-speed.png")
        page.figures["quality-and-speed.png"] = f"PSNR on Y against latency: {task}"


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"
