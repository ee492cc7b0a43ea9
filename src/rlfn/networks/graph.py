"""The graph that rlfn's own runtime runs: a network as ONNX bytes, checked against torch.

The graph of a network with ESA takes four matrices in addition to ``lr``, with which a tile is treated as part of its
picture (:mod:`rlfn.models.grid`). Single-input graphs for other tools are made in ``rlfn.export.onnx``.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rlfn.errors import RlfnError
from rlfn.models.grid import axis_grid, grid_matrices
from rlfn.models.traits import GRID_INPUTS, PLAIN_ESA_MARGIN, Traits
from rlfn.networks.agreement import LoadedExport, compare
from rlfn.networks.build import ARCHITECTURES
from rlfn.networks.checkpoints import Checkpoint
from rlfn.networks.fuse import fuse_checkpoint
from rlfn.networks.quiet import quiet
from rlfn.networks.wrappers import WithGrid
from rlfn.telemetry import import_silent

EXAMPLE_SIZE = (37, 41)
"""Height and width of the example picture for tracing."""

PLAIN_AXES: dict[int, Any] = {0: "batch", 2: "height", 3: "width"}
"""The dynamic axes of a graph without a fixed size."""

_OPSET = 18


def traits_of(checkpoint: Checkpoint, *, grid: bool) -> Traits:
    """Return the traits of a checkpoint's network, run with or without the grid."""
    architecture = ARCHITECTURES[checkpoint.variant.architecture]
    with_grid = grid and architecture.takes_grid
    local = architecture.stride == 1
    return Traits(
        variant=checkpoint.variant.name,
        scale=checkpoint.scale,
        min_side=architecture.min_side,
        margin=architecture.margin(checkpoint.variant.fields) if with_grid or local else PLAIN_ESA_MARGIN,
        stride=architecture.stride,
        exact=with_grid or local,
    )


def onnx_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the runtime's ONNX graph of ``checkpoint``, with dynamic batch, height and width, checked against torch.

    A network in its training form is fused first.

    Raises:
        ModelError: the graph's output differs from torch's by more than :func:`rlfn.networks.agreement.compare` allows.
    """
    checkpoint = fuse_checkpoint(checkpoint)
    data = runtime_graph(checkpoint)
    compare(load_graph(data), checkpoint, least=ARCHITECTURES[checkpoint.variant.architecture].min_side)
    return data


def runtime_graph(checkpoint: Checkpoint) -> bytes:
    """Return the runtime's ONNX graph of a fused ``checkpoint``, without the check against torch."""
    height, width = EXAMPLE_SIZE
    if not ARCHITECTURES[checkpoint.variant.architecture].takes_grid:
        facts, plain = metadata(checkpoint, grid=False), checkpoint.network.eval()
        return trace(plain, ["lr"], [torch.rand(2, 3, height, width)], "sr", [PLAIN_AXES], facts)
    example = [torch.rand(2, 3, height, width), *(torch.from_numpy(matrix) for matrix in _whole(height, width))]
    auto = torch.export.Dim.AUTO
    axes: list[dict[int, Any]] = [{0: "batch", 2: auto, 3: auto}] + [{0: auto, 1: auto}] * len(GRID_INPUTS)
    network = WithGrid(checkpoint.network).eval()
    return trace(network, ["lr", *GRID_INPUTS], example, "sr", axes, metadata(checkpoint, grid=True))


def load_graph(model: bytes | str) -> LoadedExport:
    """Load an ONNX graph (bytes or path) into ONNX Runtime; a graph with a grid gets that of the whole picture.

    Pictures must have at least the network's smallest size.
    """
    onnxruntime = import_silent("onnxruntime")

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]

    def run(pictures: NDArray[Any]) -> NDArray[Any]:
        feed = {names[0]: pictures}
        if len(names) > 1:
            feed.update(zip(GRID_INPUTS, _whole(*pictures.shape[2:]), strict=True))
        found: NDArray[Any] = session.run(None, feed)[0]
        return found

    return run


def source_hash(checkpoint: Checkpoint) -> str:
    """Return the SHA-256 of a network's tensors, names and values in order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(checkpoint.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def metadata(checkpoint: Checkpoint, *, grid: bool) -> dict[str, str]:
    """Return the metadata of an exported file: the traits and the SHA-256 of the weights."""
    return {**traits_of(checkpoint, grid=grid).to_metadata(), "source_sha256": source_hash(checkpoint)}


def trace(
    network: nn.Module,
    names: list[str],
    example: list[Tensor],
    output: str,
    axes: list[dict[int, Any]] | None,
    facts: dict[str, str],
) -> bytes:
    """Return the graph of ``network``; its sizes are fixed to those of ``example`` if ``axes`` is None."""
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
    """Remove the exporter's annotations (a tenth of the file) and add the metadata that the runtime needs.

    The shapes of intermediate values are kept. ONNX Runtime does not infer that a padded convolution preserves height
    and width, and if it does not know that two shapes are equal, it adds and multiplies in another layout than it
    convolves in and converts between the two.
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


def _whole(height: int, width: int) -> tuple[NDArray[np.float32], ...]:
    return grid_matrices((axis_grid(0, height, height), axis_grid(0, width, width)))
