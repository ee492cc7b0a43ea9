"""Whole networks as graphs of ncnn, from their tensors: a tile as (3, h, w) in levels of 255, to (3, s h, s w).

An RLFN's graph takes ESA's matrices beside the tile, as the runtime's ONNX graph does (:mod:`rlfn.models.grid`), so
that tiles are exact. In place of the two matrices that pad the pooled map it takes their product as a ``mask``: the map
is grown with its nearest values, and what lies outside the picture is multiplied by zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlfn.inference.blockwise.layers import Graph, Tensor
from rlfn.inference.blockwise.stages import Tensors
from rlfn.models.grid import Grid
from rlfn.models.traits import Traits, variant_traits
from rlfn.models.variants import PlainFields, RLFNFields, Variant


def whole_graph(variant: Variant, scale: int, tensors: Tensors) -> tuple[Graph, Traits] | None:
    """Return a network's graph and what it needs; None for an architecture that has none here."""
    fields = variant.fields
    if isinstance(fields, PlainFields) and not fields.expand:
        return plain_graph(tensors, fields, scale), variant_traits(variant, scale)
    if isinstance(fields, RLFNFields):
        return rlfn_graph(tensors, fields, scale), variant_traits(variant, scale)
    return None


def grid_blobs(grid: Grid) -> dict[str, NDArray[np.float32]]:
    """Return what an RLFN's graph takes beside the tile."""
    rows, columns = grid
    mask = np.outer(rows.pad.sum(axis=1), columns.pad.sum(axis=1))[None]
    return {"rows": rows.interpolate, "columns": columns.interpolate, "mask": mask.astype(np.float32)}


def plain_graph(tensors: Tensors, fields: PlainFields, scale: int) -> Graph:
    """Return the graph of a chain of convolutions: ``lr`` to ``sr``."""
    graph = Graph(("lr",), ("sr",))
    source, last = "lr", fields.layers + 1
    for number in range(last):
        source = graph.conv(f"conv_{number}", source, *_named(tensors, f"convs.{number}"), pad=1, end="relu")
    source = graph.conv("residual", source, *_named(tensors, f"convs.{last}"), pad=1)
    repeat = np.repeat(np.eye(3, dtype=np.float32), scale * scale, axis=0)[:, :, None, None]
    anchor = graph.conv("anchor", "lr", repeat, np.zeros(len(repeat), np.float32))
    graph.pixel_shuffle("sr", graph.combine("sum", "add", source, anchor), scale)
    return graph


def rlfn_graph(tensors: Tensors, fields: RLFNFields, scale: int) -> Graph:
    """Return the graph of an RLFN: ``lr``, ``rows``, ``columns`` and ``mask`` to ``sr``."""
    graph = Graph(("lr", "rows", "columns", "mask"), ("sr",))
    first = x = graph.conv("first", "lr", *_named(tensors, "conv_1"), pad=1)
    for block in range(1, fields.blocks + 1):
        x = _block(graph, tensors, f"block_{block}", x, fields.esa_channels)
    x = graph.combine("sum", "add", graph.conv("body", x, *_named(tensors, "conv_2"), pad=1), first)
    graph.pixel_shuffle("sr", graph.conv("colours", x, *_named(tensors, "upsampler.0"), pad=1), scale)
    return graph


def _block(graph: Graph, tensors: Tensors, name: str, x: str, esa_channels: int) -> str:
    y = x
    for conv in ("c1_r", "c2_r", "c3_r"):
        y = graph.conv(f"{name}_{conv}", y, *_named(tensors, f"{name}.{conv}"), pad=1, end="leaky")
    z = graph.conv(f"{name}_z", graph.combine(f"{name}_sum", "add", y, x), *_named(tensors, f"{name}.c5"))
    esa = f"{name}.esa"
    inner = graph.conv(f"{name}_inner", z, *_named(tensors, f"{esa}.conv1"))
    half = graph.conv(f"{name}_half", inner, *_named(tensors, f"{esa}.conv2"), stride=2)
    grown = graph.repeat_border(f"{name}_grown", graph.max_pool(f"{name}_pooled", half, size=7, stride=3))
    padded = graph.combine(f"{name}_padded", "mul", grown, "mask")
    narrow = graph.conv(f"{name}_narrow", padded, *_named(tensors, f"{esa}.conv3"))
    wide = graph.stretch(f"{name}_wide", narrow, "rows", "columns", esa_channels)
    beside = graph.conv(f"{name}_beside", inner, *_named(tensors, f"{esa}.conv_f"))
    both = graph.combine(f"{name}_both", "add", beside, wide)
    gate = graph.conv(f"{name}_gate", both, *_named(tensors, f"{esa}.conv4"), end="sigmoid")
    return graph.combine(f"{name}_x", "mul", z, gate)


def _named(tensors: Tensors, name: str) -> tuple[Tensor, Tensor]:
    return tensors[f"{name}.weight"], tensors[f"{name}.bias"]
