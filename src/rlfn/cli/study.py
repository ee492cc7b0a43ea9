"""The command that repeats the paper's tables and figures: ``rlfn study``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(study)


def study(
    name: Annotated[str | None, typer.Argument(help="A study; without it, the list of studies.")] = None,
    data: Annotated[Path | None, typer.Option(help="The pack to train on, made by rlfn data pack.")] = None,
    budget: Annotated[
        str, typer.Option(help="hours=H for all of the study, iterations=N for each stage, or paper.")
    ] = "hours=1",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder of the results. Default: studies/NAME.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="How often each training is repeated.", min=1)] = 2,
    sets: Annotated[
        list[str] | None, typer.Option(help="Sets to score on, by name or folder; every standard set that is found.")
    ] = None,
    bench: Annotated[
        Path | None, typer.Option(help="The folder that holds the standard sets; else $RLFN_DATA, else here.")
    ] = None,
    models: Annotated[list[str] | None, typer.Option(help="Further models or folders of models to measure.")] = None,
    vgg19: Annotated[Path | None, typer.Option(help="torchvision's VGG-19 weights.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of the latencies; all cores by default.")] = None,
) -> None:
    """Repeat a table or figure of the paper; what is finished in the folder is not done again."""
    from rlfn.cli.threads import keep_from_spinning
    from rlfn.errors import MissingExtraError, OptionError, unknown

    keep_from_spinning()
    try:
        from rlfn.studies.request import Budget, StudyRequest
        from rlfn.studies.table import STUDIES
        from rlfn.training.signals import stop_on_signals
    except ModuleNotFoundError as error:
        raise MissingExtraError("Repeating a study", "train") from error

    if name is None:
        width = max(map(len, STUDIES))
        typer.echo("\n".join(f"{each:<{width}}  {row.about}" for each, row in STUDIES.items()))
        return
    if name not in STUDIES:
        raise unknown("study", name, STUDIES)
    if STUDIES[name].trains and data is None:
        raise OptionError(f"The study {name} trains. Give it a pack: --data PACK (made by rlfn data pack).")
    if vgg19 is not None and not vgg19.is_file():
        raise OptionError(f"There is no file {vgg19}. Give torchvision's VGG-19 weights, or leave --vgg19 out.")
    with stop_on_signals() as stop:
        request = StudyRequest(
            out=out or Path("studies") / name,
            data=data,
            bench=bench,
            sets=tuple(sets or ()),
            budget=Budget.parse(budget),
            seeds=seeds,
            models=tuple(models or ()),
            vgg19=vgg19,
            threads=threads,
            say=lambda text: typer.echo(text),
            stop=stop,
        )
        ended = STUDIES[name].run(request)
    if not ended:
        typer.echo("Repeat the command to go on.", err=True)
        raise typer.Exit(130)
