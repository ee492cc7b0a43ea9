"""The command that measures cost: ``rlfn profile``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rlfn.evaluation.profile import Profile


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command("profile")(profile)


def profile(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Packaged models or files.")],
    size: Annotated[
        str | None, typer.Option("--input", help="The LR picture: WIDTHxHEIGHT; 256x256 by default.")
    ] = None,
    output: Annotated[str | None, typer.Option(help="Instead: the size of the result, such as 1280x720.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Time the models in turn and print the ratios.")] = False,
    engine: Annotated[str, typer.Option(help="auto, or one that 'rlfn doctor' lists.")] = "auto",
    precision: Annotated[str, typer.Option(help="How to compute: auto, fp32, bf16 or int8.")] = "fp32",
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores by default.")] = None,
    seconds: Annotated[float, typer.Option(help="Time to spend on the timed calls of each model.")] = 5.0,
    layers: Annotated[bool | None, typer.Option(help="Print a row for each layer; as a rule for one model.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure what models cost: counts, memory, latency, the share of this machine's peak."""
    import json

    from rlfn.errors import OptionError
    from rlfn.evaluation.profile import parse_size
    from rlfn.evaluation.profile import profile as measure
    from rlfn.evaluation.report import aligned

    if size and output:
        raise OptionError("Give either --input or --output, not both.")
    if compare and len(models) < 2:
        raise OptionError("--compare needs two models or more.")
    found = measure(
        models,
        size=parse_size(output or size or "256x256"),
        of_output=output is not None,
        engine=engine,
        threads=threads,
        seconds=seconds,
        precision=precision,
    )
    if as_json:
        typer.echo(json.dumps({"profiles": [_data(row) for row in found]}, indent=2))
        return
    typer.echo("\n".join(aligned(_summary(found))))
    if len(found) > 1:
        for row in found[1:]:
            ratio = row.latency.median / found[0].latency.median
            typer.echo(f"{row.model} takes {ratio:.3f} times as long as {found[0].model}, both on {row.engine}")
    if layers or (layers is None and len(found) == 1):
        for row in found:
            if row.counts is not None:
                typer.echo("\n".join(["", *aligned(_layers(row))]))


def _summary(found: list[Profile]) -> list[list[str]]:
    """Return a column for each model, a row for each number."""
    columns = [["", *(row.model for row in found)]]
    missing = "not counted: needs torch and a known network"

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
    add("share of it", [missing if row.share is None else f"{row.share:.0%}" for row in found])
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
