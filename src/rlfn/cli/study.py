"""The command that reproduces the paper's tables and figures: ``rlfn study``."""

from __future__ import annotations

from pathlib import Path

import click

from rlfn.cli import options
from rlfn.cli.commands import argument, command
from rlfn.cli.messages import say, warn
from rlfn.cli.signals import status_after
from rlfn.errors import MissingExtraError, OptionError, unknown
from rlfn.wording import setting


@command(
    "study",
    section="Measure",
    examples=(
        "rlfn study",
        "rlfn study warm-start --data div2k.pack --budget hours=2 --sets-dir bench",
        "rlfn study warm-start --data div2k.pack --budget mini --sets-dir bench -o mini/warm-start",
        "rlfn study results --sets-dir bench --models mine.safetensors",
    ),
)
@argument("name", "A study; without it, list the studies.", type=options.STUDY, required=False, metavar="[NAME]")
@options.data
@options.option(
    "--budget",
    type=click.STRING,
    default="hours=1",
    metavar="BUDGET",
    help="hours=H for the whole study, iterations=N for each stage, mini or mini-muon (=N) for tiny networks and "
    "verdicts, or paper.",
)
@options.output("The folder for the results.", options.FOLDER, show_default="studies/NAME")
@options.option(
    "--seeds",
    type=options.COUNT,
    show_default="2, or 5 with a mini budget",
    help="Number of repetitions of each training.",
)
@options.sets
@options.sets_dir
@options.option(
    "--models", type=options.MODEL, multiple=True, help="Further models or folders of models; may be repeated."
)
@options.option("--vgg19", type=options.FILE, help="torchvision's VGG-19 weights.")
@options.threads
def study(
    name: str | None,
    data: Path | None,
    budget: str,
    output: Path | None,
    seeds: int | None,
    sets: tuple[str, ...],
    sets_dir: Path | None,
    models: tuple[str, ...],
    vgg19: Path | None,
    threads: int | None,
) -> None:
    """Reproduce a table or figure of the paper.

    Results that the folder already contains are reused.
    """
    from rlfn.cli.tuning import tune_for_training

    tune_for_training()
    try:
        from rlfn.studies.request import Budget, StudyRequest
        from rlfn.studies.table import STUDIES, run_study
        from rlfn.training.signals import SignalStop
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reproducing a study", "train") from error

    if name is None:
        width = max(map(len, STUDIES))
        say(*(f"{each:<{width}}  {row.about}" for each, row in STUDIES.items()))
        return
    if name not in STUDIES:
        raise unknown("study", name, STUDIES)
    if STUDIES[name].trains and data is None:
        pack = setting("data", "PACK")
        raise OptionError(f"The study {name} needs training data: {pack} (made by 'rlfn data pack').")
    if vgg19 is not None and not vgg19.is_file():
        leave = setting("vgg19")
        raise OptionError(f"There is no file {vgg19}. Give torchvision's VGG-19 weights, or leave out {leave}.")
    wanted = Budget.parse(budget)
    request = StudyRequest(
        out=output or Path("studies") / name,
        data=data,
        sets_dir=sets_dir,
        sets=sets,
        budget=wanted,
        seeds=seeds or (5 if wanted.mini else 2),
        models=models,
        vgg19=vgg19,
        threads=threads,
        log=lambda text: say(*text.splitlines()),
        stop=SignalStop(),
    )
    ended = run_study(name, request)
    if not ended:
        warn("Run the same command again to continue.")
        raise click.exceptions.Exit(status_after(request.stop.number))
    if request.failures:
        for failure in dict.fromkeys(request.failures):
            warn(f"failed: {failure}")
        raise click.exceptions.Exit(1)
