"""Weights rounded to integers such that a convolution's outputs change least.

Each weight to the nearest step makes each weight's error least, but the errors add up in the outputs. Here weights are
rounded one after another, and those that follow make up for the error as far as the inputs are correlated: GPTQ
(Frantar et al., 2022, arXiv 2210.17323), after Optimal Brain Surgeon (Hassibi and Stork, 1993).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.export.feeds import Feed, open_session

LARGEST = 64
"""The largest integer weight: 7 of 8 bits (see :func:`rlfn.export.int8.quantize_onnx`)."""

_DAMPING = 0.01
"""What is added to the squares of the inputs, as a share of their mean, so that rare inputs keep their weights."""

_EVERY = 2
"""Patches are taken at every second row and column: neighbours are almost equal."""


def round_convolutions(model: Any, made: Any, names: Iterable[str], pictures: Iterable[Feed]) -> None:
    """Round the weights of a quantised model's convolutions again, in place, from those of the model in fp32.

    Args:
        model: the ONNX model in fp32.
        made: the same model after ONNX Runtime's quantisation; its steps stay.
        names: names of the nodes, which both models share. Grouped and dilated convolutions keep their weights, and so
            do those whose weights are computed.
        pictures: inputs made of typical pictures.
    """
    import onnx

    wanted = {*names}
    constants = {item.name: item for item in model.graph.initializer}
    nodes = [
        node for node in model.graph.node if node.name in wanted and _is_plain(node) and node.input[1] in constants
    ]
    written = {item.name: item for item in made.graph.initializer}
    makers = {name: node for node in made.graph.node for name in node.output}
    quantised = {node.name: node for node in made.graph.node}
    for node, moment in zip(nodes, _moments(model, nodes, constants, pictures), strict=True):
        integers, steps = makers[quantised[node.name].input[1]].input[:2]
        weight = onnx.numpy_helper.to_array(constants[node.input[1]])
        found = round_weights(
            weight.reshape(len(weight), -1), onnx.numpy_helper.to_array(written[steps]).reshape(-1), moment
        )
        written[integers].CopyFrom(onnx.numpy_helper.from_array(found.reshape(weight.shape), integers))


def round_weights(weight: NDArray[Any], steps: NDArray[Any], moment: NDArray[Any]) -> NDArray[np.int8]:
    """Return weights as integers from -64 to 64 whose products with the inputs differ least, in the mean square.

    Args:
        weight: (outputs, inputs).
        steps: the value of 1 for each output, (outputs,).
        moment: the mean of the inputs' products, (inputs, inputs).
    """
    moment = moment.astype(np.float64)
    damped = moment + np.eye(len(moment)) * max(_DAMPING * float(np.diag(moment).mean()), 1e-12)
    order = np.argsort(-np.diag(damped), kind="stable")  # the inputs with the most effect come first
    left = weight[:, order].astype(np.float64) / steps[:, None]
    follow = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
    rounded = np.zeros_like(left)
    for place in range(len(moment)):
        rounded[:, place] = np.clip(np.rint(left[:, place]), -LARGEST, LARGEST)
        error = (left[:, place] - rounded[:, place]) / follow[place, place]
        left[:, place + 1 :] -= error[:, None] * follow[place, place + 1 :]
    found = np.empty(rounded.shape, np.int8)
    found[:, order] = rounded
    return found


def _is_plain(node: Any) -> bool:
    """Tell whether a node is a convolution without groups and holes."""
    values = {item.name: (list(item.ints) or [item.i]) for item in node.attribute}
    return node.op_type == "Conv" and all({*values.get(name, [1])} == {1} for name in ("group", "dilations"))


def _moments(
    model: Any, nodes: list[Any], constants: dict[str, Any], pictures: Iterable[Feed]
) -> list[NDArray[np.float64]]:
    """Return the mean of the products of each convolution's inputs, in the order of its weights: (inputs, inputs)."""
    import onnx

    if not nodes:
        return []
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    names = list(dict.fromkeys(node.input[0] for node in nodes))
    for name in names:
        watched.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = open_session(watched.SerializeToString())
    totals: list[NDArray[np.float64] | None] = [None] * len(nodes)
    counts = [0] * len(nodes)
    for feed in pictures:
        values = dict(zip(names, session.run(None, feed), strict=True))
        for number, node in enumerate(nodes):
            patches = _patches(values[node.input[0]], constants[node.input[1]].dims, node)
            product = (patches.T @ patches).astype(np.float64)
            total = totals[number]
            totals[number] = product if total is None else total + product
            counts[number] += len(patches)
    return [total / count for total, count in zip(totals, counts, strict=True) if total is not None]


def _patches(values: NDArray[Any], shape: Iterable[int], node: Any) -> NDArray[Any]:
    """Return what a convolution reads at every second place, (places, inputs)."""
    _, channels, *kernel = shape
    attributes = {item.name: list(item.ints) for item in node.attribute}
    top, left, bottom, right = attributes.get("pads") or [0] * 4
    down, across = (stride * _EVERY for stride in attributes.get("strides") or (1, 1))
    padded = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows: NDArray[Any] = np.lib.stride_tricks.sliding_window_view(padded, tuple(kernel), (2, 3))[
        :, :, ::down, ::across
    ]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, channels * kernel[0] * kernel[1])
