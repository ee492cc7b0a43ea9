"""int8 in OpenVINO's own IR, quantised by NNCF; what stays float is as in :mod:`rlfn.export.int8`."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from rlfn.errors import MissingExtraError
from rlfn.export.banding import Run, largest_step, without_bands
from rlfn.export.feeds import feeds
from rlfn.inference.engines.openvino import openvino_core
from rlfn.networks.integers import is_sensitive
from rlfn.networks.quiet import quiet
from rlfn.telemetry import import_silent

_CONVOLUTIONS = ("Convolution", "GroupConvolution")


def quantize_openvino(graph: Any, pictures: list[NDArray[Any]]) -> Any:
    """Return an OpenVINO model quantised by NNCF, in ranges from the lowest to the highest value of all pictures.

    With NNCF's default, the mean of the pictures' extremes, highlights of a photograph are up to 63 levels off in
    ``rlfn-xs``. If smooth gradients would show bands, the convolution before the last one stays float too, where that
    helps.

    Raises:
        MissingExtraError: nncf is not installed.
    """
    sides = {
        item.get_any_name(): [side.get_length() if side.is_static else 0 for side in item.get_partial_shape()]
        for item in graph.inputs
    }
    full = _run(graph)
    return without_bands(
        lambda smooth: _quantize_most(graph.clone(), sides, pictures, smooth),
        lambda made: largest_step(full, _run(made), sides),
    )


def _quantize_most(graph: Any, sides: dict[str, list[int]], pictures: list[NDArray[Any]], smooth: bool) -> Any:
    try:
        with quiet():
            nncf = import_silent("nncf")
            from nncf.quantization.range_estimator import RangeEstimatorParametersSet
    except ImportError:
        raise MissingExtraError("Quantising for OpenVINO", "int8") from None
    given = list(feeds(sides, pictures))
    with quiet():
        return nncf.quantize(
            graph,
            nncf.Dataset(given),
            subset_size=len(given),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(names=_float_nodes(graph, smooth)),
            fast_bias_correction=True,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
        )


def _float_nodes(graph: Any, smooth: bool) -> list[str]:
    """Return the names of the convolutions that stay float, with those that the last ones read if ``smooth``."""
    nodes = [node for node in graph.get_ordered_ops() if node.get_type_name() in _CONVOLUTIONS]
    sensitive = [node for node in nodes if is_sensitive(node.input_value(1).get_node().get_friendly_name())]
    last = _convolutions_behind([result.input_value(0).get_node() for result in graph.get_results()])
    before = _convolutions_behind([node.input_value(0).get_node() for node in last]) if smooth else []
    return list(dict.fromkeys(node.get_friendly_name() for node in (nodes[0], *sensitive, *last, *before)))


def _convolutions_behind(waiting: list[Any]) -> list[Any]:
    """Return the convolutions that are met first on the way back from nodes of the graph."""
    found = []
    while waiting:
        node = waiting.pop()
        if node.get_type_name() in _CONVOLUTIONS:
            found.append(node)
        else:
            waiting += [value.get_node() for value in node.input_values()]
    return found


def _run(graph: Any) -> Run:
    compiled = openvino_core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda feed: compiled(feed)[0]
