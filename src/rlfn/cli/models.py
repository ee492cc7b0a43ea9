"""Commands about models: ``rlfn convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(convert)


def convert(
    source: Annotated[Path, typer.Argument(help="Weights: .safetensors or .pth, ours or the official ones.")],
    target: Annotated[Path, typer.Argument(help="The file to write: .safetensors or .pth.")],
) -> None:
    """Copy weights between safetensors and the official .pth layout."""
    from rlfn.networks import load_checkpoint, save_checkpoint

    checkpoint = load_checkpoint(source)
    save_checkpoint(target, checkpoint.network, checkpoint.variant, checkpoint.scale, checkpoint.metadata)
    typer.echo(f"{target}: {checkpoint.variant.name} x{checkpoint.scale}")
