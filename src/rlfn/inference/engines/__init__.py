"""The engines that run a network, by table. Each takes and returns float32 images in [0, 255].

An engine is a callable ``engine(lr, grid=None) -> sr`` from (N, 3, H, W) to (N, 3, sH, sW), with ``traits``, a
``name`` and a ``precision``. ``grid`` says where a tile lies in its image; an engine whose ``takes_grid`` is false is
never given one. A new engine is one file here and one row in :data:`ENGINES`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from rlfn.errors import MissingExtraError, ModelError, OptionError, unknown
from rlfn.inference.blockwise.nets import INSTALL_NCNN
from rlfn.inference.engine_order import order
from rlfn.inference.engines.base import CPU, Array, Engine, GpuEngine, WholeEngine
from rlfn.inference.engines.ncnn import NcnnEngine, is_packaged_rlfn
from rlfn.inference.engines.onnxruntime import OnnxRuntimeEngine
from rlfn.inference.engines.openvino import OpenVinoEngine
from rlfn.inference.engines.torch import TorchEngine
from rlfn.inference.engines.vulkan import VulkanEngine
from rlfn.inference.hardware import BF16_FEATURES, INT8_FEATURES, fast_bf16, features
from rlfn.inference.loading import checkpoint_of, graph_of
from rlfn.inference.vulkan.gpus import Gpu
from rlfn.models.catalog import PRECISIONS
from rlfn.models.source import ModelSource
from rlfn.numeric import is_whole
from rlfn.wording import listing, setting

__all__ = [
    "AUTO",
    "CPU",
    "ENGINES",
    "Array",
    "Engine",
    "EngineRow",
    "GpuEngine",
    "WholeEngine",
    "check_engine",
    "check_threads",
    "choose_engine",
    "choose_precision",
    "load_engine",
]

AUTO = "auto"
"""The name that leaves an engine or a precision to be chosen."""

MAX_THREADS = 1024
"""Largest number of threads; more are taken for a typing error, since engines would start them all."""

MOST_LOSS = 0.03
"""Largest loss in dB, the mean over Set5, Set14 and B100, of a precision that 'auto' takes."""


@dataclass(frozen=True)
class EngineRow:
    """One engine.

    Attributes:
        load: makes it from what a user calls a model, a number of threads (None for all cores) and a precision.
        module: the package that it needs.
        install: the command that installs it.
        precisions: those in which it can compute on this processor.
        native: those of them that this processor computes faster than fp32.
        takes: whether it runs a model; 'auto' leaves it alone where it does not.
        gpu: makes it on a GPU; None for an engine that is not told where to compute.
    """

    load: Callable[[ModelSource, int | None, str], Engine]
    module: str
    install: str
    precisions: Callable[[], tuple[str, ...]]
    native: Callable[[], tuple[str, ...]]
    takes: Callable[[ModelSource], bool] = lambda model: True
    gpu: Callable[[ModelSource, int | None, Gpu], Engine] | None = None


def _is_x86() -> bool:
    return platform.machine().lower() in {"x86_64", "amd64", "i686"}


def _has_bf16() -> bool:
    return bool(features() & BF16_FEATURES)


def _fast_bf16() -> tuple[str, ...]:
    return ("bf16",) if fast_bf16(features()) else ()


def _fast_int8() -> tuple[str, ...]:
    return ("int8",) if features() & INT8_FEATURES else ()


ENGINES: dict[str, EngineRow] = {
    "openvino": EngineRow(
        lambda model, threads, precision: OpenVinoEngine(graph_of(model, precision), threads, precision),
        "openvino",
        "pip install 'rlfn[openvino]'",
        lambda: ("fp32", "bf16", "int8") if _has_bf16() else ("fp32", "int8"),
        lambda: (*_fast_int8(), *_fast_bf16()),
    ),
    "onnxruntime": EngineRow(
        lambda model, threads, precision: OnnxRuntimeEngine(graph_of(model, precision), threads, precision),
        "onnxruntime",
        "pip install onnxruntime",
        lambda: ("fp32", "int8"),
        _fast_int8,
    ),
    "ncnn": EngineRow(NcnnEngine, "ncnn", INSTALL_NCNN, lambda: ("fp32",), lambda: (), is_packaged_rlfn, VulkanEngine),
    "torch": EngineRow(
        lambda model, threads, precision: TorchEngine(checkpoint_of(model), threads, precision),
        "torch",
        "pip install 'rlfn[torch]'",
        lambda: ("fp32", "bf16"),
        _fast_bf16,
        lambda model: model.packaged is not None or not model.has_graph,
    ),
}
"""Every engine by name; :mod:`rlfn.inference.engine_order` says which one 'auto' takes."""


def load_engine(name: str, model: ModelSource, threads: int | None = None, precision: str = "fp32") -> Engine:
    """Load ``model`` into the engine called ``name``.

    Args:
        name: ``"auto"`` (see :func:`choose_engine`) or a row of :data:`ENGINES`.
        model: what a user calls a model.
        threads: CPU threads; None for all cores.
        precision: how to compute: ``"auto"`` (see :func:`choose_precision`), or one that the engine has here.

    Raises:
        OptionError: there is no such engine or precision, or ``threads`` is not allowed.
        MissingExtraError: the engine is not installed.
        ModelError: the model cannot be loaded.
    """
    if name == AUTO:
        name = choose_engine(model, precision=precision)
    check_engine(name, threads, precision)
    if precision == AUTO:
        precision = choose_precision(name, model)
    try:
        return ENGINES[name].load(model, check_threads(threads), precision)
    except ModelError as error:
        if model.label in error.template:
            raise
        raise ModelError(f"{model.label}: {error.template}") from error


def check_engine(name: str, threads: int | None = None, precision: str = "fp32") -> None:
    """Refuse an engine, a number of threads or a precision with which nothing can run.

    Raises:
        OptionError: there is no such engine or precision, the engine does not support the precision on this
            processor, or ``threads`` is outside 1 to :data:`MAX_THREADS`.
        MissingExtraError: the engine is not installed.
    """
    check_threads(threads)
    if precision not in (AUTO, *PRECISIONS):
        raise unknown("precision", precision, (AUTO, *PRECISIONS))
    if name == AUTO:
        return
    if name not in ENGINES:
        raise unknown("engine", name, (AUTO, *ENGINES))
    if find_spec(ENGINES[name].module) is None:
        raise MissingExtraError(f"The engine {name}", install=ENGINES[name].install)
    have = ENGINES[name].precisions()
    if precision not in (AUTO, *have):
        raise OptionError(
            f"The engine {name} does not compute in {precision} on this processor. It has: {listing(have)}; "
            f"{setting('precision', AUTO)} chooses."
        )


def check_threads(threads: object) -> int | None:
    """Return a number of threads as an ``int``, or None for all cores.

    Raises:
        OptionError: it is not a whole number from 1 to :data:`MAX_THREADS`.
    """
    if threads is None:
        return None
    if not (is_whole(threads) and 1 <= threads <= MAX_THREADS):
        raise OptionError(
            f"An engine cannot run on {threads!r} threads. Allowed: 1 to {MAX_THREADS}; leave it out for all cores."
        )
    return int(threads)


def choose_engine(model: ModelSource, pixels: int | None = None, precision: str = AUTO) -> str:
    """Return the engine that 'auto' stands for: see :mod:`rlfn.inference.engine_order`.

    Weights that are not a graph yet (a user's .safetensors or .pth) run in torch.

    Args:
        model: what a user calls a model.
        pixels: the input pixels of a single picture, None where there is more work or that is not known.
        precision: one that the engine has to have here, or ``"auto"``.

    Raises:
        OptionError: no engine that is installed computes in ``precision`` on this processor.
    """
    return shared_engine([model], pixels, precision) if model.has_graph else "torch"


def shared_engine(models: Sequence[ModelSource], pixels: int | None = None, precision: str = AUTO) -> str:
    """Return the first engine in the order of ``"auto"`` that runs all of ``models``.

    Args:
        models: what users call models; weights that are not a graph yet are exported for it.
        pixels, precision: see :func:`choose_engine`.

    Raises:
        OptionError: no engine that is installed computes in ``precision`` on this processor.
    """
    here = features() | {"x86"} if _is_x86() else features()
    for name in (*order(here, pixels), "torch"):
        row = ENGINES[name]
        able = find_spec(row.module) is not None and precision in (AUTO, *row.precisions())
        if able and all(row.takes(model) for model in models):
            return name
    raise OptionError(
        f"No engine that is installed computes in {precision} on this processor. "
        f"{setting('precision', AUTO)} takes one that is available."
    )


def choose_precision(engine: str, model: ModelSource) -> str:
    """Return the precision that 'auto' stands for.

    It is the first that this processor computes faster than fp32 and that is known to lose at most :data:`MOST_LOSS` dB
    with this model; else fp32.
    """
    for precision in ENGINES[engine].native():
        loss = model.loss(precision)
        if loss is not None and loss <= MOST_LOSS:
            return precision
    return "fp32"
