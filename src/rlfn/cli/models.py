"""Commands about models: ``rlfn models``, ``rlfn convert``, ``rlfn fuse``, ``rlfn export``, ``rlfn prune``."""

from __future__ import annotations

from pathlib import Path

import click

from rlfn.cli import options
from rlfn.cli.commands import argument, command
from rlfn.cli.messages import say, say_json
from rlfn.cli.progress import progress
from rlfn.cli.targets import check_target
from rlfn.errors import MissingExtraError, ModelError, OptionError, unknown
from rlfn.wording import listing, setting


@command("models", section="Use", examples=("rlfn models", "rlfn models --json"))
@options.as_json
def models(as_json: bool) -> None:
    """List the packaged models with their scores."""
    from rlfn.models import catalog

    rows = catalog.models().values()
    if as_json:
        facts = [
            {
                "name": model.name,
                "family": model.family,
                "variant": model.variant,
                "scale": model.scale,
                "parameters": model.parameters,
                "scores": model.scores,
                "precisions": list(model.precisions),
                "training": model.training,
                "chain": model.chain,
                "int8_chain": model.int8_chain,
                "licence": model.licence,
            }
            for model in rows
        ]
        say_json(facts, indent=2)
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
        precisions = ", ".join(model.precisions)
        table.add_row(model.name, f"x{model.scale}", f"{model.parameters:,}", *scores, precisions, model.licence)
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    console.print(table)
    console.print(
        "Scores: mean PSNR in dB / SSIM on Y over the pictures of a set, without a border as wide as the scale."
    )
    for model in rows:
        console.print(f"{model.name}: {model.training}.", highlight=False)


@command(
    "convert",
    section="Ship",
    examples=(
        "rlfn convert official.pth -o mine.safetensors",
        "rlfn convert mine.safetensors -o official.pth --overwrite",
    ),
)
@argument(
    "source", "Weights: .safetensors or .pth, from rlfn or the official code.", type=options.FILE, metavar="SOURCE"
)
@argument("target", "Same as --output.", type=options.FILE, required=False, metavar="[TARGET]")
@options.output("The file to write: .safetensors or .pth.")
@options.overwrite
def convert(source: Path, target: Path | None, output: Path | None, overwrite: bool) -> None:
    """Convert weights between safetensors and .pth, the official layout."""
    target = _only(target, output)
    check_target(target, overwrite, [source])
    from rlfn.inference.loading import checkpoint_of
    from rlfn.models.source import ModelSource

    checkpoint = checkpoint_of(ModelSource(str(source)))  # names the extra to install if torch is missing
    from rlfn.networks import save_checkpoint

    save_checkpoint(target, checkpoint.network, checkpoint.variant, checkpoint.scale, checkpoint.metadata)
    say(f"{target}: {checkpoint.variant.name} x{checkpoint.scale}")


@command("fuse", section="Ship", examples=("rlfn fuse runs/mine/model.safetensors -o mine.safetensors",))
@argument("source", "Weights of a training form: .safetensors or .pth.", type=options.FILE, metavar="SOURCE")
@options.output("The file to write: .safetensors or .pth.", required=True)
@options.overwrite
def fuse(source: Path, output: Path, overwrite: bool) -> None:
    """Fuse the branches of a training form into plain convolutions."""
    check_target(output, overwrite, [source])
    from rlfn.inference.loading import checkpoint_of
    from rlfn.models.source import ModelSource

    checkpoint = checkpoint_of(ModelSource(str(source)))
    from rlfn.models.variants import VARIANTS
    from rlfn.networks import save_checkpoint
    from rlfn.networks.fuse import fuse_checkpoint, has_branches

    if not has_branches(checkpoint.variant):
        forms = listing(row.name for row in VARIANTS.values() if has_branches(row))
        raise ModelError(
            f"{source} contains {checkpoint.variant.name}, which has no branches: there is nothing to fuse. "
            f"Training forms: {forms}."
        )
    fused = fuse_checkpoint(checkpoint)
    save_checkpoint(output, fused.network, fused.variant, fused.scale, fused.metadata)
    count = sum(parameter.numel() for parameter in fused.network.parameters())
    say(f"{output}: {fused.variant.name} x{fused.scale}, {count:,} parameters")


@command(
    "export",
    section="Ship",
    examples=(
        "rlfn export --list",
        "rlfn export rlfn-s-x4 --to onnx -o rlfn.onnx",
        "rlfn export mine.safetensors --to openvino --precision fp16 -o mine.xml",
        "rlfn export rlfn-xs-x2 --to tflite --shape 1x3x180x320 --image-io",
    ),
)
@argument(
    "model", "Packaged model, or a .safetensors or .pth file.", type=options.MODEL, required=False, metavar="[MODEL]"
)
@options.option("--to", type=options.EXPORT, default="onnx", help="The format; --list prints them all.")
@options.option(
    "--precision", type=options.EXPORT_PRECISION, default="fp32", help="Precision; --list prints those of each format."
)
@options.option(
    "--shape",
    type=click.STRING,
    metavar="Nx3xHxW",
    help="A fixed input, such as 1x3x180x320.",
    show_default="any size",
)
@options.flag("--image-io", help="Take and return 8-bit pictures (N, H, W, 3), with the rounding in the model.")
@options.option(
    "--calibration",
    type=options.FOLDER,
    help="For int8: a folder of low-resolution pictures.",
    show_default="packaged pictures",
)
@options.output("The file to write.", show_default="the model's name, in the current directory")
@options.overwrite
@options.flag("--list", "show_formats", help="List the formats and their precisions.")
def export(
    model: str | None,
    to: str,
    precision: str,
    shape: str | None,
    image_io: bool,
    calibration: Path | None,
    output: Path | None,
    overwrite: bool,
    show_formats: bool,
) -> None:
    """Export a network for another runtime.

    The exported model is compared with torch before the file is written.
    """
    from rlfn.inference.loading import checkpoint_of
    from rlfn.models.source import ModelSource

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
            say(f"{name:14}{' '.join(row.suffixes):24}{', '.join(row.precisions):20}{row.about}")
        return
    if model is None:
        raise OptionError("Name a model that 'rlfn models' lists, or a .safetensors or .pth file.")
    if to not in FORMATS:
        raise unknown("export format", to, FORMATS)
    row = FORMATS[to]
    source = ModelSource(model)
    target = output if output is not None else Path(f"{source.name}{row.suffixes[0]}")
    for file in row.files(target):
        check_target(file, overwrite, [model])
    request = ExportRequest(precision, parse_shape(shape) if shape is not None else None, image_io, calibration)
    checkpoint = checkpoint_of(source)
    check_request(checkpoint, to, target, request)
    with progress("Exporting", still=True) as show:
        show(0, None, to)
        report = write(checkpoint, to, target, request, seconds=1.0)
    names = ", ".join(str(file) for file in report.files)
    say(f"{names}: {checkpoint.variant.name} x{checkpoint.scale}, {to} {precision}, {report.size / 1e6:.2f} MB")
    agreement = report.agreement
    if agreement.worst == 0.0:
        say(f"equal to torch, on {agreement.on}")
    else:
        say(
            f"difference from torch: at most {agreement.worst:.2g} levels of 255, PSNR at least "
            f"{agreement.psnr:.1f} dB, on {agreement.on}"
        )
    if report.milliseconds is not None:
        own, reference = report.milliseconds
        height, width = report.timed_size
        say(f"{own:.1f} ms at {width}x{height}; onnxruntime in fp32, interleaved: {reference:.1f} ms")
    say(*report.notes)


@command(
    "prune",
    section="Ship",
    examples=("rlfn prune rlfn-s-x4 -o narrow.safetensors --channels 40", "rlfn prune mine.pth -o narrow.pth --mid 32"),
)
@argument("source", "Packaged model, or a .safetensors or .pth file of an RLFN.", type=options.MODEL, metavar="MODEL")
@argument("target", "Same as --output.", type=options.FILE, required=False, metavar="[TARGET]")
@options.output("The file to write: .safetensors or .pth.")
@options.option("--channels", type=options.WHOLE, help="Number of channels to keep between the blocks.")
@options.option("--mid", type=options.WHOLE, help="Number of channels to keep inside the blocks.")
@options.overwrite
def prune(
    source: str, target: Path | None, output: Path | None, channels: int | None, mid: int | None, overwrite: bool
) -> None:
    """Remove the channels of smallest norm from an RLFN.

    The result needs fine-tuning.
    """
    target = _only(target, output)
    check_target(target, overwrite, [source])
    from rlfn.inference.loading import checkpoint_of
    from rlfn.models.source import ModelSource

    checkpoint = checkpoint_of(ModelSource(source))
    from rlfn.models.variants import in_recipes
    from rlfn.networks import save_checkpoint
    from rlfn.networks.prune import prune as shrink

    pruned = shrink(checkpoint, channels=channels, mid=mid)
    save_checkpoint(target, pruned.network, pruned.variant, pruned.scale, pruned.metadata)
    before, after = (sum(p.numel() for p in each.network.parameters()) for each in (checkpoint, pruned))
    say(f"{target}: {pruned.variant.name} x{pruned.scale}, {before:,} -> {after:,} parameters")
    variant = in_recipes(pruned.variant)
    say(f"It needs fine-tuning: a recipe with variant = {variant} whose first stage has init = '{target}'.")


def _only(target: Path | None, output: Path | None) -> Path:
    """Return the file to write, given as an option or as the second argument."""
    named = [path for path in (target, output) if path is not None]
    if len(named) != 1:
        given = f"Two output files were given, {target} and {output}" if named else "No output file was given"
        raise OptionError(f"{given}. Name one with {setting('output')}.")
    return named[0]
