"""Commands about models: ``rlfn models``, ``rlfn convert``, ``rlfn fuse``, ``rlfn export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(models)
    app.command()(convert)
    app.command()(fuse)
    app.command()(export)


def models(as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False) -> None:
    """List the packaged models with their scores."""
    from rlfn import catalog

    rows = catalog.models().values()
    if as_json:
        import json

        facts = [
            {
                "name": model.name,
                "variant": model.variant,
                "scale": model.scale,
                "parameters": model.parameters,
                "scores": model.scores,
                "precisions": sorted({file.precision for file in model.files}),
                "training": model.training,
                "licence": model.licence,
            }
            for model in rows
        ]
        typer.echo(json.dumps(facts, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    sets = list(dict.fromkeys(name for model in rows for name in model.scores))
    table = Table("model", "scale", "parameters", *sets, "precisions", "licence", title="Packaged models")
    for model in rows:
        scores = [
            f"{model.scores[name]['psnr']:.2f} / {model.scores[name]['ssim']:.4f}" if name in model.scores else ""
            for name in sets
        ]
        precisions = ", ".join(sorted({file.precision for file in model.files}))
        table.add_row(model.name, f"x{model.scale}", f"{model.parameters:,}", *scores, precisions, model.licence)
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    console.print(table)
    console.print("Scores: PSNR in dB / SSIM on Y, borders of the scale cropped, means over the pictures of a set.")
    for model in rows:
        console.print(f"{model.name}: {model.training}.", highlight=False)


def convert(
    source: Annotated[Path, typer.Argument(help="Weights: .safetensors or .pth, ours or the official ones.")],
    target: Annotated[Path, typer.Argument(help="The file to write: .safetensors or .pth.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Copy weights between safetensors and the official .pth layout."""
    _check_target(source, target, overwrite)
    from rlfn.inference.source import Source
    from rlfn.networks import save_checkpoint

    checkpoint = Source(str(source)).checkpoint()
    save_checkpoint(target, checkpoint.network, checkpoint.variant, checkpoint.scale, checkpoint.metadata)
    typer.echo(f"{target}: {checkpoint.variant.name} x{checkpoint.scale}")


def fuse(
    source: Annotated[Path, typer.Argument(help="A network's training form: .safetensors or .pth.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write: .safetensors or .pth.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Fold the branches of a network's training form into plain convolutions."""
    _check_target(source, output, overwrite)
    from rlfn.errors import ModelError, listing
    from rlfn.inference.source import Source

    checkpoint = Source(str(source)).checkpoint()
    from rlfn.networks import save_checkpoint
    from rlfn.networks.fuse import fuse_checkpoint, has_branches
    from rlfn.variants import VARIANTS

    if not has_branches(checkpoint.variant):
        forms = listing(row.name for row in VARIANTS.values() if has_branches(row))
        raise ModelError(
            f"{source} holds {checkpoint.variant.name}, which has no branches: there is nothing to fuse. "
            f"Training forms: {forms}."
        )
    fused = fuse_checkpoint(checkpoint)
    save_checkpoint(output, fused.network, fused.variant, fused.scale, fused.metadata)
    count = sum(parameter.numel() for parameter in fused.network.parameters())
    typer.echo(f"{output}: {fused.variant.name} x{fused.scale}, {count:,} parameters")


def export(
    model: Annotated[str, typer.Argument(help="Packaged model, or a .safetensors or .pth file.")],
    to: Annotated[str, typer.Option("--to", help="The format: onnx.")] = "onnx",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write. Default: MODEL.onnx here.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Write a network in the format of another runtime, checked against torch first."""
    from rlfn.errors import unknown
    from rlfn.inference.source import Source

    suffixes = {"onnx": ".onnx"}
    if to not in suffixes:
        raise unknown("export format", to, suffixes)
    source = Source(model)
    target = output if output is not None else Path(f"{source.name}{suffixes[to]}")
    _check_target(Path(model), target, overwrite)
    checkpoint = source.checkpoint()
    from rlfn.export.onnx import export_onnx

    worst = export_onnx(checkpoint, target)
    typer.echo(f"{target}: {checkpoint.variant.name} x{checkpoint.scale}, at most {worst:.2g} of 255 levels from torch")


def _check_target(source: Path, target: Path, overwrite: bool) -> None:
    """Refuse to replace a file unasked, or the source at all."""
    from rlfn.errors import OutputError

    if target.exists() and source.exists() and target.samefile(source):
        raise OutputError(f"{target} is the input itself. Inputs are never overwritten: choose another name.")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists. Replace it with --overwrite, or choose another name.")
