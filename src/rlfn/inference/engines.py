"""The engines that run a network, by table. Each takes and returns float32 pictures in [0, 255].

An engine is a callable ``engine(lr, grid=None) -> sr`` from (N, 3, H, W) to (N, 3, sH, sW), with ``traits`` and a
``name``. ``grid`` says where a tile lies in its picture; an engine whose ``takes_grid`` is false is never given one.
A new engine is one class and one row in :data:`ENGINES`.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import MissingExtraError, ModelError, OptionError, listing, unknown
from rlfn.inference.source import Source
from rlfn.inference.tiling import Grid, grid_matrices
from rlfn.inference.traits import GRID_INPUTS, Traits

if TYPE_CHECKING:
    from rlfn.networks import Checkpoint

Array = NDArray[np.float32]

MAX_THREADS = 1024
"""More threads than this are a slip: engines would start them all."""


class Engine(Protocol):
    """A loaded network."""

    name: str
    traits: Traits
    takes_grid: bool

    def __call__(self, lr: Array, grid: Grid | None = None) -> Array:
        """Upscale ``lr`` (N, 3, H, W) float32 in [0, 255]."""
        ...


def default_threads() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class OnnxRuntimeEngine:
    """ONNX Runtime on the CPU: the engine of the base install."""

    name = "onnxruntime"

    def __init__(self, model: bytes, threads: int | None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or default_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # its idle threads would spin on after a run and take a core from what comes next: files, or another model
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no public base class
            raise _not_onnx(error) from error
        self.traits = Traits.from_metadata(self._session.get_modelmeta().custom_metadata_map)
        self.takes_grid = _takes_grid([found.name for found in self._session.get_inputs()])

    def __call__(self, lr: Array, grid: Grid | None = None) -> Array:
        """Upscale ``lr`` (N, 3, H, W) float32 in [0, 255]."""
        sr: Array = self._session.run(None, _feed(lr, grid))[0]
        return sr


class OpenVinoEngine:
    """OpenVINO on the CPU: the extra ``openvino``, usually the fastest on x86."""

    name = "openvino"

    def __init__(self, model: bytes, threads: int | None) -> None:
        try:
            import openvino
        except ImportError:
            raise MissingExtraError("The engine openvino", "openvino") from None
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads or default_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }
        try:
            graph = core.read_model(model)
            self.traits = Traits.from_metadata(_openvino_metadata(graph))
            self._request = core.compile_model(graph, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            raise _not_onnx(error) from error
        self.takes_grid = _takes_grid([found.any_name for found in graph.inputs])

    def __call__(self, lr: Array, grid: Grid | None = None) -> Array:
        """Upscale ``lr`` (N, 3, H, W) float32 in [0, 255]; the result is valid until the next call."""
        sr: Array = self._request.infer(_feed(lr, grid), share_inputs=True, share_outputs=True)[0]
        return sr


class TorchEngine:
    """PyTorch: the extra ``torch``, on CUDA or MPS where there is one, else on the CPU."""

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, threads: int | None) -> None:
        import torch

        from rlfn.export.onnx import traits_of
        from rlfn.networks import ARCHITECTURES
        from rlfn.networks.fuse import fuse_checkpoint

        checkpoint = fuse_checkpoint(checkpoint)
        if threads:
            torch.set_num_threads(threads)
        mps = getattr(torch.backends, "mps", None)
        kind = "cuda" if torch.cuda.is_available() else "mps" if mps and mps.is_available() else "cpu"
        self._device = torch.device(kind)
        self._network = checkpoint.network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.takes_grid = ARCHITECTURES[checkpoint.variant.architecture].takes_grid
        self.traits = traits_of(checkpoint, grid=self.takes_grid)

    def __call__(self, lr: Array, grid: Grid | None = None) -> Array:
        """Upscale ``lr`` (N, 3, H, W) float32 in [0, 255]."""
        import torch

        from rlfn.networks.rlfn import Grid as TorchGrid

        arguments = [torch.from_numpy(lr).to(self._device, memory_format=torch.channels_last)]
        if grid is not None:
            matrices = (torch.from_numpy(matrix).to(self._device) for matrix in grid_matrices(grid))
            arguments.append(TorchGrid(*matrices))  # type: ignore[arg-type]
        with torch.inference_mode():
            sr: Array = self._network(*arguments).contiguous().cpu().numpy()
        return sr


@dataclass(frozen=True)
class EngineRow:
    """How an engine is loaded, which module it needs, and where 'auto' prefers it."""

    load: Callable[[Source, int | None], Engine]
    module: str
    preferred: Callable[[], bool]


def _is_x86() -> bool:
    return platform.machine().lower() in {"x86_64", "amd64", "i686"}


ENGINES: dict[str, EngineRow] = {
    "openvino": EngineRow(lambda source, threads: OpenVinoEngine(source.graph(), threads), "openvino", _is_x86),
    "onnxruntime": EngineRow(
        lambda source, threads: OnnxRuntimeEngine(source.graph(), threads), "onnxruntime", lambda: True
    ),
    "torch": EngineRow(lambda source, threads: TorchEngine(source.checkpoint(), threads), "torch", lambda: True),
}
"""Every engine by name, in the order in which 'auto' considers them."""


def load_engine(name: str, source: Source, threads: int | None = None) -> Engine:
    """Load ``source`` into the engine called ``name``; 'auto' takes the fastest that is installed.

    Weights that are not a graph yet (a user's .safetensors or .pth) run in torch unless another engine is asked for.

    Raises:
        OptionError: there is no such engine, or ``threads`` is not positive.
        MissingExtraError: the engine is not installed.
        ModelError: the model cannot be loaded.
    """
    if name == "auto":
        name = choose_engine(source)
    check_engine(name, threads)
    try:
        return ENGINES[name].load(source, threads)
    except ModelError as error:
        if source.label in str(error):
            raise
        raise ModelError(f"{source.label}: {error}") from error


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


def choose_engine(source: Source) -> str:
    """Return the engine that 'auto' stands for."""
    if not source.has_graph:
        return "torch"
    return next(name for name, row in ENGINES.items() if row.preferred() and find_spec(row.module) is not None)


def _takes_grid(inputs: list[str]) -> bool:
    """Tell from the names of a graph's inputs whether it takes a grid.

    Raises:
        ModelError: they are not those of a graph that rlfn wrote.
    """
    if inputs == ["lr"]:
        return False
    if sorted(inputs) == sorted(("lr", *GRID_INPUTS)):
        return True
    raise ModelError(
        f"The ONNX graph takes {listing(inputs)}. Networks here take lr, or {listing(('lr', *GRID_INPUTS))}; "
        "export the weights with 'rlfn export'."
    )


def _feed(lr: Array, grid: Grid | None) -> dict[str, Array]:
    feed = {"lr": np.ascontiguousarray(lr, np.float32)}
    if grid is not None:
        feed.update(zip(GRID_INPUTS, grid_matrices(grid), strict=True))
    return feed


def _openvino_metadata(graph: Any) -> dict[str, str]:
    """Read the ONNX metadata that OpenVINO keeps under 'framework'."""
    found: dict[str, str] = {}
    if graph.has_rt_info("framework"):
        for key in Traits.__dataclass_fields__:
            if graph.has_rt_info(["framework", key]):
                found[key] = graph.get_rt_info(["framework", key]).astype(str)
    return found


def _not_onnx(error: Exception) -> ModelError:
    text = " ".join(re.sub(r"Exception from \S+:\d+:", "", str(error)).split())[:200].rstrip(". ")
    return ModelError(
        f"The model cannot be loaded as an ONNX graph ({text}). "
        "The file is damaged or of another kind; get it again, or export the weights with 'rlfn export'."
    )
