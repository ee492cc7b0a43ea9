"""Commands about training: ``rlfn train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(train)


def train(
    recipe: Annotated[str | None, typer.Argument(help="A recipe's name or .toml file.")] = None,
    data: Annotated[Path | None, typer.Option(help="The pack to train on, made by rlfn data pack.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder. Default: runs/RECIPE.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a key, for example stages.0.loss.l1=1.", metavar="KEY=VALUE"),
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.", metavar="RUN")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe and its cost; train nothing.")
    ] = False,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda, ...: Lightning Fabric's names.")] = "auto",
    devices: Annotated[int, typer.Option(help="Devices on each node.", min=1)] = 1,
    nodes: Annotated[int, typer.Option(help="Nodes.", min=1)] = 1,
    strategy: Annotated[str, typer.Option(help="auto, ddp, ...: Lightning Fabric's names.")] = "auto",
) -> None:
    """Train a network by a recipe."""
    from rlfn.cli.threads import keep_from_spinning
    from rlfn.errors import MissingExtraError, OptionError

    keep_from_spinning()
    try:
        from rlfn.data.store import DataSource
        from rlfn.training.cost import describe
        from rlfn.training.loop import train as run_training
        from rlfn.training.preflight import Devices, prepare
        from rlfn.training.recipe_files import shipped_recipes
        from rlfn.training.run import settings_of_run
        from rlfn.training.signals import stop_on_signals
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error

    where = Devices(accelerator, devices, nodes, strategy)
    sources: tuple[DataSource, ...] = (DataSource(data),) if data is not None else ()
    if resume is not None:
        if recipe is not None or out is not None:
            raise OptionError("--resume goes on with a run in its folder: leave out the recipe and --out.")
        folder = resume
        resolved, known = settings_of_run(resume, overrides or ())
        sources = sources or known
    elif recipe is None:
        raise OptionError(f"Name a recipe, or a run with --resume. Recipes: {', '.join(shipped_recipes())}.")
    else:
        folder = out or Path("runs") / Path(recipe).stem
        resolved = prepare(recipe, overrides or (), data=sources, where=where, out=folder, dry=dry_run)
    if dry_run:
        typer.echo(describe(resolved, sources))
        return
    with stop_on_signals() as stop:
        ended = run_training(resolved, folder, data=sources, where=where, resume=resume is not None, stop=stop)
    if not ended:
        typer.echo(f"Go on with: rlfn train --resume {folder}", err=True)
        raise typer.Exit(130)
