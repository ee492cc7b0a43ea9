"""The engines that run a network, by table. Each takes and returns float32 pictures in [0, 255].

An engine is a callable ``engine(lr, grid=None) -> sr`` from (N, 3, H, W) to (N, 3, sH, sW), with ``traits`` and a
``name``. ``grid`` says where a tile lies in its picture; an engine whose ``takes_grid`` is false is never given one.
A new engine is one file here and one row in :data:`ENGINES`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from rlfn.errors import MissingExtraError, ModelError, OptionError, unknown
from rlfn.inference.engines.base import Array, Engine, default_threads
from rlfn.inference.engines.onnxruntime import OnnxRuntimeEngine
from rlfn.inference.engines.openvino import OpenVinoEngine
from rlfn.inference.engines.torch import TorchEngine
from rlfn.inference.loading import checkpoint_of, graph_of
from rlfn.models.reference import Reference

__all__ = ["ENGINES", "Array", "Engine", "EngineRow", "check_engine", "choose_engine", "default_threads", "load_engine"]

MAX_THREADS = 1024
"""More threads than this are a slip: engines would start them all."""


@dataclass(frozen=True)
class EngineRow:
    """How an engine is loaded, which module it needs, and where 'auto' prefers it."""

    load: Callable[[Reference, int | None], Engine]
    module: str
    preferred: Callable[[], bool]


def _is_x86() -> bool:
    return platform.machine().lower() in {"x86_64", "amd64", "i686"}


ENGINES: dict[str, EngineRow] = {
    "openvino": EngineRow(lambda model, threads: OpenVinoEngine(graph_of(model), threads), "openvino", _is_x86),
    "onnxruntime": EngineRow(
        lambda model, threads: OnnxRuntimeEngine(graph_of(model), threads), "onnxruntime", lambda: True
    ),
    "torch": EngineRow(lambda model, threads: TorchEngine(checkpoint_of(model), threads), "torch", lambda: True),
}
"""Every engine by name, in the order in which 'auto' considers them."""


def load_engine(name: str, model: Reference, threads: int | None = None) -> Engine:
    """Load ``model`` into the engine called ``name``; 'auto' takes the fastest that is installed.

    Weights that are not a graph yet (a user's .safetensors or .pth) run in torch unless another engine is asked for.

    Raises:
        OptionError: there is no such engine, or ``threads`` is not positive.
        MissingExtraError: the engine is not installed.
        ModelError: the model cannot be loaded.
    """
    if name == "auto":
        name = choose_engine(model)
    check_engine(name, threads)
    try:
        return ENGINES[name].load(model, threads)
    except ModelError as error:
        if model.label in str(error):
            raise
        raise ModelError(f"{model.label}: {error}") from error


def check_engine(name: str, threads: int | None = None) -> None:
    """Refuse an engine or a number of threads with which nothing can run.

    Raises:
        OptionError: there is no such engine, or ``threads`` is outside 1 to :data:`MAX_THREADS`.
        MissingExtraError: the engine is not installed.
    """
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise OptionError(
            f"An engine cannot run on {threads} threads. Allowed: 1 to {MAX_THREADS}; leave it out for all cores."
        )
    if name == "auto":
        return
    if name not in ENGINES:
        raise unknown("engine", name, ("auto", *ENGINES))
    if find_spec(ENGINES[name].module) is None:
        raise MissingExtraError(f"The engine {name}", name)


def choose_engine(model: Reference) -> str:
    """Return the engine that 'auto' stands for."""
    if not model.has_graph:
        return "torch"
    return next(name for name, row in ENGINES.items() if row.preferred() and find_spec(row.module) is not None)
