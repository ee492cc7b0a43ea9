"""Commands about training data: ``rlfn data pack``, ``degrade`` and ``get``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

data = typer.Typer(name="data", help="Get, pack and degrade pictures for training.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(data)


class _ScalesCommand(TyperCommand):
    """Takes ``--scale 2 3 4``: every whole number that follows belongs to the option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write ``--scale 2 3`` as ``--scale 2 --scale 3`` and go on as usual."""
        spread: list[str] = []
        inside = False
        for argument in args:
            inside = argument in ("--scale", "-s") or (inside and argument.isdecimal())
            if inside and argument.isdecimal() and spread[-1] not in ("--scale", "-s"):
                spread.append("--scale")
            spread.append(argument)
        return super().parse_args(ctx, spread)


@data.command(cls=_ScalesCommand)
def pack(
    folders: Annotated[list[Path], typer.Argument(metavar="HR_DIR", help="Folders of pictures, with sub-folders.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the pack.")],
    scales: Annotated[
        list[int] | None,
        typer.Option("--scale", "-s", metavar="N...", help="The reductions: --scale 2 3 4. [default: 4]"),
    ] = None,
    lr_dir: Annotated[
        Path | None, typer.Option(help="Take the low-resolution pictures from here: X4/0001x4.png and the like.")
    ] = None,
    min_side: Annotated[
        int, typer.Option(min=1, help="The largest crop that training will ask for, in high-resolution pixels.")
    ] = 256,
    skip: Annotated[
        bool, typer.Option("--skip", help="Leave out pictures that are too small, unreadable or without their pair.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads. [default: one a core]")] = None,
) -> None:
    """Pack pictures for training: decoded once, reduced by MATLAB's bicubic, memory-mapped.

    A run that was interrupted goes on where it stopped when the same command is given again.
    """
    from rlfn.data.packing import make_pack

    with _progress("Packing") as progress:
        packed = make_pack(
            folders,
            out,
            scales=tuple(scales or (4,)),
            lr_folder=lr_dir,
            min_side=min_side,
            skip=skip,
            workers=workers,
            progress=progress,
        )
    for reason in packed.left_out:
        typer.echo(f"left out: {reason}", err=True)
    size = sum(file.stat().st_size for file in out.iterdir())
    names = ", ".join(f"x{scale}" for scale in packed.pack.scales)
    done = f"{packed.made} made now" if packed.made else "nothing was left to do"
    typer.echo(f"{out}: {len(packed.pack)} pictures, {names}, {size / 1e6:,.0f} MB; {done}")


@data.command()
def degrade(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The high-resolution pictures, with sub-folders.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the low-resolution PNG files go.")],
    scale: Annotated[int | None, typer.Option("--scale", "-s", help="The reduction. [default: 4]")] = None,
    degradation: Annotated[
        str | None, typer.Option(help="bicubic (MATLAB's), photo or real-esrgan. [default: bicubic]")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Take degradation, settings and scale from this recipe: what training will see.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="With a recipe: change a key.", metavar="KEY=VALUE")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random choices of photo.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads. [default: one a core]")] = None,
) -> None:
    """Write low-resolution pictures alone, as DIR's sub-folders and 0001x4.png."""
    from rlfn.data.degradations import make_degradation
    from rlfn.data.degrading import degrade_folder
    from rlfn.errors import OptionError

    chosen = make_degradation(degradation or "bicubic")
    if recipe is not None:
        if degradation is not None:
            raise OptionError("--recipe says how to degrade: leave out --degradation, or the recipe.")
        from rlfn.training.recipe_files import load_recipe

        resolved = load_recipe(recipe, overrides or ())
        chosen, scale = resolved.data.make_degradation(), scale or resolved.scale
    with _progress("Reducing") as progress:
        failures = degrade_folder(
            folder,
            out,
            scale=scale or 4,
            degradation=chosen,
            seed=seed,
            workers=workers,
            progress=progress,
        )
    for failure in failures:
        typer.echo(f"failed: {failure}", err=True)
    if failures:
        raise typer.Exit(1)
    typer.echo(f"{out}: done")


@data.command()
def get(
    name: Annotated[str | None, typer.Argument(help="What to get; without it, the list.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where it goes.")] = Path("data"),
) -> None:
    """Download a public data set or the official weights, check their hashes and unpack them."""
    from rlfn.data.downloads import DOWNLOADS
    from rlfn.data.downloads import get as get_set

    if name is None:
        for key, download in DOWNLOADS.items():
            typer.echo(f"{key:14}{download.title} ({download.licence})")
        return
    if name in DOWNLOADS:
        typer.echo(f"{DOWNLOADS[name].title}. Licence: {DOWNLOADS[name].licence}.")
        for file in DOWNLOADS[name].files:
            typer.echo(f"{file.url}\n  {file.hash or 'no hash is known: nothing proves that it is the right file'}")
    with _progress("Downloading") as progress:
        files = get_set(name, out, lambda have, total: progress(have, total, ""))
    for path in files:
        typer.echo(f"{path}: done")


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar on standard error while the body runs; yield what moves it: done, total, what was just done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    tasks: list[Any] = []

    def show(done: int, total: int, name: str) -> None:
        if not tasks:  # an error before the first step shows no bar
            tasks.append(shown.add_task(title, name=""))
            shown.start()
        shown.update(tasks[0], completed=done, total=total or None, name=name)

    shown = Progress(*columns, TextColumn("{task.fields[name]}"), console=Console(stderr=True))
    try:
        yield show
    finally:
        if tasks:
            shown.stop()
