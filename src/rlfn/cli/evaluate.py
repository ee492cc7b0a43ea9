"""Commands that measure quality: ``rlfn eval`` and ``rlfn compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rlfn.evaluation.benchmark import BenchmarkReport, Contender


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("eval")(evaluate)
    app.command("compare")(compare)


def evaluate(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Packaged models and files (.safetensors, .pth, .onnx), of any scales. A folder or a standard set's "
            "name among them counts as a set.",
        ),
    ],
    sets: Annotated[
        list[str] | None,
        typer.Option(help="Standard sets or folders of pictures; without it, every standard set that is found."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The folder that holds the sets; else $RLFN_DATA, else here.")
    ] = None,
    self_ensemble: Annotated[bool, typer.Option("--self-ensemble", help="Average eight flips and rotations.")] = False,
    save: Annotated[Path | None, typer.Option(help="Write every result as PNG below this folder.")] = None,
    engine: Annotated[str, typer.Option(help="auto, or one that 'rlfn doctor' lists.")] = "auto",
    precision: Annotated[str, typer.Option(help="How to compute: auto, fp32, bf16 or int8.")] = "fp32",
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores by default.")] = None,
    per_image: Annotated[bool, typer.Option("--per-image", help="Print every picture's scores too.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw quality against speed into this PNG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score models on test sets: PSNR and SSIM on Y, PSNR on RGB, with bicubic beside them."""
    import json
    import sys

    from rlfn.errors import DataError, listing
    from rlfn.evaluation.benchmark import evaluate as measure
    from rlfn.evaluation.contenders import load_contenders
    from rlfn.evaluation.report import header, image_table, table, to_data
    from rlfn.evaluation.sets import STANDARD, sets_present

    models, wanted = _sort_names(names, sets)
    contenders = load_contenders(models, engine, threads, self_ensemble, precision)
    shown = sys.stderr.isatty() and not as_json

    def progress(name: str, picture: str, done: int, count: int) -> None:
        typer.echo(f"\r\x1b[K{name}: {done} of {count}, {picture}" if done < count else "\r\x1b[K", err=True, nl=False)

    chosen = wanted or sets_present(min(contender.scale for contender in contenders), data)
    if not chosen:
        raise DataError(
            f"None of {listing(STANDARD)} is there. Name the folder that holds them with --data or RLFN_DATA, "
            "or a folder of pictures with --sets."
        )
    report = measure(contenders, chosen, data, save=save, progress=progress if shown else None)
    if as_json:
        typer.echo(json.dumps(to_data(report), indent=2))
    else:
        lines = [*header(report), "", *(table(report) if report.results else [])]
        typer.echo("\n".join([*lines, "", *image_table(report)] if per_image else lines))
        for facts in report.sets:
            if facts.warning:
                typer.echo(f"warning: {facts.warning}", err=True)
    if plot is not None and report.results:
        _plot(report, contenders, plot)
    _end(report)


def compare(
    picture: Annotated[Path, typer.Argument(help="The high-resolution picture.")],
    others: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="Models, as after --models.")] = None,
    models: Annotated[
        list[str] | None, typer.Option(help="Models of one scale; the first packaged one by default.")
    ] = None,
    crop: Annotated[str | None, typer.Option(help="The place to show: x,y,w,h in px.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG to write.")] = Path("comparison.png"),
    engine: Annotated[str, typer.Option(help="auto, or one that 'rlfn doctor' lists.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores by default.")] = None,
) -> None:
    """Draw HR, bicubic and models side by side, with the PSNR and SSIM of the whole picture under each."""
    from rlfn.evaluation.contenders import load_contenders
    from rlfn.evaluation.plots import Crop, draw_panels
    from rlfn.evaluation.plots import compare as make_panels
    from rlfn.evaluation.sets import read_rgb
    from rlfn.models import catalog

    chosen = [*(models or []), *(others or [])] or [next(iter(catalog.models()))]
    place = Crop.parse(crop) if crop else None
    panels = make_panels(read_rgb(picture), load_contenders(chosen, engine, threads), place)
    draw_panels(panels, output)
    for panel in panels:
        if panel.score is not None:
            typer.echo(f"{panel.title}: {panel.score.psnr:.3f} dB / {panel.score.ssim:.4f}")
    typer.echo(str(output))


def _sort_names(names: Sequence[str], sets: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Part models from sets, so that ``--sets Set5 Set14`` reads as it is written."""
    from rlfn.errors import OptionError
    from rlfn.evaluation.sets import STANDARD

    known = {name.lower() for name in STANDARD}
    is_set = [name.lower() in known or Path(name).is_dir() for name in names]
    models = [name for name, found in zip(names, is_set, strict=True) if not found]
    if not models:
        raise OptionError("No model was named. Name one that 'rlfn models' lists, or a file of weights.")
    return models, [*(sets or []), *(name for name, found in zip(names, is_set, strict=True) if found)]


def _plot(report: BenchmarkReport, contenders: Sequence[Contender], path: Path) -> None:
    """Time the contenders in turn on a picture of 1280x720 in the end, 8 bit in and out, and draw the chart."""
    from functools import partial

    import numpy as np

    from rlfn.evaluation.plots import draw_scatter
    from rlfn.evaluation.profile import time_in_turn

    pictures = {scale: np.zeros((720 // scale, 1280 // scale, 3), np.uint8) for scale in {c.scale for c in contenders}}
    latencies = time_in_turn([partial(rival.upscale, pictures[rival.scale]) for rival in contenders], 3.0)
    medians = {rival.name: found.median * 1e3 for rival, found in zip(contenders, latencies, strict=True)}
    draw_scatter(report, medians, "a result of 1280x720", path)


def _end(report: BenchmarkReport) -> None:
    """Name what failed, and end with status 1 if anything did."""
    for failure in report.failures:
        which = f"{failure.set} x{failure.scale}" + (f", {failure.model}" if failure.model else "")
        typer.echo(f"rlfn: {which}: {failure.message}", err=True)
    if report.failures:
        raise typer.Exit(1)
