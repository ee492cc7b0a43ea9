"""``rlfn bulk``: bulk processing on one machine or many."""

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
from rlfn.wording import duration, listing

if TYPE_CHECKING:
    from rlfn.jobs.bulk.driver import BulkProgress, BulkRun
    from rlfn.jobs.bulk.manifest import PictureRow

_STATUS_SECONDS = 60.0
"""Seconds between status lines when there is no terminal for a progress bar."""

_LISTED_FAILURES = 10
"""Number of failures listed in the summary; the manifest has all of them."""


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
    "--address", type=click.STRING, metavar="RAY", help="Address of a running Ray cluster.", show_default="a local one"
)
@options.option(
    "--manifest",
    type=click.STRING,
    metavar="FOLDER",
    help="Folder of the manifest, the Parquet files that record finished pictures.",
    show_default="_manifest in the destination",
)
@options.flag("--verify", help="Read finished pictures again, and redo those that do not match the manifest.")
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
    """Upscale large numbers of pictures on the cores of one machine or of many.

    Finished pictures are skipped: the same command resumes where the last one ended. With --json, one record per
    picture is printed.
    """
    from rlfn.jobs.bulk.driver import BulkRequest, BulkRun
    from rlfn.jobs.bulk.ray_cluster import ClusterOptions

    cluster = ClusterOptions(address, workers, threads)
    settings = settings_of(threads=threads, **asked)
    run = BulkRun(BulkRequest(source, destination, settings, cluster, manifest, keep_suffix, verify))
    _announce(run)
    if as_json and not verify:
        for entry in run.skipped():
            say_json({"key": entry.key, "input": entry.path, "output": entry.output, "status": "skipped"})
    began = time.monotonic()
    failed: list[PictureRow] = []
    try:
        with progress("Upscaling") as show, closing(run.rows()) as rows:
            last_status = began
            for row in rows:
                _print(row, as_json)
                if row.status == "failed" and len(failed) < _LISTED_FAILURES:
                    failed.append(row)
                state = run.progress
                show(state.skipped + state.done + state.failed, state.total, row.key)
                if time.monotonic() - last_status >= _STATUS_SECONDS and not sys.stderr.isatty():
                    last_status = time.monotonic()
                    warn(_status_line(state, last_status - began))
    except KeyboardInterrupt:
        warn("Finished pictures are kept; run the same command to resume.")
        raise
    _print_summary(run.progress, failed, time.monotonic() - began)
    if run.progress.failed:
        raise click.exceptions.Exit(1)


def _announce(run: BulkRun) -> None:
    """Warn about input that is ignored."""
    if run.found.unsupported:
        warn(f"Skipped pictures in unsupported formats: {run.found.unsupported}.")
    if run.found.ignored:
        warn(f"Ignored columns of the list: {listing(run.found.ignored)}.")


def _print(row: PictureRow, as_json: bool) -> None:
    if as_json:
        say_json(row.as_dict(flags(session().command)))
        return
    for warning in row.warnings:
        warn(f"{row.key}: {warning}")
    if row.status == "failed":
        warn(f"{row.key}: {row.error}")


def _status_line(state: BulkProgress, seconds: float) -> str:
    """Return a status line."""
    finished = state.done + state.failed
    over = finished + state.skipped
    rate = finished / max(seconds, 1e-9)
    left = (state.total - over) / max(rate, 1e-9)
    return (
        f"{over:,} of {state.total:,} ({over / max(state.total, 1):.1%}), {rate:.2f} pictures/s, "
        f"{state.pixels / 1e6 / max(seconds, 1e-9):.2f} Mpx/s on {state.workers} workers, {duration(left)} left"
    )


def _print_summary(state: BulkProgress, failed: list[PictureRow], seconds: float) -> None:
    parts = [f"{state.done} upscaled"]
    parts += [f"{count} {what}" for count, what in ((state.skipped, "skipped"), (state.failed, "failed")) if count]
    rate = f"; {state.done / seconds:.2f} pictures/s, {state.pixels / 1e6 / seconds:.2f} Mpx/s" if state.done else ""
    warn(", ".join(parts) + rate + (":" if failed else "."))
    for row in failed:
        warn(f"  {row.key}: {row.error}")
    if state.failed:
        more = f"{state.failed - len(failed)} more are in the manifest. " if state.failed > len(failed) else ""
        warn(f"{more}Run the same command to retry them.")
