"""``rlfn doctor``: installed versions, engines and their speed."""

from __future__ import annotations

import os
import platform
import time

import click

from rlfn.cli import options
from rlfn.cli.commands import command
from rlfn.cli.messages import explain, say, warn
from rlfn.cli.progress import progress
from rlfn.errors import MissingExtraError, ModelError, OptionError, RlfnError
from rlfn.wording import listing, setting

_PACKAGES = ("numpy", "pyvips", "pillow", "pillow-heif", "safetensors")
_SECONDS = 10.0
_SIDE = 128
_SIZES = ((128, 128), (320, 180), (640, 360))
_SECONDS_EACH = 2.0
_LEAST_RUNS = 3


@command("doctor", section="Use", examples=("rlfn doctor", "rlfn doctor --quick", "rlfn doctor --speed"))
@options.flag("--quick", help="Skip the speed test.")
@options.flag("--speed", help="Time the engines at several picture sizes, and recommend one.")
def doctor(quick: bool, speed: bool) -> None:
    """Print versions, engines and cores, and time the engines.

    The timing takes ten seconds; with --speed a minute or two, longer on a busy machine.
    """
    if quick and speed:
        raise OptionError(f"Give either {setting('quick')} or {setting('speed')}, not both.")
    import pyvips

    import rlfn
    from rlfn.inference.hardware import available_memory, default_threads
    from rlfn.models import catalog

    say(f"rlfn {rlfn.__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    say(f"cores: {default_threads()} of {os.cpu_count()}, free memory: {available_memory() / 2**30:.1f} GiB")
    say(f"libvips {pyvips.version(0)}.{pyvips.version(1)}.{pyvips.version(2)}")
    say(*(f"{name} {_version(name)}" for name in _PACKAGES))
    _formats()
    default = next(iter(catalog.models()))
    _engines(default)
    _gpus()
    say(f"models: {listing(catalog.models())}")
    damaged = _check_files()
    if speed:
        _compare(default)
    elif not quick:
        _speed(default)
    if damaged:
        raise click.exceptions.Exit(1)


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "is not installed"


def _formats() -> None:
    """Print the picture formats that can be read and written here, and what the others need."""
    from rlfn.images.formats import FORMATS

    here = [row for row in FORMATS.values() if row.installed]
    read, written = listing(row.name for row in here), listing(row.name for row in here if row.writable)
    say(f"formats: read {read}; written {written}")
    for extra in dict.fromkeys(row.extra for row in FORMATS.values() if not row.installed):
        names = listing(row.name for row in FORMATS.values() if row.extra == extra)
        say(f"  {names}: not installed. pip install 'rlfn[{extra}]'")


def _installed() -> list[str]:
    from importlib.util import find_spec

    from rlfn.inference.engines import ENGINES

    return [name for name, row in ENGINES.items() if find_spec(row.module) is not None]


def _engines(model: str) -> None:
    """Print the engines with their precisions on this processor, and the one that 'auto' chooses."""
    from rlfn.inference.engines import ENGINES, choose_engine, choose_precision
    from rlfn.models.source import ModelSource

    say("engines:")
    installed = _installed()
    for name, row in ENGINES.items():
        if name in installed:
            say(f"  {name} {_version(row.module)}: {listing(row.precisions())}")
        else:
            say(f"  {name} is not installed: {row.install}")
    chosen = choose_engine(ModelSource(model))
    say(f"  auto, for {model}: {chosen} in {choose_precision(chosen, ModelSource(model))}")


def _gpus() -> None:
    """Print the Vulkan devices, and the one that 'gpu' means or why there is none."""
    from rlfn.inference.devices import GPU
    from rlfn.inference.vulkan.gpus import NoGpuError, find_gpus, pick_gpu

    say("GPUs:")
    try:
        found = find_gpus()
        for gpu in found:
            say(f"  {GPU}:{gpu.number} {gpu.name}: {gpu.kind}, {gpu.free_memory() / 2**30:.1f} GiB free")
        say(f"  {GPU}: {pick_gpu(GPU, found).name}")
    except (NoGpuError, MissingExtraError) as error:
        say(f"  {GPU}: {explain(error)}")


def _check_files() -> bool:
    """Check the hash of every packaged file; print the errors."""
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


def _speed(model: str) -> None:
    """Time the installed engines one after another on one tile, for ten seconds in total."""
    import numpy as np

    from rlfn.inference.upscaler import Upscaler

    image = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)
    engines = _installed()
    say(f"speed of {model} on {_SIDE}x{_SIDE} px, each engine separately:")
    lines = []
    with progress("Timing", still=True) as show:
        for number, engine in enumerate(engines):
            show(number, len(engines), engine)
            try:
                upscaler = Upscaler(model, engine=engine)
                upscaler(image)
            except RlfnError as error:
                lines.append(f"  {engine}: {explain(error)}")
                continue
            times: list[float] = []
            until = time.perf_counter() + _SECONDS / len(engines)
            while time.perf_counter() < until or not times:
                began = time.perf_counter()
                upscaler(image)
                times.append(time.perf_counter() - began)
            rate = _SIDE * _SIDE / sorted(times)[len(times) // 2] / 1e6
            how = f"{upscaler.precision}, median of {len(times)} runs"
            lines.append(f"  {engine}: {rate:.3f} million input pixels/s ({how})")
    say(*lines)


def _compare(name: str) -> None:
    """Time the installed engines interleaved at several sizes; print the fastest, and the one that 'auto' chooses."""
    from functools import partial

    import numpy as np

    from rlfn.evaluation.profile import time_in_turn
    from rlfn.inference.engines import ENGINES, choose_engine
    from rlfn.inference.upscaler import Upscaler
    from rlfn.models.source import ModelSource

    model, upscalers = ModelSource(name), {}
    for engine in _installed():
        try:
            if ENGINES[engine].takes(model):
                upscalers[engine] = Upscaler(name, engine=engine)
        except RlfnError as error:
            say(f"  {engine}: {explain(error)}")
    lines = [f"seconds per picture with {name}, medians:"]
    with progress("Timing") as show:
        for number, (width, height) in enumerate(_SIZES):
            show(number, len(_SIZES), f"{width}x{height}")
            image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
            runners = [partial(upscaler, image) for upscaler in upscalers.values()]
            found = time_in_turn(runners, _SECONDS_EACH, warm_up=0, least=_LEAST_RUNS)
            times = {engine: latency.median for engine, latency in zip(upscalers, found, strict=True)}
            lines.append(f"  {width}x{height}: {listing(f'{engine} {time:.3f}' for engine, time in times.items())}")
            lines.append(f"    {_advice(times, choose_engine(model, width * height))}")
    say(*lines)


def _advice(times: dict[str, float], taken: str) -> str:
    best = min(times, key=lambda engine: times[engine])
    if best == taken or taken not in times:
        return f"'auto' chooses {taken}"
    return f"'auto' chooses {taken}; --engine {best} is {times[taken] / times[best]:.2f} times as fast"
