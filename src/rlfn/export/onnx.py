"""ONNX files for other tools: a single input, any size or one, fp32, fp16 or int8, 8-bit pictures too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from rlfn.export.checks import Run
from rlfn.export.request import Request
from rlfn.networks import Checkpoint
from rlfn.networks.graph import EXAMPLE_SIZE, PLAIN_AXES, metadata, trace, traits_of
from rlfn.networks.wrappers import HalfInside, ImageIo
from rlfn.telemetry import import_silent


def onnx_graph(checkpoint: Checkpoint, request: Request) -> bytes:
    """Return the single-input ONNX file that ``request`` asks for (fp32 for int8), not compared with torch yet.

    Its metadata are the network's :class:`~rlfn.models.traits.Traits` and the weights' SHA-256. A file of one fixed
    shape or with 8-bit pictures leaves the margin and the stride out: rlfn's own tiles cannot run it.
    """
    network = HalfInside(checkpoint.network) if request.precision == "fp16" else checkpoint.network
    names, example = ["lr"], [torch.rand(request.shape or (2, 3, *EXAMPLE_SIZE))]
    axes = PLAIN_AXES
    if request.image_io:
        network = ImageIo(network)
        names, example = ["image"], [example[0].permute(0, 2, 3, 1).contiguous().byte()]
        axes = {0: "batch", 1: "height", 2: "width"}
    facts = metadata(checkpoint, grid=False)
    if request.image_io or request.shape is not None:
        facts = {key: value for key, value in facts.items() if key not in ("margin", "stride")}
    output = "upscaled" if request.image_io else "sr"
    return trace(network.eval(), names, example, output, None if request.shape else [axes], facts)


def write_onnx(checkpoint: Checkpoint, request: Request, path: Path) -> None:
    """Write the ordinary ONNX file; int8 is quantised from the fp32 one (:mod:`rlfn.export.int8`)."""
    data = onnx_graph(checkpoint, request)
    if request.precision == "int8":
        from rlfn.export.int8 import calibration_pictures, quantize_onnx

        data = quantize_onnx(
            data, calibration_pictures(request.calibration, traits_of(checkpoint, grid=False).min_side)
        )
    path.write_bytes(data)


def load_onnx(path: Path) -> Run:
    """Load an exported file into ONNX Runtime."""
    onnxruntime = import_silent("onnxruntime")

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(pictures: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = session.run(None, {name: pictures})[0]
        return found

    return run
