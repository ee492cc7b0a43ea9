"""Commands about models: ``rlfn models``, ``rlfn convert``, ``rlfn fuse``, ``rlfn export``, ``rlfn prune``."""

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
    app.command()(prune)


def models(as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False) -> None:
    """List the packaged models with their scores."""
    from rlfn.models import catalog

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
    from rlfn.inference.loading import checkpoint_of
    from rlfn.models.reference import Reference

    checkpoint = checkpoint_of(Reference(str(source)))  # says what to install where torch is missing
    from rlfn.networks import save_checkpoint

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
    from rlfn.inference.loading import checkpoint_of
    from rlfn.models.reference import Reference

    checkpoint = checkpoint_of(Reference(str(source)))
    from rlfn.models.variants import VARIANTS
    from rlfn.networks import save_checkpoint
    from rlfn.networks.fuse import fuse_checkpoint, has_branches

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
    model: Annotated[str | None, typer.Argument(help="Packaged model, or a .safetensors or .pth file.")] = None,
    to: Annotated[str, typer.Option("--to", help="The format; --list names them all.")] = "onnx",
    precision: Annotated[str, typer.Option("--precision", help="fp32, fp16 or int8, as far as the format has it.")] = (
        "fp32"
    ),
    shape: Annotated[
        str | None, typer.Option("--shape", help="A fixed input, such as 1x3x180x320. Default: any size.")
    ] = None,
    image_io: Annotated[
        bool, typer.Option("--image-io", help="8-bit pictures (N, H, W, 3) in and out, rounding inside.")
    ] = False,
    calibration: Annotated[
        Path | None, typer.Option(help="For int8: a folder of low-resolution pictures. Default: packaged ones.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write. Default: the model's name, here.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
    show_formats: Annotated[bool, typer.Option("--list", help="List the formats and their precisions.")] = False,
) -> None:
    """Write a network in the format of another runtime, compared there with torch before the file appears."""
    from rlfn.errors import MissingExtraError, OptionError, unknown, worded
    from rlfn.inference.loading import checkpoint_of
    from rlfn.models.reference import Reference

    try:
        from rlfn.export.formats import FORMATS, check_request
        from rlfn.export.formats import export as write
        from rlfn.export.request import ExportRequest, parse_shape
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError("Exporting", "torch") from None
    if show_formats:
        for name, row in FORMATS.items():
            typer.echo(f"{name:14}{' '.join(row.suffixes):24}{', '.join(row.precisions):20}{row.about}")
        return
    if model is None:
        raise OptionError("Name a model that 'rlfn models' lists, or a .safetensors or .pth file.")
    if to not in FORMATS:
        raise unknown("export format", to, FORMATS)
    row = FORMATS[to]
    source = Reference(model)
    target = output if output is not None else Path(f"{source.name}{row.suffixes[0]}")
    for file in row.files(target):
        _check_target(Path(model), file, overwrite)
    request = ExportRequest(precision, parse_shape(shape) if shape else None, image_io, calibration)
    checkpoint = checkpoint_of(source)
    check_request(checkpoint, to, target, request)
    report = write(checkpoint, to, target, request, seconds=1.0)
    names = ", ".join(str(file) for file in report.files)
    typer.echo(f"{names}: {checkpoint.variant.name} x{checkpoint.scale}, {to} {precision}, {report.size / 1e6:.2f} MB")
    agreement = report.agreement
    typer.echo(
        f"at most {agreement.worst:.2g} of 255 levels from torch, PSNR at least {agreement.psnr:.1f} dB, "
        f"on {agreement.on}"
    )
    if report.milliseconds is not None:
        own, reference = report.milliseconds
        height, width = report.timed_size
        typer.echo(f"{own:.1f} ms at {width}x{height}; onnxruntime in fp32, in turn: {reference:.1f} ms")
    for note in report.notes:
        typer.echo(worded(note, lambda name, value: f"--{name} {value or ''}".rstrip()))


def prune(
    source: Annotated[str, typer.Argument(help="Packaged model, or a .safetensors or .pth file of an RLFN.")],
    target: Annotated[Path, typer.Argument(help="The file to write: .safetensors or .pth.")],
    channels: Annotated[int | None, typer.Option(help="How many channels to keep between the blocks.")] = None,
    mid: Annotated[int | None, typer.Option(help="How many channels to keep inside the blocks.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Remove the channels of smallest norm from an RLFN; the result wants fine-tuning."""
    _check_target(Path(source), target, overwrite)
    from rlfn.inference.loading import checkpoint_of
    from rlfn.models.reference import Reference

    checkpoint = checkpoint_of(Reference(source))
    from rlfn.networks import save_checkpoint
    from rlfn.networks.prune import prune as shrink

    pruned = shrink(checkpoint, channels=channels, mid=mid)
    save_checkpoint(target, pruned.network, pruned.variant, pruned.scale, pruned.metadata)
    before, after = (sum(p.numel() for p in each.network.parameters()) for each in (checkpoint, pruned))
    typer.echo(f"{target}: {pruned.variant.name} x{pruned.scale}, {before:,} -> {after:,} parameters")
    typer.echo(f"It needs fine-tuning: a recipe whose first stage has init = '{target}'.")


def _check_target(source: Path, target: Path, overwrite: bool) -> None:
    """Refuse to replace a file unasked, or the source at all."""
    from rlfn.errors import OutputError

    if target.exists() and source.exists() and target.samefile(source):
        raise OutputError(f"{target} is the input itself. Inputs are never overwritten: choose another name.")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists. Replace it with --overwrite, or choose another name.")
