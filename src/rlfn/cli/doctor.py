"""``rlfn doctor``: what is installed here, and how fast it is."""

from __future__ import annotations

import os
import platform
import time

import click

from rlfn.cli import options
from rlfn.cli.commands import command
from rlfn.cli.messages import explain, say, warn
from rlfn.cli.progress import progress
from rlfn.errors import listing

_PACKAGES = ("numpy", "pyvips", "onnxruntime", "openvino", "torch", "pillow-heif", "safetensors")
_SECONDS = 10.0
_SIDE = 128


@command("doctor", section="Use", examples=("rlfn doctor", "rlfn doctor --quick"))
@options.flag("--quick", help="Leave out the speed test.")
def doctor(quick: bool) -> None:
    """Print versions, engines and cores, and time the engines.

    The timing takes ten seconds.
    """
    from importlib import metadata

    import pyvips

    import rlfn
    from rlfn.images.formats import FORMATS, WRITABLE
    from rlfn.inference.engines import choose_engine
    from rlfn.inference.processor import available_memory, default_threads
    from rlfn.models import catalog
    from rlfn.models.reference import Reference

    say(f"rlfn {rlfn.__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    say(f"cores: {default_threads()} of {os.cpu_count()}, free memory: {available_memory() / 2**30:.1f} GiB")
    for name in _PACKAGES:
        try:
            say(f"  {name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            say(f"  {name}: not installed")
    say(f"formats: read {listing(FORMATS)}; written {listing(WRITABLE)}")
    say(f"  libvips {pyvips.version(0)}.{pyvips.version(1)}.{pyvips.version(2)}")
    damaged = _check_files()
    default = next(iter(catalog.models()))
    say(f"models: {', '.join(catalog.models())}; engine for them: {choose_engine(Reference(default))}")
    if not quick:
        _speed(default)
    if damaged:
        raise click.exceptions.Exit(1)


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
                warn(explain(error))
    return damaged


def _speed(name: str) -> None:
    """Run every installed engine in turn on one tile for ten seconds in all."""
    from importlib.util import find_spec

    import numpy as np

    from rlfn.inference.engines import ENGINES
    from rlfn.inference.upscaler import Upscaler

    image = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)
    engines = [engine for engine, row in ENGINES.items() if find_spec(row.module) is not None]
    say(f"speed of {name} on {_SIDE}x{_SIDE} px:")
    rates = []
    with progress("Timing") as show:
        for number, engine in enumerate(engines):
            show(number, len(engines), engine)
            upscaler = Upscaler(name, engine)
            upscaler(image)
            times: list[float] = []
            until = time.perf_counter() + _SECONDS / len(engines)
            while time.perf_counter() < until or not times:
                began = time.perf_counter()
                upscaler(image)
                times.append(time.perf_counter() - began)
            rates.append((engine, _SIDE * _SIDE / sorted(times)[len(times) // 2] / 1e6, len(times)))
    for engine, rate, runs in rates:
        say(f"  {engine}: {rate:.3f} million input pixels/s (median of {runs} runs)")
