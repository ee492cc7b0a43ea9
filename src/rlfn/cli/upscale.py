"""``rlfn upscale``: the main job."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rlfn.jobs.batch import Batch, Record
    from rlfn.jobs.plan import Job, Plan


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(upscale)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a number.") from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a whole number.") from None


_NUMBER: Any = {"parser": _number, "metavar": "NUMBER"}
_WHOLE: Any = {"parser": _whole, "metavar": "INTEGER"}


def upscale(
    context: typer.Context,
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Pictures, folders, patterns, or - (stdin).")],
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="File, folder, or - (stdout). Default: beside the input.")
    ] = None,
    scale: Annotated[
        float | None, typer.Option("-s", "--scale", help="Factor, also fractional. Default: the model's.", **_NUMBER)
    ] = None,
    width: Annotated[int | None, typer.Option("--width", help="Width wanted, in px.", **_WHOLE)] = None,
    height: Annotated[int | None, typer.Option("--height", help="Height wanted, in px.", **_WHOLE)] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            help="Packaged model, or network (rlfn-xs is the fast one): see 'rlfn models'. Or a file of weights.",
        ),
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="auto, onnxruntime, openvino or torch.")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", help="CPU threads. Default: all cores.", **_WHOLE)] = None,
    tile: Annotated[
        str, typer.Option("--tile", help="Largest tile side in px of the input; 0: whole picture; auto: by memory.")
    ] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or int8.")] = "auto",
    format: Annotated[
        str | None, typer.Option("--format", help="png, jpg, webp, tiff or avif. Default: the output's name, or png.")
    ] = None,
    quality: Annotated[int | None, typer.Option("--quality", help="1 to 100, of lossy formats.", **_WHOLE)] = None,
    self_ensemble: Annotated[
        bool, typer.Option("--self-ensemble", help="Average the eight flips and rotations: slightly better, 8x slower.")
    ] = False,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Take sub-folders too.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    max_pixels: Annotated[
        int | None, typer.Option("--max-pixels", help="Largest input accepted, in px. Default: 64 million.", **_WHOLE)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON record a picture.")] = False,
) -> None:
    """Make pictures larger and sharper."""
    from rlfn.images.files import DEFAULT_MAX_PIXELS, format_for
    from rlfn.inference.enlarge import EnlargeOptions
    from rlfn.inference.sizing import Wanted
    from rlfn.jobs.batch import Batch, Settings
    from rlfn.jobs.plan import Naming, make_plan

    wanted = Wanted(scale, width, height)
    settings = Settings(
        EnlargeOptions(
            wanted, model, engine, precision, threads, int(tile) if tile.isdecimal() else tile, self_ensemble
        ),
        format=format_for(f".{format.removeprefix('.')}").name if format is not None else None,
        quality=quality,
        overwrite=overwrite,
        max_pixels=DEFAULT_MAX_PIXELS if max_pixels is None else max_pixels,
    )
    report: list[Callable[[Job, float], None]] = []
    batch = Batch(settings, lambda job, share: report[0](job, share))
    label = wanted.label(batch.model_scale)
    plan = make_plan(inputs, output, Naming(label, settings.format, recursive))
    _check_terminals(plan)
    if not _run(batch, plan, report, as_json, debug=bool(context.obj)):
        raise typer.Exit(1)


def _check_terminals(plan: Plan) -> None:
    """Refuse to print a picture on a terminal, or to wait for one to be typed."""
    from rlfn.errors import OptionError

    if any(job.source is None for job in plan.jobs) and sys.stdin.isatty():
        raise OptionError("Standard input is a terminal. Pipe a picture into it, or name a file.")
    if any(job.target is None for job in plan.jobs) and sys.stdout.isatty():
        raise OptionError("A picture would be printed on the terminal. Name a file with -o, or pipe the output.")


def _run(batch: Batch, plan: Plan, report: list[Callable[[Job, float], None]], as_json: bool, debug: bool) -> bool:
    """Run the plan and print what becomes of it; return whether all went well."""
    from rlfn.cli.progress import progress

    to_stdout = any(job.target is None for job in plan.jobs)
    records: list[Record] = []
    try:
        with progress(plan.jobs) as show, closing(batch.run(plan.jobs)) as run:
            report.append(show)
            for record in run:
                records.append(record)
                _print_record(record, as_json, to_stdout, debug)
    except KeyboardInterrupt:
        if len(plan.jobs) > 1:
            typer.echo("What is finished stays; the same command goes on from there.", err=True)
        raise
    return _summary(records, plan)


def _print_record(record: Record, as_json: bool, to_stdout: bool, debug: bool) -> None:
    """Print what became of one picture: on stdout unless that carries the picture itself."""
    for warning in record.warnings:
        typer.echo(f"{record.input}: {warning}", err=True)
    if debug and record.cause is not None:
        import traceback

        typer.echo("".join(traceback.format_exception(record.cause)), err=True)
    if as_json:
        import json

        typer.echo(json.dumps(record.as_dict()), err=to_stdout)
    elif record.status == "failed":
        typer.echo(_failure(record), err=True)
    elif record.status == "skipped":
        typer.echo(f"{record.output} exists: skipped. Replace it with --overwrite.", err=to_stdout)
    elif record.output_size is not None:
        wide, high = record.output_size
        how = f"{wide}x{high} in {record.seconds:.1f} s ({record.model}, {record.engine})"
        typer.echo(f"{record.input} -> {record.output}  {how}", err=to_stdout)


def _failure(record: Record) -> str:
    """Return the error, beginning with the input's name where it does not tell it."""
    error = record.error or ""
    return error if f"'{record.input}'" in error else f"{record.input}: {error}"


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
            typer.echo(f"  {_failure(record)}", err=True)
    return not failed
