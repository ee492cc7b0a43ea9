"""The stages of an RLFN as graphs, built from its tensors.

A stage is the part between two of ESA's pooled maps, since such a map requires the whole plane that it pools:

    first       conv_1, block 1 up to its 1x1 convolution
    inner       ESA's gate of the block before, the next block up to its 1x1 convolution
    last        ESA's gate of the last block, conv_2, the long skip (conv_1 again, cheaper than keeping it), upsampler

All but the last also compute the input of ESA's pooling, and two small graphs pool it and convolve the pooled map.

Convolutions are not padded: a stage reads a halo, and its output shrinks accordingly. Where the halo crosses the
border, the network has zeros before each convolution, so there a second form of the graph multiplies by a mask of ones
inside the picture and zeros outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlfn.inference.blockwise.layers import Graph, Tensor
from rlfn.models.variants import RLFNFields


@dataclass(frozen=True)
class BlockStage:
    """One stage.

    Attributes:
        inside: its graph for tiles whose halo lies inside the picture.
        border: its graph for the others, with the additional input ``mask``.
        before, after: the halo in px above and left, and below and right of a tile.
        mask: px by which the mask is smaller than the halo, on each side.
        takes_lr: whether it takes ``lr``, the picture in levels of 255.
        takes_plane: whether it takes ``plane``, the previous stage's ``z``, and ``wide``, its stretched pooled map.
        pooled: the block whose ESA pools this stage's result; 0 for the last stage.
    """

    inside: Graph
    border: Graph
    before: int
    after: int
    mask: int
    takes_lr: bool
    takes_plane: bool
    pooled: int


Tensors = Mapping[str, NDArray[np.float32]]


def rlfn_stages(tensors: Tensors, fields: RLFNFields) -> list[BlockStage]:
    """Return the stages of an RLFN in order."""
    stages = [
        # one px more below and right than above and left, because of ESA's stride-2 convolution
        BlockStage(_first(tensors, False), _first(tensors, True), 4, 5, 1, True, False, 1)
    ]
    for number in range(1, fields.blocks):
        inside, border = _inner(tensors, number, False), _inner(tensors, number, True)
        stages.append(BlockStage(inside, border, 3, 4, 1, False, True, number + 1))
    inside, border = _last(tensors, fields.blocks, False), _last(tensors, fields.blocks, True)
    stages.append(BlockStage(inside, border, 2, 2, 1, True, True, 0))
    return stages


def pool_graph() -> Graph:
    """Return the graph of ESA's max-pool: ``half`` (the convolution of stride 2) to ``pooled``."""
    graph = Graph(("half",), ("pooled",))
    graph.max_pool("pooled", "half", size=7, stride=3)
    return graph


def narrow_graph(tensors: Tensors, block: int) -> Graph:
    """Return the graph of ESA's convolution of a block's pooled map, which is already padded."""
    graph = Graph(("pooled",), ("narrow",))
    graph.conv("narrow", "pooled", *_named(tensors, f"block_{block}.esa.conv3"))
    return graph


def _first(tensors: Tensors, masked: bool) -> Graph:
    graph = Graph(("lr", "mask") if masked else ("lr",), ("z", "half"))
    graph.conv("first", "lr", *_named(tensors, "conv_1"))
    source = graph.combine("first_inside", "mul", "first", "mask") if masked else "first"
    mask = graph.crop("mask_1", "mask", 1) if masked else ""
    _block(graph, tensors, 1, source, mask)
    return graph


def _inner(tensors: Tensors, before: int, masked: bool) -> Graph:
    graph = Graph(("plane", "wide", "mask") if masked else ("plane", "wide"), ("z", "half"))
    _gate(graph, tensors, before)
    _block(graph, tensors, before + 1, "x", "mask" if masked else "")
    return graph


def _last(tensors: Tensors, before: int, masked: bool) -> Graph:
    names = ("lr", "plane", "wide")
    graph = Graph((*names, "mask") if masked else names, ("colours",))
    _gate(graph, tensors, before)
    graph.conv("body", "x", *_named(tensors, "conv_2"))
    graph.conv("skip", "lr", *_named(tensors, "conv_1"))
    source = graph.combine("sum", "add", "body", "skip")
    if masked:
        source = graph.combine("sum_inside", "mul", source, "mask")
    graph.conv("colours", source, *_named(tensors, "upsampler.0"))
    return graph


def _gate(graph: Graph, tensors: Tensors, block: int) -> None:
    """Add ESA's product ``x`` of ``plane`` and the sigmoid computed from its narrow branch and ``wide``."""
    esa = f"block_{block}.esa"
    # two consecutive 1x1 convolutions are merged into one
    inner, inner_bias = (part.astype(np.float64) for part in _named(tensors, f"{esa}.conv1"))
    outer, outer_bias = (part.astype(np.float64) for part in _named(tensors, f"{esa}.conv_f"))
    weight = (outer[:, :, 0, 0] @ inner[:, :, 0, 0])[:, :, None, None].astype(np.float32)
    bias = (outer[:, :, 0, 0] @ inner_bias + outer_bias).astype(np.float32)
    graph.conv("esa_f", "plane", weight, bias)
    graph.combine("esa_sum", "add", "esa_f", "wide")
    graph.conv("esa_gate", "esa_sum", *_named(tensors, f"{esa}.conv4"), end="sigmoid")
    graph.combine("x", "mul", "plane", "esa_gate")


def _block(graph: Graph, tensors: Tensors, block: int, source: str, mask: str) -> None:
    """Add a block up to ``z``, the input of its ESA's product, and ``half``, the input of its ESA's pooling.

    ``mask``, if given, has the size of the first convolution's result.
    """
    name = f"block_{block}"
    y = graph.conv("y1", source, *_named(tensors, f"{name}.c1_r"), end="leaky")
    if mask:
        y = graph.combine("y1_inside", "mul", y, mask)
    y = graph.conv("y2", y, *_named(tensors, f"{name}.c2_r"), end="leaky")
    if mask:
        y = graph.combine("y2_inside", "mul", y, graph.crop(f"{mask}_2", mask, 1))
    y = graph.conv("y3", y, *_named(tensors, f"{name}.c3_r"), end="leaky")
    total = graph.combine("residual", "add", y, graph.crop("residual_source", source, 3))
    graph.conv("z", total, *_named(tensors, f"{name}.c5"))
    graph.conv("esa_1", "z", *_named(tensors, f"{name}.esa.conv1"))
    graph.conv("half", "esa_1", *_named(tensors, f"{name}.esa.conv2"), stride=2)


def _named(tensors: Tensors, name: str) -> tuple[Tensor, Tensor]:
    return tensors[f"{name}.weight"], tensors[f"{name}.bias"]
