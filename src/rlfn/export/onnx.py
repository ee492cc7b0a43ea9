"""ONNX files: the graph that rlfn's own runtime tiles exactly, and single-input ones for other tools."""

from __future__ import annotations

from pathlib import Path

from rlfn.export.prepare import facts, least_side, prepare
from rlfn.export.request import ExportRequest
from rlfn.networks import Checkpoint
from rlfn.networks.agreement import LoadedExport
from rlfn.networks.graph import PLAIN_AXES, load_graph, runtime_graph, trace, traits_of
from rlfn.networks.integers import ROUNDED_IN_TRAINING
from rlfn.wording import setting


def write_rlfn(checkpoint: Checkpoint, request: ExportRequest, path: Path) -> None:
    """Write the runtime's graph for any size, with the grid inputs for tiles; int8 is quantised from fp32."""
    path.write_bytes(_quantized(runtime_graph(checkpoint), checkpoint, request))


def write_onnx(checkpoint: Checkpoint, request: ExportRequest, path: Path) -> None:
    """Write the single-input file; int8 is quantised from fp32 (:mod:`rlfn.export.int8`)."""
    path.write_bytes(_quantized(onnx_graph(checkpoint, request), checkpoint, request))


def onnx_graph(checkpoint: Checkpoint, request: ExportRequest) -> bytes:
    """Return the single-input ONNX file for ``request`` (fp32 for int8), before the comparison with torch.

    Its metadata come from :func:`rlfn.export.prepare.facts`.
    """
    network, example = prepare(checkpoint, request)
    name, output = ("image", "upscaled") if request.image_io else ("lr", "sr")
    axes = {0: "batch", 1: "height", 2: "width"} if request.image_io else PLAIN_AXES
    return trace(network, [name], [example], output, None if request.shape else [axes], facts(checkpoint, request))


def load_onnx(path: Path) -> LoadedExport:
    """Load an exported file into ONNX Runtime."""
    return load_graph(str(path))


def onnx_notes(checkpoint: Checkpoint, request: ExportRequest, path: Path) -> tuple[str, ...]:
    """Return notes on a single-input file: whether tiles are exact with it."""
    if request.image_io or request.shape is not None or traits_of(checkpoint, grid=False).exact:
        return ()
    if not traits_of(checkpoint, grid=True).exact:
        return ("Tiles of this network always differ from the whole picture.",)
    return (
        "This file is for other tools: tiles of a large picture differ from the whole picture. "
        f"For rlfn itself export with {setting('to', 'rlfn')}, whose tiles do not.",
    )


def _quantized(data: bytes, checkpoint: Checkpoint, request: ExportRequest) -> bytes:
    if request.precision != "int8":
        return data
    from rlfn.export.int8 import calibration_pictures, quantize_onnx

    pictures = calibration_pictures(request.calibration, least_side(checkpoint))
    return quantize_onnx(data, pictures, nearest=ROUNDED_IN_TRAINING in checkpoint.metadata)
