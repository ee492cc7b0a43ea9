"""ONNX export, checked against torch before the file is written.

Two graphs can be made of one network. The ordinary one has the single input ``lr``. The runtime's one (``grid=True``)
also takes ESA's four matrices, with which a tile is treated as a part of its picture (:mod:`rlfn.inference.tiling`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rlfn.errors import ModelError, RlfnError
from rlfn.export.checks import CHECKED_SIZES, Run, allowed_by_rounding
from rlfn.export.quiet import quiet
from rlfn.export.request import Request
from rlfn.export.wrappers import HalfInside, ImageIo, WithGrid
from rlfn.images.output import write_bytes
from rlfn.inference.tiling import axis_grid, grid_matrices
from rlfn.inference.traits import GRID_INPUTS, PLAIN_ESA_MARGIN, Traits
from rlfn.networks import ARCHITECTURES, Checkpoint
from rlfn.networks.fuse import fuse_checkpoint

TOLERANCE = 0.05
"""The largest allowed difference from torch, in levels of 255, where rounding does not explain more."""

_OPSET = 18
_EXAMPLE_SIZE = (37, 41)


def traits_of(checkpoint: Checkpoint, *, grid: bool) -> Traits:
    """Return what the runtime must know of a checkpoint's network, run with or without the grid."""
    architecture = ARCHITECTURES[checkpoint.variant.architecture]
    return Traits(
        variant=checkpoint.variant.name,
        scale=checkpoint.scale,
        min_side=architecture.min_side,
        margin=architecture.margin(checkpoint.variant.fields) if grid == architecture.takes_grid else PLAIN_ESA_MARGIN,
        stride=architecture.stride,
    )


def export_onnx(checkpoint: Checkpoint, path: str | Path, *, grid: bool = False) -> float:
    """Write ``checkpoint`` as ONNX with dynamic batch, height and width; return the difference from torch.

    A network in its training form is fused first.

    Raises:
        ModelError: the graph's output differs from torch's by more than :func:`check_onnx` allows; nothing is written.
        OutputError: the file cannot be written.
    """
    checkpoint = fuse_checkpoint(checkpoint)
    data = _trace_for_runtime(checkpoint, grid)
    worst = check_onnx(data, checkpoint)
    write_bytes(Path(path), data)
    return worst


def onnx_bytes(checkpoint: Checkpoint, *, grid: bool = False) -> bytes:
    """Return the checked ONNX file of ``checkpoint`` (see :func:`export_onnx`)."""
    checkpoint = fuse_checkpoint(checkpoint)
    data = _trace_for_runtime(checkpoint, grid)
    check_onnx(data, checkpoint)
    return data


def check_onnx(data: bytes, checkpoint: Checkpoint) -> float:
    """Compare an ONNX file with torch at :data:`CHECKED_SIZES`; return the largest difference in levels of 255.

    Raises:
        ModelError: the difference exceeds :data:`TOLERANCE`, and what rounding explains
            (:func:`rlfn.export.checks.allowed_by_rounding`).
    """
    from rlfn.inference.engines import OnnxRuntimeEngine

    engine = OnnxRuntimeEngine(data, threads=None)
    grid = engine.takes_grid
    random = np.random.default_rng(0)
    worst, allowed = 0.0, TOLERANCE
    for height, width in CHECKED_SIZES:
        for batch in (1, 2):
            lr = random.uniform(0.0, 255.0, (batch, 3, height, width)).astype(np.float32)
            found = engine(lr, (axis_grid(0, height, height), axis_grid(0, width, width)) if grid else None)
            with torch.inference_mode():
                wanted = checkpoint.network(torch.from_numpy(lr)).numpy()
            farthest = float(np.abs(found - wanted).max())
            if not farthest <= allowed:
                allowed = allowed_by_rounding(checkpoint, lr, allowed)
            worst = max(worst, farthest)
    if not worst <= allowed:
        raise ModelError(
            f"The ONNX graph differs from torch by {worst:.3g} levels of 255. At most {allowed:.3g} is allowed. "
            "Nothing was written; please report this with the versions that 'rlfn doctor' prints."
        )
    return worst


def source_hash(checkpoint: Checkpoint) -> str:
    """Return the SHA-256 of a network's tensors, names and values in order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(checkpoint.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def onnx_graph(checkpoint: Checkpoint, request: Request) -> bytes:
    """Return the single-input ONNX file that ``request`` asks for (fp32 for int8), not compared with torch yet.

    Its metadata are the network's :class:`~rlfn.inference.traits.Traits` and the weights' SHA-256. A file of one fixed
    shape or with 8-bit pictures leaves the margin and the stride out: rlfn's own tiles cannot run it.
    """
    network = HalfInside(checkpoint.network) if request.precision == "fp16" else checkpoint.network
    names, example = ["lr"], [torch.rand(request.shape or (2, 3, *_EXAMPLE_SIZE))]
    axes: dict[int, Any] = {0: "batch", 2: "height", 3: "width"}
    if request.image_io:
        network = ImageIo(network)
        names, example = ["image"], [example[0].permute(0, 2, 3, 1).contiguous().byte()]
        axes = {0: "batch", 1: "height", 2: "width"}
    facts = metadata(checkpoint, grid=False)
    if request.image_io or request.shape is not None:
        facts = {key: value for key, value in facts.items() if key not in ("margin", "stride")}
    output = "upscaled" if request.image_io else "sr"
    return _trace(network.eval(), names, example, output, None if request.shape else [axes], facts)


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
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(pictures: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = session.run(None, {name: pictures})[0]
        return found

    return run


def _trace_for_runtime(checkpoint: Checkpoint, grid: bool) -> bytes:
    if not (grid and ARCHITECTURES[checkpoint.variant.architecture].takes_grid):
        return onnx_graph(checkpoint, Request())
    height, width = _EXAMPLE_SIZE
    matrices = grid_matrices((axis_grid(0, height, height), axis_grid(0, width, width)))
    example = [torch.rand(2, 3, height, width), *(torch.from_numpy(matrix) for matrix in matrices)]
    auto = torch.export.Dim.AUTO
    axes: list[dict[int, Any]] = [{0: "batch", 2: auto, 3: auto}] + [{0: auto, 1: auto}] * len(GRID_INPUTS)
    network = WithGrid(checkpoint.network).eval()
    return _trace(network, ["lr", *GRID_INPUTS], example, "sr", axes, metadata(checkpoint, grid=True))


def metadata(checkpoint: Checkpoint, *, grid: bool) -> dict[str, str]:
    """Return what a file says of its network: the traits, and the SHA-256 of the weights."""
    return {**traits_of(checkpoint, grid=grid).to_metadata(), "source_sha256": source_hash(checkpoint)}


def _trace(
    network: nn.Module,
    names: list[str],
    example: list[Tensor],
    output: str,
    axes: list[dict[int, Any]] | None,
    facts: dict[str, str],
) -> bytes:
    """Return the graph of ``network``, whose sizes are those of ``example`` where ``axes`` is None."""
    with quiet():
        program = torch.onnx.export(
            network,
            tuple(example),
            dynamo=True,
            input_names=names,
            output_names=[output],
            dynamic_shapes=None if axes is None else tuple(axes),
            opset_version=_OPSET,
            verbose=False,
        )
    if program is None:
        raise RlfnError("torch.onnx.export returned nothing. Check the installed versions of torch and onnxscript.")
    return _finish(program.model_proto, facts)


def _finish(proto: Any, facts: dict[str, str]) -> bytes:
    """Drop the tracer's notes (a tenth of the file) and add what the runtime must know.

    The shapes of what flows through the graph stay. ONNX Runtime cannot tell by itself that a padded convolution keeps
    height and width, and where it does not know that two shapes are equal, it adds and multiplies in another layout
    than it convolves in and converts between the two.
    """
    import onnx

    for node in proto.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info, *proto.graph.initializer):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    weights = {tensor.name for tensor in proto.graph.initializer}
    flowing = [value for value in proto.graph.value_info if value.name not in weights]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(flowing)
    proto.graph.ClearField("metadata_props")
    proto.ClearField("metadata_props")
    proto.producer_name = "rlfn"
    onnx.helper.set_model_props(proto, facts)
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString()
    return data
