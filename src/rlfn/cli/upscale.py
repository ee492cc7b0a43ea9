"""``rlfn upscale``: the main job."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rlfn.inference.batch import Record
    from rlfn.inference.plan import Job, Plan


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(upscale)


def upscale(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Pictures, folders, patterns, or - (stdin).")],
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="File, folder, or - (stdout). Default: beside the input.")
    ] = None,
    scale: Annotated[
        float | None, typer.Option("-s", "--scale", help="Factor, also fractional. Default: the model's.")
    ] = None,
    width: Annotated[int | None, typer.Option("--width", help="Width wanted, in px.")] = None,
    height: Annotated[int | None, typer.Option("--height", help="Height wanted, in px.")] = None,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="Packaged model (see 'rlfn models') or a .onnx, .safetensors, .pth file."),
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="auto, onnxruntime, openvino or torch.")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", help="CPU threads. Default: all cores.")] = None,
    tile: Annotated[
        str, typer.Option("--tile", help="Largest tile side in px of the input; 0: whole picture; auto: by memory.")
    ] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="Of a packaged model's file.")] = "fp32",
    format: Annotated[
        str | None, typer.Option("--format", help="png, jpg, webp, tiff or avif. Default: the output's name, or png.")
    ] = None,
    quality: Annotated[int | None, typer.Option("--quality", help="1 to 100, of lossy formats.")] = None,
    self_ensemble: Annotated[
        bool, typer.Option("--self-ensemble", help="Average the eight flips and rotations: slightly better, 8x slower.")
    ] = False,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Take sub-folders too.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    max_pixels: Annotated[
        int | None, typer.Option("--max-pixels", help="Largest input accepted, in px. Default: 64 million.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON record a picture.")] = False,
) -> None:
    """Make pictures larger and sharper."""
    from rlfn.images.files import DEFAULT_MAX_PIXELS, format_for
    from rlfn.inference.batch import Batch, Settings
    from rlfn.inference.plan import make_plan
    from rlfn.inference.sizing import Wanted

    wanted = Wanted(scale, width, height)
    name = format_for(f"x.{format}").name if format is not None else None
    settings = Settings(
        wanted=wanted,
        model=model,
        engine=engine,
        threads=threads,
        tile=_tile(tile),
        precision=precision,
        format=name,
        quality=quality,
        self_ensemble=self_ensemble,
        overwrite=overwrite,
        max_pixels=max_pixels or DEFAULT_MAX_PIXELS,
    )
    report: list[Callable[[Job, float], None]] = []
    batch = Batch(settings, lambda job, share: report[0](job, share) if report else None)
    plan = make_plan(inputs, output, wanted.label(batch.model_scale), format=name or "png", recursive=recursive)
    to_stdout = plan.jobs and plan.jobs[0].target is None
    if to_stdout and sys.stdout.isatty():
        from rlfn.errors import OptionError

        raise OptionError("A picture would be printed on the terminal. Name a file with -o, or pipe the output.")
    records = []
    with _progress(plan) as show:
        report.append(show)
        for record in batch.run(plan.jobs):
            records.append(record)
            _print_record(record, as_json, bool(to_stdout))
    if not _summary(records, plan):
        raise typer.Exit(1)


def _tile(text: str) -> Any:
    from rlfn.errors import OptionError

    if text == "auto":
        return text
    if text.isdecimal():
        return int(text)
    raise OptionError(f"A tile of '{text}' was asked for. Allowed: auto, 0 for the whole picture, or a side in px.")


@contextmanager
def _progress(plan: Plan) -> Iterator[Callable[[Job, float], None]]:
    """Show a bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda job, share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    places = {id(job): number for number, job in enumerate(plan.jobs)}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=len(plan.jobs), rate="")

        def show(job: Job, share: float) -> None:
            running = bar.tasks[0]
            rate = f"{60 * running.speed:.1f}/min" if running.speed else ""
            name = job.source.name if job.source is not None else "stdin"
            bar.update(task, completed=places[id(job)] + share, description=name[-32:], rate=rate)

        yield show


def _print_record(record: Record, as_json: bool, to_stdout: bool) -> None:
    """Print what became of one picture: on stdout unless that carries the picture itself."""
    for warning in record.warnings:
        typer.echo(f"{record.input}: {warning}", err=True)
    if as_json:
        import json

        typer.echo(json.dumps(asdict(record)), err=to_stdout)
        return
    if record.status == "failed":
        typer.echo(f"{record.input}: {record.error}", err=True)
    elif record.status == "skipped":
        typer.echo(f"{record.output} exists: skipped. Replace it with --overwrite.", err=to_stdout)
    elif record.output_size is not None:
        wide, high = record.output_size
        how = f"{wide}x{high} in {record.seconds:.1f} s ({record.model}, {record.engine})"
        typer.echo(f"{record.input} -> {record.output}  {how}", err=to_stdout)


def _summary(records: list[Record], plan: Plan) -> bool:
    """Print the totals of a call with several pictures, and its failures again; return whether all went well."""
    failed = [record for record in records if record.status == "failed"]
    if plan.left_out:
        from rlfn.errors import listing

        names = listing(plan.left_out[:3]) + (", ..." if len(plan.left_out) > 3 else "")
        typer.echo(f"Left out, being outputs of other inputs: {names}", err=True)
    if len(records) > 1:
        count = {status: sum(record.status == status for record in records) for status in ("done", "skipped", "failed")}
        parts = [f"{count['done']} upscaled"]
        parts += [f"{count[status]} {status}" for status in ("skipped", "failed") if count[status]]
        typer.echo(", ".join(parts) + (":" if failed else "."), err=True)
        for record in failed:
            typer.echo(f"  {record.input}: {record.error}", err=True)
    return not failed
