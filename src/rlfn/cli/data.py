"""Commands about training data: ``rlfn data pack``, ``degrade`` and ``get``."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import click

from rlfn.cli import options
from rlfn.cli.commands import Command, Group, argument, command
from rlfn.cli.messages import say, warn
from rlfn.cli.progress import progress
from rlfn.errors import MissingExtraError, OptionError
from rlfn.wording import counted, setting

_SETTINGS = "data.degradation_settings."

data = Group(
    "data",
    help="Get, pack and degrade pictures for training.",
    section="Train",
    examples=("rlfn data get div2k -o pictures", "rlfn data pack pictures/DIV2K_train_HR -o div2k.pack --scale 2 3 4"),
)


class _ScalesCommand(Command):
    """Takes ``--scale 2 3 4``: every whole number that follows belongs to the option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Write ``--scale 2 3`` as ``--scale 2 --scale 3`` and parse as usual."""
        spread: list[str] = []
        inside = False
        for word in args:
            inside = word in ("--scale", "-s") or (inside and word.isdecimal())
            if inside and word.isdecimal() and spread[-1] not in ("--scale", "-s"):
                spread.append("--scale")
            spread.append(word)
        return super().parse_args(ctx, spread)


@click.command(
    "pack",
    cls=_ScalesCommand,
    examples=(
        "rlfn data pack DIV2K_train_HR -o div2k.pack --scale 2 3 4",
        "rlfn data pack HR -o given.pack --scale 4 --lr-dir LR --skip",
    ),
)
@argument(
    "folders",
    "Folders of pictures, with sub-folders.",
    type=options.FOLDER,
    nargs=-1,
    required=True,
    metavar="HR_DIR...",
)
@options.output("The folder of the pack.", options.FOLDER, required=True)
@options.option(
    "--scale",
    "-s",
    "scales",
    type=options.WHOLE,
    multiple=True,
    metavar="N...",
    help="The reductions: --scale 2 3 4.",
    show_default="4",
)
@options.option(
    "--lr-dir",
    type=options.FOLDER,
    help="Take the low-resolution pictures from here: X4/0001x4.png and the like.",
    show_default="reduced by MATLAB's bicubic",
)
@options.option(
    "--min-side",
    type=options.COUNT,
    default=256,
    help="The largest crop that training will ask for, in high-resolution pixels.",
)
@options.flag("--skip", help="Leave out pictures that are too small, unreadable or without their pair.")
@options.workers
def pack(
    folders: tuple[Path, ...],
    output: Path,
    scales: tuple[int, ...],
    lr_dir: Path | None,
    min_side: int,
    skip: bool,
    workers: int | None,
) -> None:
    """Pack pictures for training.

    They are decoded once, reduced by MATLAB's bicubic, and memory-mapped.

    Run the same command again to resume an interrupted run, or to check a finished pack.
    """
    from rlfn.data.packing import make_pack

    with progress("Packing") as show:
        packed = make_pack(
            list(folders),
            output,
            scales=scales or (4,),
            lr_folder=lr_dir,
            min_side=min_side,
            skip=skip,
            workers=workers,
            progress=show,
        )
    for reason in packed.left_out:
        warn(f"left out: {reason}")
    size = sum(file.stat().st_size for file in output.iterdir())
    names = ", ".join(f"x{scale}" for scale in packed.pack.scales)
    done = f"{packed.made} made now" if packed.made else "nothing was left to do"
    say(f"{output}: {counted(len(packed.pack), 'picture')}, {names}, {size / 1e6:,.0f} MB; {done}")


@command(
    "degrade",
    examples=("rlfn data degrade HR -o LR --scale 4", "rlfn data degrade HR -o LR --recipe photo --seed 7"),
)
@argument("folder", "The high-resolution pictures, with sub-folders.", type=options.FOLDER, metavar="DIR")
@options.output("Where the low-resolution PNG files go.", options.FOLDER, required=True)
@options.option("--scale", "-s", type=options.WHOLE, show_default="4, or the recipe's", help="The reduction.")
@options.option(
    "--degradation",
    type=options.DEGRADATION,
    show_default="bicubic",
    help="How the pictures are degraded: MATLAB's bicubic alone, or as a training on photographs sees them.",
)
@options.option(
    "--recipe",
    type=options.RECIPE,
    help="Show what a training by this recipe would see: its degradation with its settings, at its scale.",
)
@options.option(
    "--set",
    "overrides",
    type=click.STRING,
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the recipe, or data.degradation_settings.jpeg=0.9 without one; may be repeated.",
)
@options.seed("Random seed.")
@options.workers
@options.overwrite
def degrade(
    folder: Path,
    output: Path,
    scale: int | None,
    degradation: str | None,
    recipe: str | None,
    overrides: tuple[str, ...],
    seed: int,
    workers: int | None,
    overwrite: bool,
) -> None:
    """Write low-resolution pictures of a folder's.

    They lie as the folder's do, and are called 0001x4.png.

    A file that exists is kept: run the same command again to resume an interrupted run, or use --overwrite.
    """
    from rlfn.data.degradations import make_degradation
    from rlfn.data.degrading import degrade_folder

    name = degradation or "bicubic"
    if recipe is None:
        chosen = make_degradation(name, _settings_of(overrides) if overrides else None)
    else:
        if degradation is not None:
            raise OptionError(f"The recipe says how to degrade: leave out {setting('degradation')}, or the recipe.")
        resolved = _recipe_files().load_recipe(recipe, overrides)
        chosen = resolved.data.make_degradation()
        scale = resolved.scale if scale is None else scale
    with progress("Reducing") as show:
        degraded = degrade_folder(
            folder,
            output,
            scale=4 if scale is None else scale,
            degradation=chosen,
            seed=seed,
            workers=workers,
            overwrite=overwrite,
            progress=show,
        )
    for failure in degraded.failures:
        warn(f"failed: {failure}")
    if degraded.skipped:
        warn(f"Files that exist and were kept: {degraded.skipped}. Replace them with {setting('overwrite')}.")
    if degraded.failures:
        raise click.exceptions.Exit(1)
    say(f"{output}: done")


def _recipe_files() -> ModuleType:
    try:
        from rlfn.training import recipe_files
    except ModuleNotFoundError as error:
        raise MissingExtraError("A recipe, or a change of its keys,", "train") from error
    return recipe_files


def _settings_of(overrides: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings of a degradation that is not a recipe's; other keys have nothing to change."""
    raw: dict[str, Any] = {}
    for override in overrides:
        if not override.strip().startswith(_SETTINGS):
            raise OptionError(
                f"{setting('overrides', repr(override))} changes a recipe, and none was given. Give one with "
                f"{setting('recipe')}; without one, {_SETTINGS}KEY can be changed."
            )
        _recipe_files().apply_override(raw, override)
    settings: dict[str, Any] = raw["data"]["degradation_settings"]
    return settings


@command("get", examples=("rlfn data get", "rlfn data get div2k -o pictures"))
@argument("name", "What to get; without it, the list.", type=options.DOWNLOAD, required=False, metavar="[NAME]")
@options.output("Where it goes.", options.FOLDER, default=Path("data"))
def get(name: str | None, output: Path) -> None:
    """Download a public data set or the official weights.

    Hashes are checked, archives unpacked.
    """
    from rlfn.data.downloads import DOWNLOADS
    from rlfn.data.downloads import get as get_set

    if name is None:
        for key, download in DOWNLOADS.items():
            say(f"{key:14}{download.title} ({download.licence})")
        return
    if name in DOWNLOADS:
        say(f"{DOWNLOADS[name].title}. Licence: {DOWNLOADS[name].licence}.")
        for file in DOWNLOADS[name].files:
            say(file.url, f"  {file.hash or 'no hash is known: nothing proves that it is the right file'}")
    with progress("Downloading", "B") as show:
        files = get_set(name, output, lambda have, total: show(have, total, ""))
    for path in files:
        say(f"{path}: done")


data.add_command(get)
data.add_command(pack)
data.add_command(degrade)
