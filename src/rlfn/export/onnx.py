"""ONNX export, checked against torch before the file is written.

Two graphs can be made of one network. The ordinary one has the single input ``lr``. The runtime's one (``grid=True``)
also takes ESA's four matrices, with which a tile is treated as a part of its picture (:mod:`rlfn.inference.tiling`).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlfn.errors import ModelError, RlfnError
from rlfn.inference.tiling import axis_grid, grid_matrices
from rlfn.inference.traits import GRID_INPUTS, PLAIN_ESA_MARGIN, Traits
from rlfn.networks import ARCHITECTURES, Checkpoint
from rlfn.networks.checkpoints import write_atomically
from rlfn.networks.fuse import fuse_checkpoint
from rlfn.networks.rlfn import Grid

CHECKED_SIZES = ((15, 15), (16, 16), (17, 17), (64, 97))
"""Heights and widths at which an export is compared with torch before it is written."""

TOLERANCE = 0.05
"""The largest allowed difference from torch, in levels of 255."""

_OPSET = 18


class _WithGrid(nn.Module):
    """A network whose grid is four plain inputs, as a graph needs them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, lr: Tensor, rows: Tensor, columns: Tensor, pad_rows: Tensor, pad_columns: Tensor) -> Tensor:
        sr: Tensor = self.network(lr, Grid(rows, columns, pad_rows, pad_columns))
        return sr


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
        ModelError: the graph's output differs from torch's by more than :data:`TOLERANCE` levels; nothing is written.
        OutputError: the file cannot be written.
    """
    checkpoint = fuse_checkpoint(checkpoint)
    data = _trace(checkpoint, grid)
    worst = check_onnx(data, checkpoint)
    write_atomically(Path(path), data)
    return worst


def onnx_bytes(checkpoint: Checkpoint, *, grid: bool = False) -> bytes:
    """Return the checked ONNX file of ``checkpoint`` (see :func:`export_onnx`)."""
    checkpoint = fuse_checkpoint(checkpoint)
    data = _trace(checkpoint, grid)
    check_onnx(data, checkpoint)
    return data


def check_onnx(data: bytes, checkpoint: Checkpoint) -> float:
    """Compare an ONNX file with torch at :data:`CHECKED_SIZES`; return the largest difference in levels of 255.

    Raises:
        ModelError: the difference exceeds :data:`TOLERANCE`.
    """
    from rlfn.inference.engines import OnnxRuntimeEngine

    engine = OnnxRuntimeEngine(data, threads=None)
    grid = engine.takes_grid
    random = np.random.default_rng(0)
    worst = 0.0
    for height, width in CHECKED_SIZES:
        for batch in (1, 2):
            lr = random.uniform(0.0, 255.0, (batch, 3, height, width)).astype(np.float32)
            found = engine(lr, (axis_grid(0, height, height), axis_grid(0, width, width)) if grid else None)
            with torch.inference_mode():
                wanted = checkpoint.network(torch.from_numpy(lr)).numpy()
            worst = max(worst, float(np.abs(found - wanted).max()))
    if not worst <= TOLERANCE:
        raise ModelError(
            f"The ONNX graph differs from torch by {worst:.3g} levels of 255. At most {TOLERANCE} is allowed. "
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


def _trace(checkpoint: Checkpoint, grid: bool) -> bytes:
    grid = grid and ARCHITECTURES[checkpoint.variant.architecture].takes_grid
    height, width = 37, 41
    names = ["lr"]
    example = [torch.rand(2, 3, height, width)]
    auto = torch.export.Dim.AUTO
    shapes: list[dict[int, Any]] = [{0: "batch", 2: "height", 3: "width"}]
    network: nn.Module = checkpoint.network
    if grid:
        matrices = grid_matrices((axis_grid(0, height, height), axis_grid(0, width, width)))
        names += list(GRID_INPUTS)
        example += [torch.from_numpy(matrix) for matrix in matrices]
        shapes = [{0: "batch", 2: auto, 3: auto}] + [{0: auto, 1: auto}] * len(GRID_INPUTS)
        network = _WithGrid(network).eval()
    with _quiet():
        program = torch.onnx.export(
            network,
            tuple(example),
            dynamo=True,
            input_names=names,
            output_names=["sr"],
            dynamic_shapes=tuple(shapes),
            opset_version=_OPSET,
            verbose=False,
        )
    if program is None:
        raise RlfnError("torch.onnx.export returned nothing. Check the installed versions of torch and onnxscript.")
    return _finish(program.model_proto, checkpoint, grid)


def _finish(proto: Any, checkpoint: Checkpoint, grid: bool) -> bytes:
    """Drop the tracer's notes (a tenth of the file) and add what the runtime must know."""
    import onnx

    for node in proto.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info, *proto.graph.initializer):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    del proto.graph.value_info[:]
    proto.graph.ClearField("metadata_props")
    proto.ClearField("metadata_props")
    proto.producer_name = "rlfn"
    facts = {**traits_of(checkpoint, grid=grid).to_metadata(), "source_sha256": source_hash(checkpoint)}
    onnx.helper.set_model_props(proto, facts)
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString()
    return data


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's chatter (missing torchvision, deprecations of its own calls) from the user."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
