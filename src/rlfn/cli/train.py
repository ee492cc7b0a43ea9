"""Commands about training: ``rlfn train``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from rlfn.cli import options
from rlfn.cli.commands import argument, command
from rlfn.cli.messages import say, warn
from rlfn.cli.signals import status_after
from rlfn.errors import MissingExtraError, OptionError
from rlfn.wording import setting


@command(
    "train",
    section="Train",
    examples=(
        "rlfn train cpu-evening --data div2k.pack",
        "rlfn train mine.toml --data div2k.pack -o runs/mine --set stages.0.hours=0.5",
        "rlfn train --resume runs/mine --set stages.0.hours=4",
        "rlfn train paper --dry-run",
        "torchrun --nnodes 2 --node-rank 0 --master-addr node1 -m rlfn train paper --data div2k.pack",
    ),
)
@argument("recipe", "A recipe's name or .toml file.", type=options.RECIPE, required=False, metavar="[RECIPE]")
@options.data
@options.output("The folder of the run.", options.FOLDER, show_default="runs/RECIPE")
@options.option(
    "--set",
    "overrides",
    type=click.STRING,
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the recipe, for example stages.0.loss.l1=1, or of a resumed run; may be repeated.",
)
@options.option("--resume", type=options.FOLDER, metavar="RUN", help="Resume the run in this folder.")
@options.flag("--dry-run", help="Check everything and print the recipe, its data and its cost, without training.")
@options.option(
    "--accelerator",
    type=click.STRING,
    default="auto",
    metavar="NAME",
    help="Fabric's accelerator: auto, cpu, cuda, ...",
)
@options.option("--devices", type=options.COUNT, help="Devices per node.", show_default="1, or torchrun's")
@options.option("--nodes", type=options.COUNT, help="Number of nodes.", show_default="1, or torchrun's")
@options.option(
    "--strategy", type=click.STRING, default="auto", metavar="NAME", help="Fabric's strategy: auto, ddp, ..."
)
def train(
    recipe: str | None,
    data: Path | None,
    output: Path | None,
    overrides: tuple[str, ...],
    resume: Path | None,
    dry_run: bool,
    accelerator: str,
    devices: int | None,
    nodes: int | None,
    strategy: str,
) -> None:
    """Train a network with a recipe."""
    from rlfn.cli.tuning import tune_for_training

    tune_for_training()
    try:
        from rlfn.data.store import DataSource
        from rlfn.training.cost import describe
        from rlfn.training.devices import Devices
        from rlfn.training.loop import train as run_training
        from rlfn.training.preflight import prepare
        from rlfn.training.recipe_files import shipped_recipes
        from rlfn.training.run import settings_of_run
        from rlfn.training.signals import SignalStop
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error

    launched = _launched()
    chosen = Devices(accelerator, devices or launched[0], nodes or launched[1], strategy)
    sources: tuple[DataSource, ...] = (DataSource(data),) if data is not None else ()
    if resume is not None:
        if recipe is not None or output is not None:
            others = f"the recipe and {setting('output')}"
            raise OptionError(f"{setting('resume')} resumes a run in its own folder: leave out {others}.")
        folder = resume
        resolved, known = settings_of_run(resume, overrides)
        sources = sources or known
    elif recipe is None:
        names = ", ".join(shipped_recipes())
        raise OptionError(f"Name a recipe, or a run with {setting('resume')}. Recipes: {names}.")
    else:
        folder = output or Path("runs") / Path(recipe).stem
        resolved = prepare(recipe, overrides, data=sources, devices=chosen, out=folder, dry=dry_run)
    if dry_run:
        say(*describe(resolved, sources).splitlines())
        return
    stop = SignalStop()
    ended = run_training(resolved, folder, data=sources, devices=chosen, resume=resume is not None, stop=stop)
    if not ended:
        warn(f"Resume with: rlfn train {setting('resume', folder)}")
        raise click.exceptions.Exit(status_after(stop.number))


def _launched() -> tuple[int, int]:
    """Return the devices per node and the nodes that torchrun started this process for; by default one of each."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 1, 1
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    return local, int(os.environ["WORLD_SIZE"]) // local
