"""Running an ONNX model on pictures, to measure it for quantisation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.models.grid import axis_grid, grid_matrices
from rlfn.models.traits import GRID_INPUTS
from rlfn.telemetry import import_silent

Feed = dict[str, NDArray[Any]]
"""A graph's inputs by name."""


def sides_of(model: Any) -> dict[str, list[int]]:
    """Return the sizes of an ONNX model's inputs by name; 0 is a dynamic size."""
    return {item.name: [side.dim_value for side in item.type.tensor_type.shape.dim] for item in model.graph.input}


def feeds(inputs: Mapping[str, list[int]], pictures: list[NDArray[Any]]) -> Iterator[Feed]:
    """Yield a graph's inputs for pictures: whole ones, cropped to its shape if that is fixed.

    ``inputs`` maps the graph's inputs to their sizes; 0 is a dynamic size.
    """
    name, sides = next(iter(inputs.items()))
    channels_last = takes_channels_last(inputs)
    height, width = sides[1:3] if channels_last else sides[2:4]
    for picture in pictures:
        if height and width:
            more = [(0, max(0, side - have)) for side, have in zip((height, width), picture.shape[:2], strict=True)]
            picture = np.pad(picture, (*more, (0, 0)), mode="symmetric")[:height, :width]
        batch = np.repeat(picture[None], sides[0] or 1, axis=0)
        feed: Feed = {name: batch if channels_last else batch.transpose(0, 3, 1, 2).astype(np.float32)}
        if len(inputs) > 1:
            axes = [axis_grid(0, side, side) for side in picture.shape[:2]]
            feed.update(zip(GRID_INPUTS, grid_matrices((axes[0], axes[1])), strict=True))
        yield feed


def takes_channels_last(inputs: Mapping[str, list[int]]) -> bool:
    """Tell whether a graph with inputs of these sizes takes and returns (N, H, W, 3)."""
    return next(iter(inputs.values()))[-1] == 3


def open_session(data: bytes) -> Any:
    """Return an ONNX Runtime session of a model on the CPU."""
    onnxruntime = import_silent("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
