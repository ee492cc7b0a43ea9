"""Weights for int8 are rounded for their outputs' sake, not each to its nearest step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rlfn.export.formats import export
from rlfn.export.int8 import calibration_pictures, quantize_onnx
from rlfn.export.request import ExportRequest
from rlfn.export.rounding import LARGEST, round_convolutions, round_weights
from rlfn.inference.loading import checkpoint_of
from rlfn.models import catalog
from rlfn.models.source import ModelSource
from rlfn.networks.integers import ROUNDED_IN_TRAINING


def related(count: int, inputs: int, seed: int = 0) -> NDArray[np.float64]:
    """Return inputs that tell much about each other, (count, inputs), as neighbouring pixels do."""
    random = np.random.default_rng(seed)
    return random.normal(size=(count, 3)) @ random.normal(size=(3, inputs)) + 0.1 * random.normal(size=(count, inputs))


def test_outputs_change_less_than_with_the_nearest_weights() -> None:
    given = related(400, 30)
    weight = np.random.default_rng(1).normal(size=(8, 30))
    steps = np.abs(weight).max(axis=1) / LARGEST
    found = round_weights(weight, steps, given.T @ given / len(given))
    nearest = np.clip(np.rint(weight / steps[:, None]), -LARGEST, LARGEST)
    errors = [np.square(given @ (each * steps[:, None] - weight).T).mean() for each in (found, nearest)]
    assert found.dtype == np.int8
    assert np.abs(found).max() <= LARGEST
    assert errors[0] < 0.2 * errors[1]
    assert np.abs(found - weight / steps[:, None]).max() < 8


def test_unrelated_inputs_have_the_nearest_weights() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 20))
    steps = np.full(4, 0.05)
    found = round_weights(weight, steps, np.diag(np.arange(1.0, 21.0)))
    assert np.array_equal(found, np.clip(np.rint(weight / 0.05), -LARGEST, LARGEST))


def test_inputs_that_are_never_there_are_no_error() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 6))
    found = round_weights(weight, np.full(4, 0.05), np.zeros((6, 6)))
    assert np.array_equal(found, np.clip(np.rint(weight / 0.05), -LARGEST, LARGEST))


@pytest.mark.parametrize(("kernel", "settings"), [(3, {"pads": [1] * 4}), (1, {}), (3, {"strides": [2, 2]})])
def test_a_convolution_of_any_kind_is_rounded_and_others_stay(kernel: int, settings: dict[str, list[int]]) -> None:
    """Inputs are taken as the convolution takes them: for each kernel, border and stride its outputs change less."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime import InferenceSession

    random = np.random.default_rng(0)
    weight = random.normal(size=(6, 3, kernel, kernel)).astype(np.float32)
    steps = np.abs(weight).reshape(6, -1).max(axis=1) / LARGEST
    nearest = np.rint(weight / steps.reshape(-1, 1, 1, 1)).astype(np.int8)

    def model(quantised: bool, groups: int = 1) -> onnx.ModelProto:
        sizes = (1, 3, "height", "width")
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name in "xy")
        constants = {"w": weight[:, : 3 // groups]}
        if quantised:
            constants = {"integers": nearest[:, : 3 // groups], "steps": steps.astype(np.float32)}
            constants["zero"] = np.zeros(6, np.int8)
        nodes = (
            [helper.make_node("DequantizeLinear", ["integers", "steps", "zero"], ["w"], axis=0)] if quantised else []
        )
        nodes.append(helper.make_node("Conv", ["x", "w"], ["y"], name="conv", group=groups, **settings))
        tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
        graph = helper.make_graph(nodes, "one", [x], [y], tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)

    smooth = np.cumsum(np.cumsum(random.normal(size=(1, 3, 40, 40)), axis=2), axis=3).astype(np.float32)
    before, after = model(True), model(True)
    round_convolutions(model(False), after, ["conv"], [{"x": smooth}])

    def outputs(made: onnx.ModelProto) -> NDArray[np.float32]:
        session = InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {"x": smooth})[0])

    errors = [np.square(outputs(each) - outputs(model(False))).mean() for each in (after, before)]
    assert errors[0] < 0.9 * errors[1]
    grouped = model(True, groups=3)
    round_convolutions(model(False, groups=3), grouped, ["conv"], [{"x": smooth}])
    assert grouped == model(True, groups=3)


@pytest.mark.parametrize(("metadata", "nearest"), [({}, False), ({ROUNDED_IN_TRAINING: "true"}, True)])
def test_a_network_that_was_trained_for_the_nearest_weights_keeps_them(
    metadata: dict[str, str], nearest: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr("rlfn.export.int8.round_convolutions", lambda *given: calls.append("compensated"))
    checkpoint = replace(checkpoint_of(ModelSource("rlfn-xxs-photo-x2")), metadata=metadata)
    export(checkpoint, "onnx", tmp_path / "x.onnx", ExportRequest("int8", shape=(1, 3, 16, 16)))
    assert bool(calls) != nearest


def test_an_export_rounds_so(monkeypatch: pytest.MonkeyPatch) -> None:
    data = catalog.get_model("rlfn-xxs-photo-x2").file(catalog.GRAPH).read()
    pictures = calibration_pictures(None, 1)[:2]
    made = quantize_onnx(data, pictures)
    monkeypatch.setattr("rlfn.export.int8.round_convolutions", lambda *given: None)
    assert quantize_onnx(data, pictures) != made


def test_computed_weights_stay() -> None:
    from onnx import TensorProto, helper, numpy_helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, "height", "width")) for name in "xy")
    nodes = [helper.make_node("Neg", ["raw"], ["w"]), helper.make_node("Conv", ["x", "w"], ["y"], name="conv")]
    raw = numpy_helper.from_array(np.ones((6, 3, 1, 1), np.float32), "raw")
    model = helper.make_model(helper.make_graph(nodes, "one", [x], [y], [raw]))
    made = helper.make_model(helper.make_graph(nodes, "one", [x], [y], [raw]))
    round_convolutions(model, made, ["conv"], [])
    assert made == model
