"""The cost of a model on this machine: counts, latency, memory, and the fraction of the machine's peak.

Known faults of published profiles are avoided: the first call is reported separately from the warm ones, latency is
given as the median and quartiles, memory is that of a new process, multiply-adds are counted for every convolution that
runs, and models to be compared are timed alternately in one run, so that load on the machine affects them equally.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rlfn.errors import OptionError, RlfnError
from rlfn.wording import setting

if TYPE_CHECKING:
    from rlfn.inference.engines import Engine
    from rlfn.models.source import ModelSource
    from rlfn.networks.counting import Counts

WARM_UP = 2
"""Number of warm-up calls after the first that are not timed."""

LEAST_RUNS = 10
"""Minimum number of timed calls of each model."""

_PEAK_CODE = """
import time, numpy
a, b = (numpy.random.default_rng(0).random((1536, 1536), numpy.float32) for _ in range(2))
best = 1e9
end = time.perf_counter() + 0.5
a @ b
while time.perf_counter() < end:
    start = time.perf_counter()
    a @ b
    best = min(best, time.perf_counter() - start)
print(2 * 1536**3 / best)
"""


@dataclass(frozen=True)
class Latency:
    """Seconds per call: the first one, and the quartiles of ``runs`` calls after the warm-up."""

    first: float
    quartile_1: float
    median: float
    quartile_3: float
    runs: int


@dataclass(frozen=True)
class Profile:
    """One model's costs for one LR picture of ``width`` x ``height`` px.

    Attributes:
        counts: parameters, multiply-adds and activations; None without torch or for a network outside the table.
        memory: peak memory in bytes of inference above the loaded model; None if it cannot be measured.
        peak: floating-point operations per second of a matrix product on this machine with the same threads.
    """

    model: str
    engine: str
    threads: int
    scale: int
    height: int
    width: int
    counts: Counts | None
    latency: Latency
    memory: int | None
    peak: float
    precision: str = "fp32"

    @property
    def share(self) -> float | None:
        """The fraction of the machine's fp32 peak that the multiply-adds reach; above 1 is possible with Winograd."""
        return None if self.counts is None else 2 * self.counts.multiply_adds / self.latency.median / self.peak


def parse_size(text: str) -> tuple[int, int]:
    """Read ``WIDTHxHEIGHT`` and return (height, width).

    Raises:
        OptionError: the text is not two whole numbers of at least 1.

    >>> parse_size("1280x720")
    (720, 1280)
    """
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise OptionError(f"'{text}' is not a size. Write WIDTHxHEIGHT in px, such as 256x256.") from None
    if min(width, height) < 1:
        raise OptionError(f"The size {text} is empty. Both sides must be at least 1.")
    return height, width


def profile(
    models: Sequence[str],
    *,
    size: tuple[int, int] = (256, 256),
    of_output: bool = False,
    engine: str = "auto",
    threads: int | None = None,
    seconds: float = 5.0,
    precision: str = "fp32",
) -> list[Profile]:
    """Measure models on whole pictures, the network alone: float input, no decoding, no rounding.

    All models run on the same engine, since differences between engines are not properties of a model.

    Args:
        models: packaged names or files.
        size: (height, width) of the LR picture, or with ``of_output`` of the result, rounded down to whole LR px.
        of_output: ``size`` is that of the result, so that models of different scales produce the same size.
        engine: a name or ``"auto"``, see :func:`common_engine`.
        threads: CPU threads; None for all.
        seconds: time to spend on the timed calls of each model, more if :data:`LEAST_RUNS` calls take longer.
        precision: see :class:`rlfn.inference.upscaler.Upscaler`.

    Raises:
        OptionError, ModelError, MissingExtraError: a model cannot be loaded, or the picture is too small for it.
    """
    from rlfn.evaluation.candidates import distinct_names
    from rlfn.inference.engines import AUTO, load_engine
    from rlfn.inference.hardware import default_threads
    from rlfn.models.source import ModelSource

    used = threads or default_threads()
    sources = [ModelSource(model) for model in models]
    name = common_engine(sources, precision) if engine == AUTO else engine
    engines = [load_engine(name, source, threads, precision) for source in sources]
    sizes = [_lr_size(loaded, size, of_output) for loaded in engines]
    peak = machine_peak(used)
    latencies = time_in_turn([runner(loaded, *at) for loaded, at in zip(engines, sizes, strict=True)], seconds)
    peak = max(peak, machine_peak(used))  # before and after, since other processes may use the machine
    names = distinct_names(models, [source.name for source in sources])
    return [
        Profile(
            model=title,
            engine=loaded.name,
            threads=used,
            scale=loaded.traits.scale,
            height=height,
            width=width,
            counts=count_costs(source, loaded, height, width),
            latency=latency,
            memory=peak_memory(model, loaded.name, threads, height, width, loaded.precision),
            peak=peak,
            precision=loaded.precision,
        )
        for model, title, source, loaded, (height, width), latency in zip(
            models, names, sources, engines, sizes, latencies, strict=True
        )
    ]


def common_engine(models: Sequence[ModelSource], precision: str = "fp32") -> str:
    """Return the engine that ``"auto"`` means when several models are compared.

    It is the one that all of them would use, otherwise the first that can run them all, for which weights are exported.

    Args:
        models: the models to compare, at least one.
        precision: a precision that the engine must support here, or ``"auto"``.
    """
    from rlfn.inference import engines

    chosen = {engines.choose_engine(model, precision=precision) for model in models}
    if len(chosen) == 1:
        return chosen.pop()
    return engines.shared_engine(models, precision=precision)


def runner(engine: Engine, height: int, width: int) -> Callable[[], object]:
    """Return a function that runs ``engine`` once on a whole random picture."""
    from rlfn.models.grid import axis_grid

    lr = np.random.default_rng(0).uniform(0.0, 255.0, (1, 3, height, width)).astype(np.float32)
    grid = (axis_grid(0, height, height), axis_grid(0, width, width)) if engine.takes_grid else None
    return lambda: engine(lr, grid)


def time_in_turn(
    runners: Sequence[Callable[[], object]],
    seconds: float = 5.0,
    *,
    warm_up: int | None = None,
    least: int | None = None,
) -> list[Latency]:
    """Time callables alternately, one call of each per round, for ``seconds`` and ``least`` calls each.

    Args:
        runners: what is timed.
        seconds: time to spend on the timed calls of each.
        warm_up: calls after the first that are not timed; None for :data:`WARM_UP`.
        least: timed calls of each, at least; None for :data:`LEAST_RUNS`.
    """
    first = [_timed(run) for run in runners]
    for _ in range(WARM_UP if warm_up is None else warm_up):
        for run in runners:
            run()
    times: list[list[float]] = [[] for _ in runners]
    least = LEAST_RUNS if least is None else least
    end = time.perf_counter() + seconds * len(runners)
    while len(times[0]) < least or time.perf_counter() < end:
        for run, row in zip(runners, times, strict=True):
            row.append(_timed(run))
    return [_latency(start, row) for start, row in zip(first, times, strict=True)]


def _latency(first: float, times: list[float]) -> Latency:
    low, middle, high = (float(value) for value in np.percentile(times, (25, 50, 75)))
    return Latency(first, low, middle, high, len(times))


def machine_peak(threads: int) -> float:
    """Return the fp32 operations per second of the best of many matrix products, in a new process on ``threads``."""
    limits = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return float(_fresh(["-c", _PEAK_CODE], limits))


def peak_memory(
    model: str, engine: str, threads: int | None, height: int, width: int, precision: str = "fp32"
) -> int | None:
    """Return the peak memory in bytes of inference above the loaded model, in a new process.

    The process loads the model, reads its memory, runs twice, and reads its peak. None if the system does not provide
    them (Windows).
    """
    text = json.dumps([model, engine, threads, height, width, precision])
    found = json.loads(_fresh(["-m", "rlfn.evaluation.memory", text], {}).splitlines()[-1])
    return None if found is None else int(found)


def count_costs(source: ModelSource, engine: Engine, height: int, width: int) -> Counts | None:
    """Count a network's costs from its weights, or for an ONNX file from the variant in its metadata."""
    from rlfn.models.variants import VARIANTS

    try:
        from rlfn.inference.loading import checkpoint_of
        from rlfn.networks import build
        from rlfn.networks.counting import count
    except ImportError:
        return None
    if engine.traits.variant in VARIANTS:
        return count(build(VARIANTS[engine.traits.variant], engine.traits.scale), height, width)
    try:
        return count(checkpoint_of(source).network, height, width)
    except OptionError:  # an ONNX file with sizes outside the table
        return None


def _lr_size(engine: Engine, size: tuple[int, int], of_output: bool) -> tuple[int, int]:
    traits = engine.traits
    height, width = (side // traits.scale for side in size) if of_output else size
    if min(height, width) < traits.min_side:
        raise OptionError(
            f"{traits.variant} cannot be profiled on {width}x{height} px: it needs {traits.min_side} px a side. "
            f"Choose a larger {setting('input')} or {setting('result')}."
        )
    return height, width


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _fresh(arguments: list[str], environment: dict[str, str]) -> str:
    """Run this Python with ``arguments`` in a new process and return its output."""
    done = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RlfnError(f"A measurement in a new process failed: {last}. Run the model with 'rlfn eval' to see why.")
    return done.stdout
