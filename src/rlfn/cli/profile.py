"""The command that measures cost: ``rlfn profile``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rlfn.cli import options
from rlfn.cli.commands import argument, command
from rlfn.cli.messages import say, say_json
from rlfn.cli.progress import progress
from rlfn.errors import OptionError
from rlfn.wording import listing, setting

if TYPE_CHECKING:
    from rlfn.evaluation.profile import Profile


@command(
    "profile",
    section="Measure",
    examples=(
        "rlfn profile rlfn-s-x4",
        "rlfn profile rlfn-s-x4 rlfn-xs-x4 --compare --result 1280x720",
    ),
)
@argument("models", "Packaged models or model files.", type=options.MODEL, nargs=-1, required=True, metavar="MODEL...")
@options.option("--input", type=click.STRING, metavar="WxH", help="Size of the LR picture.", show_default="256x256")
@options.option("--result", type=click.STRING, metavar="WxH", help="Size of the result instead, such as 1280x720.")
@options.flag("--compare", help="Time the models interleaved and print the ratios.")
@options.engine
@options.measured_precision
@options.threads
@options.option(
    "--seconds",
    type=options.Number(least=0.0),
    default=5.0,
    help="Duration of the timed calls of each model, in seconds.",
)
@click.option("--layers/--no-layers", default=None, help="Print a row per layer; by default only for a single model.")
@options.as_json
def profile(
    models: tuple[str, ...],
    input: str | None,
    result: str | None,
    compare: bool,
    engine: str,
    precision: str,
    threads: int | None,
    seconds: float,
    layers: bool | None,
    as_json: bool,
) -> None:
    """Measure the cost of models.

    Parameters, multiply-adds, memory, latency, and the share of this machine's peak.
    """
    from rlfn.evaluation.profile import parse_size
    from rlfn.evaluation.profile import profile as measure
    from rlfn.evaluation.report import aligned

    if input and result:
        raise OptionError(f"Give either {setting('input')} or {setting('result')}, not both.")
    if compare and len(models) < 2:
        raise OptionError(f"{setting('compare')} needs at least two models.")
    size = parse_size(result or input or "256x256")
    with progress("Measuring", still=True) as show:
        show(0, None, listing(models))
        found = measure(
            models,
            size=size,
            of_output=result is not None,
            engine=engine,
            threads=threads,
            seconds=seconds,
            precision=precision,
        )
    if as_json:
        say_json({"profiles": [_data(row) for row in found]}, indent=2)
        return
    say(*aligned(_summary(found)))
    if len(found) > 1:
        for row in found[1:]:
            ratio = row.latency.median / found[0].latency.median
            say(f"{row.model} takes {ratio:.3f} times as long as {found[0].model}, both on {row.engine}")
    if layers or (layers is None and len(found) == 1):
        for row in found:
            if row.counts is not None:
                say("", *aligned(_layers(row)))


def _summary(found: list[Profile]) -> list[list[str]]:
    """Return a column for each model, a row for each number."""
    columns = [["", *(row.model for row in found)]]
    missing = "not counted (needs torch and a known network)"

    def add(name: str, values: list[str]) -> None:
        columns.append([name, *values])

    add("engine, precision, threads", [f"{row.engine}, {row.precision}, {row.threads}" for row in found])
    add("input", [f"{row.width}x{row.height}" for row in found])
    add("output", [f"{row.width * row.scale}x{row.height * row.scale}" for row in found])
    add("parameters", [f"{row.counts.parameters:,}" if row.counts else missing for row in found])
    add("multiply-adds", [f"{row.counts.multiply_adds / 1e9:.2f} G" if row.counts else missing for row in found])
    add("activations", [f"{row.counts.activations / 1e6:.2f} M" if row.counts else missing for row in found])
    add("convolutions", [str(len(row.counts.layers)) if row.counts else missing for row in found])
    add(
        "peak memory", ["not measured here" if row.memory is None else f"{row.memory / 2**20:.0f} MiB" for row in found]
    )
    add("first call", [f"{row.latency.first * 1e3:.1f} ms" for row in found])
    add("median", [f"{row.latency.median * 1e3:.1f} ms" for row in found])
    add(
        "quartiles",
        [f"{row.latency.quartile_1 * 1e3:.1f} to {row.latency.quartile_3 * 1e3:.1f} ms" for row in found],
    )
    add("timed calls", [str(row.latency.runs) for row in found])
    add("fp32 peak", [f"{row.peak / 1e9:.1f} GFLOP/s, measured" for row in found])
    add("share of the peak", [missing if row.share is None else f"{row.share:.0%}" for row in found])
    return columns


def _layers(row: Profile) -> list[list[str]]:
    assert row.counts is not None
    total = row.counts.multiply_adds
    cells = [["layer", "kernel", "output", "parameters", "multiply-adds", "share", "activations"]]
    for layer in row.counts.layers:
        outputs, inputs, height, width = layer.kernel
        cells.append(
            [
                layer.name,
                f"{height}x{width}, {inputs} to {outputs}",
                f"{layer.size[1]}x{layer.size[0]}",
                f"{layer.parameters:,}",
                f"{layer.multiply_adds / 1e6:.2f} M",
                f"{layer.multiply_adds / total:.1%}",
                f"{layer.activations / 1e6:.3f} M",
            ]
        )
    return cells


def _data(row: Profile) -> dict[str, Any]:
    from dataclasses import asdict

    counts = asdict(row.counts) if row.counts else None
    if counts is not None and row.counts is not None:
        counts |= {"multiply_adds": row.counts.multiply_adds, "activations": row.counts.activations}
    return {**vars(row), "counts": counts, "latency": vars(row.latency), "share": row.share}
