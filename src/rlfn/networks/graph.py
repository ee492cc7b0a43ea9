"""A network as ONNX bytes, checked against torch.

Two graphs can be made of one network. The ordinary one has the single input ``lr``. The runtime's one (``grid=True``)
also takes ESA's four matrices, with which a tile is treated as a part of its picture (:mod:`rlfn.models.grid`).
"""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rlfn.atomic import write_bytes
from rlfn.errors import ModelError, RlfnError
from rlfn.models.grid import axis_grid, grid_matrices
from rlfn.models.traits import GRID_INPUTS, PLAIN_ESA_MARGIN, Traits
from rlfn.networks.build import ARCHITECTURES
from rlfn.networks.checkpoints import Checkpoint
from rlfn.networks.fuse import fuse_checkpoint
from rlfn.networks.quiet import quiet
from rlfn.networks.wrappers import WithGrid
from rlfn.telemetry import import_silent

TOLERANCE = 0.05
"""The largest allowed difference from torch, in levels of 255, where rounding does not explain more."""

CHECKED_SIZES = ((15, 15), (16, 16), (17, 17), (64, 97))
"""Heights and widths at which an export of any size is compared with torch, as far as the network takes them."""

EXAMPLE_SIZE = (37, 41)
"""Height and width of the picture that a network is traced with."""

PLAIN_AXES: dict[int, Any] = {0: "batch", 2: "height", 3: "width"}
"""The axes of a picture that a graph of any size leaves open."""

_OPSET = 18

_ROUNDINGS = 4.0
"""How many times torch's own rounding an export may differ from it: two ways of adding in fp32 differ by their sum."""

_MOST_ROUNDING = 0.5
"""The most levels that are put down to rounding."""


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
    data = _runtime_graph(checkpoint, grid)
    worst = check_onnx(data, checkpoint)
    write_bytes(Path(path), data)
    return worst


def onnx_bytes(checkpoint: Checkpoint, *, grid: bool = False) -> bytes:
    """Return the checked ONNX file of ``checkpoint`` (see :func:`export_onnx`)."""
    checkpoint = fuse_checkpoint(checkpoint)
    data = _runtime_graph(checkpoint, grid)
    check_onnx(data, checkpoint)
    return data


def check_onnx(data: bytes, checkpoint: Checkpoint) -> float:
    """Compare an ONNX file with torch at :data:`CHECKED_SIZES`; return the largest difference in levels of 255.

    Raises:
        ModelError: the difference exceeds :data:`TOLERANCE`, and what rounding explains
            (:func:`allowed_by_rounding`).
    """
    onnxruntime = import_silent("onnxruntime")

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    grid = len(session.get_inputs()) > 1
    random = np.random.default_rng(0)
    worst, allowed = 0.0, TOLERANCE
    for height, width in CHECKED_SIZES:
        for batch in (1, 2):
            lr = random.uniform(0.0, 255.0, (batch, 3, height, width)).astype(np.float32)
            feed = {"lr": lr}
            if grid:
                matrices = grid_matrices((axis_grid(0, height, height), axis_grid(0, width, width)))
                feed.update(zip(GRID_INPUTS, matrices, strict=True))
            found = session.run(None, feed)[0]
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


def allowed_by_rounding(checkpoint: Checkpoint, lr: NDArray[np.float32], worst: float) -> float:
    """Return how many levels of 255 an fp32 export may differ from torch on ``lr`` (N, 3, H, W): at least ``worst``.

    A network that answers some pictures with values far outside [0, 255], as a SPAN does noise, rounds more in fp32
    than others. What torch in fp32 differs from torch in float64 says how much that is.

    >>> from rlfn.networks import build
    >>> from rlfn.models.variants import VARIANTS
    >>> still = Checkpoint(build(VARIANTS["rlfn-xs"], 2).eval(), VARIANTS["rlfn-xs"], 2)
    >>> allowed_by_rounding(still, np.zeros((1, 3, 4, 4), np.float32), 0.05)
    0.05
    """
    with torch.inference_mode():
        single = checkpoint.network(torch.from_numpy(lr))
        double = copy.deepcopy(checkpoint.network).double()(torch.from_numpy(lr).double())
        rounding = float((single - double).abs().max())
    return max(worst, min(_ROUNDINGS * rounding, _MOST_ROUNDING))


def source_hash(checkpoint: Checkpoint) -> str:
    """Return the SHA-256 of a network's tensors, names and values in order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(checkpoint.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def _runtime_graph(checkpoint: Checkpoint, grid: bool) -> bytes:
    height, width = EXAMPLE_SIZE
    if not (grid and ARCHITECTURES[checkpoint.variant.architecture].takes_grid):
        facts, plain = metadata(checkpoint, grid=False), checkpoint.network.eval()
        return trace(plain, ["lr"], [torch.rand(2, 3, height, width)], "sr", [PLAIN_AXES], facts)
    matrices = grid_matrices((axis_grid(0, height, height), axis_grid(0, width, width)))
    example = [torch.rand(2, 3, height, width), *(torch.from_numpy(matrix) for matrix in matrices)]
    auto = torch.export.Dim.AUTO
    axes: list[dict[int, Any]] = [{0: "batch", 2: auto, 3: auto}] + [{0: auto, 1: auto}] * len(GRID_INPUTS)
    network = WithGrid(checkpoint.network).eval()
    return trace(network, ["lr", *GRID_INPUTS], example, "sr", axes, metadata(checkpoint, grid=True))


def metadata(checkpoint: Checkpoint, *, grid: bool) -> dict[str, str]:
    """Return what a file says of its network: the traits, and the SHA-256 of the weights."""
    return {**traits_of(checkpoint, grid=grid).to_metadata(), "source_sha256": source_hash(checkpoint)}


def trace(
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
