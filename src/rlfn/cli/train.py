"""Commands about training: ``rlfn train``."""

from __future__ import annotations

from pathlib import Path

import click

from rlfn.cli import options
from rlfn.cli.commands import argument, command
from rlfn.cli.messages import say, warn
from rlfn.errors import MissingExtraError, OptionError, setting


@command(
    "train",
    section="Train",
    examples=(
        "rlfn train cpu-evening --data div2k.pack",
        "rlfn train mine.toml --data div2k.pack -o runs/mine --set stages.0.hours=0.5",
        "rlfn train --resume runs/mine",
        "rlfn train paper --dry-run",
    ),
)
@argument("recipe", "A recipe's name or .toml file.", type=options.RECIPE, required=False, metavar="[RECIPE]")
@options.data
@options.output("The run's folder.", options.FOLDER, show_default="runs/RECIPE")
@options.option(
    "--set",
    "overrides",
    type=click.STRING,
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the recipe, for example stages.0.loss.l1=1; may be repeated.",
)
@options.option("--resume", type=options.FOLDER, metavar="RUN", help="Go on with the run in this folder.")
@options.flag("--dry-run", help="Print the resolved recipe and its cost; train nothing.")
@options.option(
    "--accelerator", type=click.STRING, default="auto", metavar="NAME", help="auto, cpu, cuda, ...: Fabric's names."
)
@options.option("--devices", type=options.COUNT, default=1, help="Devices on each node.")
@options.option("--nodes", type=options.COUNT, default=1, help="Nodes.")
@options.option("--strategy", type=click.STRING, default="auto", metavar="NAME", help="auto, ddp, ...: Fabric's names.")
def train(
    recipe: str | None,
    data: Path | None,
    output: Path | None,
    overrides: tuple[str, ...],
    resume: Path | None,
    dry_run: bool,
    accelerator: str,
    devices: int,
    nodes: int,
    strategy: str,
) -> None:
    """Train a network by a recipe."""
    from rlfn.cli.threads import keep_from_spinning

    keep_from_spinning()
    try:
        from rlfn.training.loop import train as run_training
        from rlfn.training.recipe_files import load_recipe, shipped_recipes
        from rlfn.training.run import Devices, settings_of_run
        from rlfn.training.signals import stop_on_signals
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error

    if resume is not None:
        if recipe is not None or overrides or output is not None:
            others = f"the recipe, {setting('output')} and {setting('overrides')}"
            raise OptionError(f"{setting('resume')} goes on with the run as it is: leave out {others}.")
        folder = resume
        resolved, packed = settings_of_run(resume)
        data = data or packed
    elif recipe is None:
        names = ", ".join(shipped_recipes())
        raise OptionError(f"Name a recipe, or a run with {setting('resume')}. Recipes: {names}.")
    else:
        resolved = load_recipe(recipe, overrides)
        folder = output or Path("runs") / resolved.name
    if dry_run:
        from rlfn.training.cost import describe

        say(*describe(resolved).splitlines())
        return
    where = Devices(accelerator, devices, nodes, strategy)
    with stop_on_signals() as stop:
        ended = run_training(resolved, folder, data=data, where=where, resume=resume is not None, stop=stop)
    if not ended:
        warn(f"Go on with: rlfn train {setting('resume', folder)}")
        raise click.exceptions.Exit(130)
