"""Commands that measure quality: ``rlfn eval`` and ``rlfn compare``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlfn.cli import options
from rlfn.cli.commands import argument, command
from rlfn.cli.messages import flags, say, say_json, session, warn
from rlfn.cli.progress import progress
from rlfn.cli.targets import check_target
from rlfn.errors import DataError, OptionError
from rlfn.wording import listing, setting

if TYPE_CHECKING:
    from rlfn.evaluation.benchmark import Candidate
    from rlfn.evaluation.scores import BenchmarkReport


@command(
    "eval",
    section="Measure",
    examples=(
        "rlfn eval rlfn-s-x4 --sets-dir bench",
        "rlfn eval rlfn-s-x4 mine.safetensors --sets Set5 Set14 --sets-dir bench --per-image",
        "rlfn eval rlfn-xs-x2 my-pictures/ --json",
        "rlfn eval rlfn-s-x4 rlfn-xs-x4 --sets B100 --spoil clean q75 n5 --metric ssimulacra2",
    ),
)
@argument(
    "models",
    "Packaged models and model files, of any scale. A folder or the name of a standard set counts as a set, and after "
    "--spoil a degradation such as q75 counts as such.",
    type=options.MODEL_OR_SET,
    nargs=-1,
    required=True,
    metavar="MODEL...",
)
@options.sets
@options.sets_dir
@options.option(
    "--spoil",
    type=options.SPOIL,
    multiple=True,
    help="Degrade LR first: clean, q1 to q100 (JPEG), n1 to n100 (noise); may be repeated.",
    show_default="clean",
)
@options.option(
    "--metric",
    type=options.METRIC,
    multiple=True,
    help="An extra metric: ssimulacra2 or ms-ssim; may be repeated.",
    show_default=False,
)
@options.self_ensemble
@options.option(
    "--save", type=options.FOLDER, help="Write every result as PNG below this folder; existing files are replaced."
)
@options.engine
@options.measured_precision
@options.threads
@options.flag("--per-image", help="Also print the scores of every picture.")
@options.option("--plot", type=options.FILE, help="Draw quality against speed to this PNG.")
@options.overwrite
@options.as_json
def evaluate(
    models: tuple[str, ...],
    sets: tuple[str, ...],
    sets_dir: Path | None,
    spoil: tuple[str, ...],
    metric: tuple[str, ...],
    self_ensemble: bool,
    save: Path | None,
    engine: str,
    precision: str,
    threads: int | None,
    per_image: bool,
    plot: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Score models on test sets.

    PSNR and SSIM on Y, PSNR on RGB, compared with bicubic.
    """
    from rlfn.evaluation.benchmark import evaluate as measure
    from rlfn.evaluation.candidates import load_candidates
    from rlfn.evaluation.plots import check_figure_path
    from rlfn.evaluation.report import to_data
    from rlfn.evaluation.sets import STANDARD, sets_present
    from rlfn.evaluation.similarity import check_metrics
    from rlfn.evaluation.spoil import CLEAN, parse_spoils

    models, spoil = _sort_spoils(models, spoil)
    spoils = parse_spoils(spoil or [CLEAN])
    check_metrics(metric)
    chosen, wanted = _sort_names(models, sets)
    if plot is not None:
        check_figure_path(plot)
        check_target(plot, overwrite, chosen)
    candidates = load_candidates(chosen, engine, threads, self_ensemble, precision)
    wanted = wanted or sets_present(min(candidate.scale for candidate in candidates), sets_dir)
    if not wanted:
        raise DataError(
            f"None of {listing(STANDARD)} was found. Name the folder that contains them with {setting('sets_dir')} or "
            f"{options.SETS_DIR_VARIABLE}, or a folder of pictures with {setting('sets')}."
        )
    if plot is not None and plot.exists():
        scales = {candidate.scale for candidate in candidates}
        check_target(plot, overwrite, _pictures_of(wanted, scales, sets_dir))
    with progress("Scoring") as show:
        report = measure(
            candidates,
            wanted,
            sets_dir,
            save=save,
            spoils=spoils,
            metrics=metric,
            progress=lambda name, picture, done, count: show(done, count, f"{name}, {picture}"),
        )
    if as_json:
        say_json(to_data(report, flags(session().command)), indent=2)
    else:
        _print(report, per_image)
    if plot is not None and report.results:
        _plot(report, candidates, plot)
    _end(report)


@command(
    "compare",
    section="Measure",
    examples=(
        "rlfn compare photo.png -o panels.png",
        "rlfn compare photo.png --models rlfn-s-x4 rlfn-xs-x4 --crop 120,80,96,96",
    ),
)
@argument("picture", "The high-resolution picture.", type=options.FILE, metavar="PICTURE")
@argument("others", "Models, as after --models.", type=options.MODEL, nargs=-1, required=False, metavar="[MODEL]...")
@options.option(
    "--models",
    type=options.MODEL,
    multiple=True,
    help="Models of one scale; may be repeated.",
    show_default="the first packaged model",
)
@options.option("--crop", type=click.STRING, metavar="X,Y,W,H", help="The area to show, in px.")
@options.output("The PNG to write.", default=Path("comparison.png"))
@options.overwrite
@options.engine
@options.threads
def compare(
    picture: Path,
    others: tuple[str, ...],
    models: tuple[str, ...],
    crop: str | None,
    output: Path,
    overwrite: bool,
    engine: str,
    threads: int | None,
) -> None:
    """Draw HR, bicubic and models side by side.

    Each panel shows the PSNR and SSIM of the whole picture.
    """
    from rlfn.evaluation.candidates import load_candidates
    from rlfn.evaluation.plots import Crop, check_figure_path, draw_panels
    from rlfn.evaluation.plots import compare as make_panels
    from rlfn.evaluation.sets import read_rgb
    from rlfn.models import catalog

    chosen = [*models, *others] or [next(iter(catalog.models()))]
    check_figure_path(output)
    check_target(output, overwrite, [picture, *chosen])
    place = Crop.parse(crop) if crop else None
    panels = make_panels(read_rgb(picture), load_candidates(chosen, engine, threads), place)
    draw_panels(panels, output)
    for panel in panels:
        if panel.score is not None:
            say(f"{panel.title}: {panel.score.psnr:.3f} dB / {panel.score.ssim:.4f}")
    say(str(output))


def _sort_spoils(names: tuple[str, ...], spoils: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Separate degradations from models, so that ``--spoil q75 n5`` works as written."""
    from rlfn.evaluation.spoil import is_spoil

    if not spoils:
        return names, spoils
    ways = [name for name in names if is_spoil(name) and not Path(name).exists()]
    return tuple(name for name in names if name not in ways), (*spoils, *ways)


def _sort_names(names: Sequence[str], sets: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate models from sets, so that ``--sets Set5 Set14`` works as written."""
    from rlfn.evaluation.sets import STANDARD

    known = {name.lower() for name in STANDARD}
    is_set = [name.lower() in known or Path(name).is_dir() for name in names]
    models = [name for name, found in zip(names, is_set, strict=True) if not found]
    if not models:
        raise OptionError("No model was named. Name one that 'rlfn models' lists, or a model file.")
    return models, [*sets, *(name for name, found in zip(names, is_set, strict=True) if found)]


def _pictures_of(sets: Sequence[str], scales: set[int], sets_dir: Path | None) -> list[Path]:
    """Return the files of the sets that exist."""
    from rlfn.evaluation.sets import find_set

    files: list[Path] = []
    for name, scale in product(sets, scales):
        with suppress(DataError):
            pairs = find_set(name, scale, sets_dir).pairs
            files += [file for pair in pairs for file in (pair.hr, pair.lr) if file is not None]
    return files


def _print(report: BenchmarkReport, per_image: bool) -> None:
    from rlfn.evaluation.report import header, image_table, tables

    say(*header(report), "", *(tables(report) if report.results else []))
    if per_image:
        say("", *image_table(report))
    for facts in report.sets:
        if facts.warning:
            warn(f"warning: {facts.warning}")


def _plot(report: BenchmarkReport, candidates: Sequence[Candidate], path: Path) -> None:
    """Time the candidates in turn for a 1280x720 result, 8 bit in and out, and draw the chart."""
    from functools import partial

    import numpy as np

    from rlfn.evaluation.plots import draw_scatter
    from rlfn.evaluation.profile import time_in_turn

    pictures = {scale: np.zeros((720 // scale, 1280 // scale, 3), np.uint8) for scale in {c.scale for c in candidates}}
    with progress("Timing", still=True) as show:
        show(0, None, listing(candidate.name for candidate in candidates))
        latencies = time_in_turn(
            [partial(candidate.upscale, pictures[candidate.scale]) for candidate in candidates], 3.0
        )
    medians = {candidate.name: found.median * 1e3 for candidate, found in zip(candidates, latencies, strict=True)}
    draw_scatter(report, medians, "a result of 1280x720", path)


def _end(report: BenchmarkReport) -> None:
    """Name what failed, and end with status 1 if anything did."""
    for failure in report.failures:
        which = f"{failure.set} x{failure.scale}" + (f", {failure.model}" if failure.model else "")
        warn(f"rlfn: {which}: {failure.message}")
    if report.failures:
        raise click.exceptions.Exit(1)
