"""OpenVINO's IR: a graph (.xml) and its weights (.bin), converted from the ONNX graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rlfn.errors import MissingExtraError
from rlfn.export.checks import Run
from rlfn.export.onnx import onnx_graph
from rlfn.export.request import Request
from rlfn.networks import ARCHITECTURES, Checkpoint
from rlfn.networks.graph import metadata
from rlfn.telemetry import import_silent


def write_openvino(checkpoint: Checkpoint, request: Request, path: Path) -> None:
    """Write ``path`` (.xml) and its .bin; fp16 stores the weights as fp16, the device decides how it computes.

    Raises:
        MissingExtraError: openvino is not installed.
    """
    openvino = _import()
    graph = openvino.Core().read_model(onnx_graph(checkpoint, Request(shape=request.shape, image_io=request.image_io)))
    if request.precision == "int8":
        from rlfn.export.int8 import calibration_pictures, quantize_openvino

        least = ARCHITECTURES[checkpoint.variant.architecture].min_side
        graph = quantize_openvino(graph, calibration_pictures(request.calibration, least))
    for key, value in metadata(checkpoint, grid=False).items():
        graph.set_rt_info(value, ["rlfn", key])
    openvino.save_model(graph, str(path), compress_to_fp16=request.precision == "fp16")


def load_openvino(path: Path) -> Run:
    """Load an exported IR onto the CPU, computing in fp32 (int8 where the graph is quantised)."""
    openvino = _import()
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(pictures: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = model(pictures)[0]
        return found

    return run


def _import() -> Any:
    try:
        return import_silent("openvino")
    except ImportError:
        raise MissingExtraError("The export format openvino", "openvino") from None
