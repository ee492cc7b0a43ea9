"""``rlfn bulk``: pictures by the million, on one machine or many."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from rlfn.cli import options
from rlfn.cli.commands import argument, command
from rlfn.cli.messages import flags, say_json, session, warn
from rlfn.cli.progress import progress
from rlfn.cli.upscale import settings_of
from rlfn.errors import listing, worded

if TYPE_CHECKING:
    from rlfn.jobs.bulk.driver import BulkRun, Tally
    from rlfn.jobs.bulk.manifest import PictureRow

_TOLD = 60.0
"""Seconds between two lines on how far the work is, where there is no terminal to show a bar."""

_NAMED = 10
"""So many failures are told again at the end; the manifest has all."""


@command(
    "bulk",
    section="Use",
    examples=(
        "rlfn bulk holiday/ large/",
        "rlfn bulk s3://photos/2024 s3://photos-large/2024 --scale 2 --format webp",
        "rlfn bulk list.parquet s3://out/ -m rlfn-xs --address ray://head:10001",
        "rlfn bulk holiday/ large/ --verify",
    ),
)
@argument("source", "A folder or bucket, or a .txt, .csv or .parquet list of pictures.", metavar="SOURCE")
@argument("destination", "The folder or bucket for the results.", metavar="DESTINATION")
@options.scale
@options.width
@options.height
@options.model
@options.engine
@options.precision
@options.processes
@options.worker_threads
@options.tile
@options.format("png")
@options.quality
@options.restore
@options.self_ensemble
@options.wrap
@options.keep_hidden
@options.overwrite
@options.keep_suffix
@options.max_pixels
@options.option(
    "--address", type=click.STRING, metavar="RAY", help="A running Ray.", show_default="one of its own here"
)
@options.option(
    "--manifest",
    type=click.STRING,
    metavar="FOLDER",
    help="Where the Parquet files lie that say what is done.",
    show_default="_manifest in the destination",
)
@options.flag("--verify", help="Read finished pictures again too, and make those anew that are not as recorded.")
@options.as_json
def bulk(
    source: str,
    destination: str,
    workers: int | None,
    threads: int,
    address: str | None,
    manifest: str | None,
    keep_suffix: bool,
    verify: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Upscale pictures by the million, on the cores of one machine or of many.

    What is done is skipped: the same command goes on where the last one ended. With --json, one record a picture is
    printed.
    """
    from rlfn.jobs.bulk.crew import Where
    from rlfn.jobs.bulk.driver import BulkRequest, BulkRun

    where = Where(address, workers, threads)
    settings = settings_of(threads=threads, **asked)
    run = BulkRun(BulkRequest(source, destination, settings, where, manifest, keep_suffix, verify))
    _announce(run)
    if as_json and not verify:
        for entry in run.skipped():
            say_json({"key": entry.key, "input": entry.path, "output": entry.output, "status": "skipped"})
    began = time.monotonic()
    failed: list[PictureRow] = []
    try:
        with progress("Upscaling") as show, closing(run.rows()) as rows:
            told = began
            for row in rows:
                _print(row, as_json)
                if row.status == "failed" and len(failed) < _NAMED:
                    failed.append(row)
                tally = run.tally
                show(tally.skipped + tally.done + tally.failed, tally.total, row.key)
                if time.monotonic() - told >= _TOLD and not sys.stderr.isatty():
                    told = time.monotonic()
                    warn(_so_far(tally, told - began))
    except KeyboardInterrupt:
        warn("What is finished stays; the same command goes on from there.")
        raise
    _sum_up(run.tally, failed, time.monotonic() - began)
    if run.tally.failed:
        raise click.exceptions.Exit(1)


def _announce(run: BulkRun) -> None:
    """Tell what is left out."""
    if run.found.others:
        warn(f"Left out, being pictures of kinds that are not read: {run.found.others}.")
    if run.found.ignored:
        warn(f"Left out, being columns that say nothing here: {listing(run.found.ignored)}.")


def _print(row: PictureRow, as_json: bool) -> None:
    wording = flags(session().command)
    if as_json:
        say_json({**row.as_dict(), "error": worded(row.error, wording), "warnings": worded(row.warnings, wording)})
        return
    if row.warnings:
        warn(f"{row.key}: {row.warnings}")
    if row.status == "failed":
        warn(f"{row.key}: {row.error}")


def _so_far(tally: Tally, seconds: float) -> str:
    """Say how far the work is."""
    finished = tally.done + tally.failed
    over = finished + tally.skipped
    rate = finished / max(seconds, 1e-9)
    left = (tally.total - over) / max(rate, 1e-9)
    return (
        f"{over:,} of {tally.total:,} ({over / max(tally.total, 1):.1%}), {rate:.2f} pictures/s, "
        f"{tally.pixels / 1e6 / max(seconds, 1e-9):.2f} Mpx/s on {tally.workers} workers, {left / 3600:.1f} h left"
    )


def _sum_up(tally: Tally, failed: list[PictureRow], seconds: float) -> None:
    parts = [f"{tally.done} upscaled"]
    parts += [f"{count} {what}" for count, what in ((tally.skipped, "skipped"), (tally.failed, "failed")) if count]
    rate = f"; {tally.done / seconds:.2f} pictures/s, {tally.pixels / 1e6 / seconds:.2f} Mpx/s" if tally.done else ""
    warn(", ".join(parts) + rate + (":" if failed else "."))
    for row in failed:
        warn(f"  {row.key}: {row.error}")
    if tally.failed:
        more = f"{tally.failed - len(failed)} more are in the manifest. " if tally.failed > len(failed) else ""
        warn(f"{more}The same command tries them again.")
