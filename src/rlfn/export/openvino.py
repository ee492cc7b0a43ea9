"""OpenVINO's IR: a graph (.xml) and its weights (.bin), converted from the ONNX graph."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from rlfn.errors import MissingExtraError
from rlfn.export.onnx import onnx_graph
from rlfn.export.prepare import facts, least_side
from rlfn.export.request import ExportRequest
from rlfn.inference.engines.openvino import openvino_core
from rlfn.networks import Checkpoint
from rlfn.networks.agreement import LoadedExport, distance
from rlfn.telemetry import import_silent


def write_openvino(checkpoint: Checkpoint, request: ExportRequest, path: Path) -> None:
    """Write ``path`` (.xml) and its .bin; fp16 applies to the stored weights, the device chooses its precision.

    Raises:
        MissingExtraError: openvino is not installed.
    """
    openvino = _import()
    graph = openvino_core().read_model(
        onnx_graph(checkpoint, ExportRequest(shape=request.shape, image_io=request.image_io))
    )
    if request.precision == "int8":
        from rlfn.export.int8 import calibration_pictures
        from rlfn.export.int8_openvino import quantize_openvino

        graph = quantize_openvino(graph, calibration_pictures(request.calibration, least_side(checkpoint)))
    for key, value in facts(checkpoint, request).items():
        graph.set_rt_info(value, ["rlfn", key])
    openvino.save_model(graph, str(path), compress_to_fp16=request.precision == "fp16")


def load_openvino(path: Path) -> LoadedExport:
    """Load an exported IR onto the CPU, computing in fp32 (int8 where the graph is quantised)."""
    return _loaded(path, {"INFERENCE_PRECISION_HINT": "f32"})


def openvino_notes(checkpoint: Checkpoint, request: ExportRequest, path: Path) -> tuple[str, ...]:
    """Return the difference from torch with OpenVINO's defaults: bf16 on processors that support it.

    The file cannot change that: OpenVINO's CPU plugin reads an IR's ``runtime_options`` for language models only. If
    this processor has no bf16, the difference is estimated with torch's bf16.
    """
    compiled = openvino_core().compile_model(str(path), "CPU")
    used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if used == "f32":
        run, how = _in_bfloat16(checkpoint), "estimated with torch's bf16, since this processor has none"
        found = distance(run, checkpoint, shape=request.shape)
    else:
        found = distance(_loaded(path, {}), checkpoint, shape=request.shape, image_io=request.image_io)
        how = f"measured in OpenVINO's {used}"
    return (
        "OpenVINO computes in bf16 on processors that support it, unless INFERENCE_PRECISION_HINT is f32 when the "
        f"model is compiled. In bf16: up to {found.worst:.2g} levels of 255 from torch, PSNR {found.psnr:.1f} dB, on "
        f"{found.on}; {how}.",
    )


def _loaded(path: Path, settings: dict[str, str]) -> LoadedExport:
    model = openvino_core().compile_model(str(path), "CPU", settings)

    def run(pictures: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = model(pictures)[0]
        return found

    return run


def _in_bfloat16(checkpoint: Checkpoint) -> LoadedExport:
    network = copy.deepcopy(checkpoint.network).bfloat16()

    def run(pictures: NDArray[Any]) -> NDArray[Any]:
        with torch.inference_mode():
            found: NDArray[Any] = network(torch.from_numpy(pictures).bfloat16()).float().numpy()
        return found

    return run


def _import() -> Any:
    try:
        return import_silent("openvino")
    except ImportError:
        raise MissingExtraError("The export format openvino", "openvino") from None
