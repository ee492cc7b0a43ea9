"""``rlfn upscale``: the main job."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from rlfn.cli import options
from rlfn.cli.commands import argument, command
from rlfn.cli.messages import flags, say, say_json, say_traceback, session, warn
from rlfn.cli.progress import progress
from rlfn.errors import OptionError, setting

if TYPE_CHECKING:
    from rlfn.jobs.batch import Batch, Record, Settings
    from rlfn.jobs.plan import Job, Plan


@command(
    "upscale",
    section="Use",
    examples=(
        "rlfn upscale photo.jpg",
        "rlfn upscale photo.jpg -o large.png --width 3840",
        "rlfn upscale holiday/ -r -m rlfn-xs --format jpg --quality 90",
        "cat photo.jpg | rlfn upscale - -o - > large.png",
    ),
)
@argument("inputs", "Pictures, folders, patterns, or - (standard input).", nargs=-1, required=True, metavar="INPUT...")
@options.output("File, folder, or - (standard output).", click.STRING, metavar="PATH", show_default="beside the input")
@options.option("--scale", "-s", type=options.NUMBER, help="Factor, also fractional.", show_default="the model's")
@options.option("--width", type=options.WHOLE, help="Width wanted, in px.")
@options.option("--height", type=options.WHOLE, help="Height wanted, in px.")
@options.model
@options.engine
@options.precision
@options.threads
@options.tile
@options.option(
    "--format", type=options.FORMAT, help="Format; 'rlfn doctor' lists them.", show_default="the output's name, or png"
)
@options.option("--quality", type=options.WHOLE, help="1 to 100, of lossy formats.", show_default="the format's")
@options.restore
@options.self_ensemble
@options.flag("--recursive", "-r", help="Take sub-folders too.")
@options.overwrite
@options.option("--max-pixels", type=options.WHOLE, help="Largest input in px.", show_default="64 million")
@options.as_json
def upscale(inputs: tuple[str, ...], output: str | None, recursive: bool, as_json: bool, **asked: Any) -> None:
    """Make pictures larger and sharper.

    With --json, one record a picture is printed.
    """
    from rlfn.jobs.batch import Batch
    from rlfn.jobs.plan import Naming, make_plan

    settings = _settings(**asked)
    report: list[Callable[[Job, float], None]] = []
    batch = Batch(settings, lambda job, share: report[0](job, share))
    label = settings.enlarge.wanted.label(batch.model_scale)
    plan = make_plan(inputs, output, Naming(label, settings.format, recursive))
    _check_streams(plan)
    if not _run(batch, plan, report, as_json):
        raise click.exceptions.Exit(1)


def _settings(
    scale: float | None,
    width: int | None,
    height: int | None,
    tile: str,
    format: str | None,
    quality: int | None,
    overwrite: bool,
    max_pixels: int | None,
    **how: Any,
) -> Settings:
    from rlfn.images.files import DEFAULT_MAX_PIXELS, format_for
    from rlfn.inference.enlarge import EnlargeOptions
    from rlfn.inference.sizing import Wanted
    from rlfn.jobs.batch import Settings

    return Settings(
        EnlargeOptions(Wanted(scale, width, height), tile=int(tile) if tile.isdecimal() else tile, **how),
        format=format_for(f".{format.removeprefix('.')}").name if format is not None else None,
        quality=quality,
        overwrite=overwrite,
        max_pixels=DEFAULT_MAX_PIXELS if max_pixels is None else max_pixels,
    )


def _check_streams(plan: Plan) -> None:
    """Refuse to print a picture on a terminal, to wait for one to be typed, and streams that are closed."""
    if any(job.source is None for job in plan.jobs) and (sys.stdin is None or sys.stdin.isatty()):
        state = "closed" if sys.stdin is None else "a terminal"
        raise OptionError(f"Standard input is {state}. Pipe a picture into it, or name a file.")
    if any(job.target is None for job in plan.jobs) and (sys.stdout is None or sys.stdout.isatty()):
        state = "closed" if sys.stdout is None else "a terminal, where a picture would be printed"
        raise OptionError(f"Standard output is {state}. Name a file with {setting('output')}, or pipe the output.")


def _run(batch: Batch, plan: Plan, report: list[Callable[[Job, float], None]], as_json: bool) -> bool:
    """Run the plan and print what becomes of it; return whether all went well."""
    to_stdout = any(job.target is None for job in plan.jobs)
    places = {id(job): number for number, job in enumerate(plan.jobs)}
    records: list[Record] = []
    try:
        with progress("Upscaling") as show, closing(batch.run(plan.jobs)) as run:
            report.append(
                lambda job, share: show(
                    places[id(job)] + share, len(plan.jobs), "-" if job.source is None else job.source.name
                )
            )
            for record in run:
                records.append(record)
                _print_record(record, as_json, to_stdout)
    except KeyboardInterrupt:
        if len(plan.jobs) > 1:
            warn("What is finished stays; the same command goes on from there.")
        raise
    return _summary(records, plan)


def _print_record(record: Record, as_json: bool, to_stdout: bool) -> None:
    """Print what became of one picture: on stdout unless that carries the picture itself."""
    for warning in record.warnings:
        warn(f"{record.input}: {warning}")
    if session().debug and record.cause is not None:
        say_traceback(record.cause)
    if as_json:
        say_json(record.as_dict(flags(session().command)), err=to_stdout)
    elif record.status == "failed":
        warn(_failure(record))
    elif record.status == "skipped":
        say(f"{record.output} exists: skipped. Replace it with {setting('overwrite')}.", err=to_stdout)
    elif record.output_size is not None:
        wide, high = record.output_size
        restored = f"; restored {record.restore:g}: {record.restore_reason}" if record.restore else ""
        how = f"{wide}x{high} in {record.seconds:.1f} s ({record.model}, {record.engine}{restored})"
        say(f"{record.input} -> {record.output}  {how}", err=to_stdout)


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
        warn(f"Left out, being outputs of other inputs: {names}")
    if len(records) > 1:
        count = {status: sum(record.status == status for record in records) for status in ("done", "skipped", "failed")}
        parts = [f"{count['done']} upscaled"]
        parts += [f"{count[status]} {status}" for status in ("skipped", "failed") if count[status]]
        warn(", ".join(parts) + (":" if failed else "."))
        for record in failed:
            warn(f"  {_failure(record)}")
    return not failed
