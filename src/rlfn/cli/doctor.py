"""``rlfn doctor``: what is installed here, and how fast it is."""

from __future__ import annotations

import os
import platform
import time
from typing import Annotated

import typer

_PACKAGES = ("numpy", "pyvips", "onnxruntime", "openvino", "torch", "pillow-heif", "safetensors")
_SECONDS = 10.0
_SIDE = 128


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(doctor)


def doctor(quick: Annotated[bool, typer.Option("--quick", help="Leave out the speed test.")] = False) -> None:
    """Print versions, engines and cores, and test the speed for ten seconds."""
    from importlib import metadata

    import pyvips

    import rlfn
    from rlfn.inference.engines import choose_engine
    from rlfn.inference.processor import available_memory, default_threads
    from rlfn.models import catalog
    from rlfn.models.reference import Reference

    typer.echo(f"rlfn {rlfn.__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    typer.echo(f"cores: {default_threads()} of {os.cpu_count()}, free memory: {available_memory() / 2**30:.1f} GiB")
    for name in _PACKAGES:
        try:
            typer.echo(f"  {name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            typer.echo(f"  {name}: not installed")
    typer.echo(f"  libvips {pyvips.version(0)}.{pyvips.version(1)}.{pyvips.version(2)}")
    damaged = _check_files()
    default = next(iter(catalog.models()))
    typer.echo(f"models: {', '.join(catalog.models())}; engine for them: {choose_engine(Reference(default))}")
    if not quick:
        _speed(default)
    if damaged:
        raise typer.Exit(1)


def _check_files() -> bool:
    """Check every packaged file's hash; print what is wrong."""
    from rlfn.errors import ModelError
    from rlfn.models import catalog

    damaged = False
    for model in catalog.models().values():
        for file in model.files:
            try:
                file.read()
            except ModelError as error:
                damaged = True
                typer.echo(str(error), err=True)
    return damaged


def _speed(name: str) -> None:
    """Run every installed engine in turn on one tile for ten seconds in all."""
    from importlib.util import find_spec

    import numpy as np

    from rlfn.inference.engines import ENGINES
    from rlfn.inference.upscaler import Upscaler

    image = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)
    upscalers = {}
    for engine, row in ENGINES.items():
        if find_spec(row.module) is not None:
            upscalers[engine] = Upscaler(name, engine)
            upscalers[engine](image)
    typer.echo(f"speed of {name} on {_SIDE}x{_SIDE} px:")
    for engine, upscaler in upscalers.items():
        times = []
        until = time.perf_counter() + _SECONDS / len(upscalers)
        while time.perf_counter() < until:
            began = time.perf_counter()
            upscaler(image)
            times.append(time.perf_counter() - began)
        median = sorted(times)[len(times) // 2]
        rate = _SIDE * _SIDE / median / 1e6
        typer.echo(f"  {engine}: {rate:.3f} million input pixels/s (median of {len(times)} runs)")
