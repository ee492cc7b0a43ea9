"""Quantisation ranges of an int8 graph's tensors: narrow, but wide enough for rare values and flat colours."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.export.feeds import Feed, open_session

_OUTWARDS = 0.25
"""Position of a range's end between the mean of the pictures' extremes (0) and the most extreme of them (1)."""

OF_FLAT = (0.5, 0.85)
"""Fractions of the extremes on flat colours that a range covers at least: the usual one, and a wider one."""

_FLAT_SIDE = 32
_GRAYS = (64, 128, 192)

Range = tuple[float, float]
"""A tensor's lowest and highest value."""


def flat_colours() -> list[NDArray[np.uint8]]:
    """Return flat pictures (H, W, 3) of black, white, the six pure colours and three grays.

    Such areas are common in screenshots and drawings but not in photographs: on saturated colours the outputs of the
    first layers are several times as large as on photographs.
    """
    colours = [*product((0, 255), repeat=3), *((gray,) * 3 for gray in _GRAYS)]
    return [np.full((_FLAT_SIDE, _FLAT_SIDE, 3), colour, np.uint8) for colour in colours]


def ranges(
    model: Any, tensors: Iterable[str], pictures: Iterable[Feed], flats: Iterable[Feed], of_flat: float = OF_FLAT[0]
) -> dict[str, Range]:
    """Return the quantisation range of each tensor.

    The mean of the pictures' extremes alone clips values that few pictures have, which loses 0.05 dB; the most extreme
    values alone make the steps coarse. Flat colours would count too little in a mean, so they are a separate bound.

    Args:
        model: an ONNX model.
        tensors: names of its values.
        pictures: inputs made of typical pictures.
        flats: inputs made of flat colours.
        of_flat: the fraction of the extremes on ``flats`` that a range covers at least.
    """
    names = list(tensors)
    seen = _extremes(model, names, pictures)
    flat = _extremes(model, names, flats)
    mean = seen.mean(axis=0)
    low = mean[:, 0] + _OUTWARDS * (seen[:, :, 0].min(axis=0) - mean[:, 0])
    high = mean[:, 1] + _OUTWARDS * (seen[:, :, 1].max(axis=0) - mean[:, 1])
    low = np.minimum(low, of_flat * flat[:, :, 0].min(axis=0))
    high = np.maximum(high, of_flat * flat[:, :, 1].max(axis=0))
    return {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}


def _extremes(model: Any, names: list[str], feeds: Iterable[Feed]) -> NDArray[np.float64]:
    """Return the lowest and highest value, with 0 included, of each tensor for each input: (inputs, tensors, 2)."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    for name in names:
        for kind in ("Min", "Max"):
            made = f"{name}_{kind}"
            watched.graph.node.append(onnx.helper.make_node(f"Reduce{kind}", [name], [made], keepdims=0))
            watched.graph.output.append(onnx.helper.make_tensor_value_info(made, onnx.TensorProto.FLOAT, []))
    session = open_session(watched.SerializeToString())
    found = np.array([session.run(None, feed) for feed in feeds], np.float64).reshape(-1, len(names), 2)
    found[:, :, 0] = np.minimum(found[:, :, 0], 0.0)
    found[:, :, 1] = np.maximum(found[:, :, 1], 0.0)
    return found
