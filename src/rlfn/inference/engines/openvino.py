"""OpenVINO: the extra ``openvino``."""

from __future__ import annotations

import os
from typing import Any

from rlfn.errors import MissingExtraError
from rlfn.forked import outlives_fork
from rlfn.inference.engines.base import Array, feed, not_onnx, takes_grid
from rlfn.inference.hardware import default_threads
from rlfn.models.grid import Grid
from rlfn.models.traits import Traits
from rlfn.telemetry import import_silent

_PREPARED = "500"
"""Entries that OpenVINO keeps for shapes it has seen, some a layer and shape. Its own 5,000 take hundreds of MB."""


_cores: dict[int, Any] = {}


def openvino_core() -> Any:
    """Return OpenVINO's core of this process, the same one each time.

    A core gives the thread that makes it a stack for signals, and unmaps that when it goes. If two go in the order in
    which they came, the second one puts the first one's stack back, and the next Ctrl-C is a segmentation fault
    (OpenVINO 2026.4). So there is one, and it stays.

    Raises:
        MissingExtraError: openvino is not installed.
    """
    process = os.getpid()
    if process not in _cores:
        try:
            core = import_silent("openvino").Core()
        except ModuleNotFoundError:
            raise MissingExtraError("The engine openvino", "openvino") from None
        outlives_fork(_cores.setdefault(process, core))
    return _cores[process]


class OpenVinoEngine:
    """OpenVINO on the CPU: the extra ``openvino``, usually the fastest on x86."""

    name = "openvino"

    def __init__(self, model: bytes, threads: int | None = None, precision: str = "fp32") -> None:
        self.precision = precision
        core = openvino_core()
        settings = {
            "INFERENCE_NUM_THREADS": threads or default_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "ENABLE_CPU_PINNING": False,
            "CPU_RUNTIME_CACHE_CAPACITY": _PREPARED,
        }
        try:
            graph = core.read_model(model)
            self.traits = Traits.from_metadata(_openvino_metadata(graph))
            self._request = core.compile_model(graph, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            raise not_onnx(error) from error
        outlives_fork(self)
        self.takes_grid = takes_grid([found.any_name for found in graph.inputs])

    def __call__(self, lr: Array, grid: Grid | None = None) -> Array:
        """Upscale ``lr`` (N, 3, H, W) float32 in [0, 255]; the result is valid until the next call."""
        sr: Array = self._request.infer(feed(lr, grid), share_inputs=True, share_outputs=True)[0]
        return sr


def _openvino_metadata(graph: Any) -> dict[str, str]:
    """Read the ONNX metadata that OpenVINO keeps under 'framework'."""
    found: dict[str, str] = {}
    if graph.has_rt_info("framework"):
        for key in Traits.__dataclass_fields__:
            if graph.has_rt_info(["framework", key]):
                found[key] = graph.get_rt_info(["framework", key]).astype(str)
    return found
