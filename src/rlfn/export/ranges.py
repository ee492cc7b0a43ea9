"""The ranges of an int8 graph's tensors: as narrow as possible, but wide enough for rare values and flat colours."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.telemetry import import_silent

_OUTWARDS = 0.25
"""Where an end lies between the mean over the pictures of their extremes (0) and the furthest of them (1)."""

_OF_FLAT = 0.85
"""The least share of what flat colours reach that a range covers."""

_FLAT_SIDE = 32
_GRAYS = (64, 128, 192)

Feed = dict[str, NDArray[Any]]
"""A graph's inputs by name."""

Range = tuple[float, float]
"""A tensor's lowest and highest value."""


def flat_colours() -> list[NDArray[np.uint8]]:
    """Return flat pictures (H, W, 3) of black, white, the six pure colours and three grays.

    A screenshot or a drawing is full of such areas, photographs never are: on a saturated colour the first layers
    answer with several times what they answer to photographs.
    """
    colours = [*product((0, 255), repeat=3), *((gray,) * 3 for gray in _GRAYS)]
    return [np.full((_FLAT_SIDE, _FLAT_SIDE, 3), colour, np.uint8) for colour in colours]


def ranges(model: Any, tensors: Iterable[str], pictures: Iterable[Feed], flats: Iterable[Feed]) -> dict[str, Range]:
    """Return the quantization range of each tensor.

    Means of the pictures' extremes alone cut what few pictures have, which loses 0.05 dB; the furthest extremes alone
    make the steps coarse. What flat colours reach would count too little in a mean, so it is a bound of its own.

    Args:
        model: an ONNX model.
        tensors: names of its values.
        pictures: inputs with what the model will see.
        flats: inputs with flat colours.
    """
    names = list(tensors)
    seen = _extremes(model, names, pictures)
    flat = _extremes(model, names, flats)
    mean = seen.mean(axis=0)
    low = mean[:, 0] + _OUTWARDS * (seen[:, :, 0].min(axis=0) - mean[:, 0])
    high = mean[:, 1] + _OUTWARDS * (seen[:, :, 1].max(axis=0) - mean[:, 1])
    low = np.minimum(low, _OF_FLAT * flat[:, :, 0].min(axis=0))
    high = np.maximum(high, _OF_FLAT * flat[:, :, 1].max(axis=0))
    return {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}


def _extremes(model: Any, names: list[str], feeds: Iterable[Feed]) -> NDArray[np.float64]:
    """Return the lowest and highest value, 0 being among them, of each input and tensor (inputs, tensors, 2)."""
    import onnx

    onnxruntime = import_silent("onnxruntime")
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    for name in names:
        for kind in ("Min", "Max"):
            made = f"{name}_{kind}"
            watched.graph.node.append(onnx.helper.make_node(f"Reduce{kind}", [name], [made], keepdims=0))
            watched.graph.output.append(onnx.helper.make_tensor_value_info(made, onnx.TensorProto.FLOAT, []))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
    )
    found = np.array([session.run(None, feed) for feed in feeds], np.float64).reshape(-1, len(names), 2)
    found[:, :, 0] = np.minimum(found[:, :, 0], 0.0)
    found[:, :, 1] = np.maximum(found[:, :, 1], 0.0)
    return found
