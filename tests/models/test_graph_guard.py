"""What an ONNX file may hold before an engine sees it."""

from __future__ import annotations

import random
import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rlfn.errors import ModelError
from rlfn.inference.engines.onnxruntime import OnnxRuntimeEngine
from rlfn.inference.upscaler import Upscaler
from rlfn.models import catalog
from rlfn.models.graph_guard import check_graph

_FACTS = {"variant": "x", "scale": "1", "min_side": "1", "margin": "0", "stride": "1", "value_range": "255"}


def _model(nodes=None, weights=(), facts=_FACTS, name="lr"):
    shape = ["n", 3, "h", "w"]
    graph = helper.make_graph(
        nodes or [helper.make_node("Identity", [name], ["sr"])],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("sr", TensorProto.FLOAT, shape)],
        list(weights),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, dict(facts))
    return model


def _refused(model, words):
    data = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(ModelError, match=re.escape(words)) as told:
        check_graph(data, "x.onnx")
    assert "x.onnx" in str(told.value)


@pytest.mark.parametrize("file", [file for row in catalog.models().values() for file in row.files], ids=str)
def test_packaged_graphs_pass(file):
    if file.format == catalog.GRAPH:
        check_graph(file.read(), file.path.name)


def test_plain_graph_runs_from_a_file(tmp_path):
    (tmp_path / "a.onnx").write_bytes(_model().SerializeToString())
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    assert np.array_equal(Upscaler(tmp_path / "a.onnx", engine="onnxruntime")(image), image)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("located", [True, False])
def test_external_data_is_refused_before_an_engine(tmp_path, engine, located):
    weight = numpy_helper.from_array(np.ones(3, np.float32), "w")
    weight.ClearField("raw_data")
    weight.external_data.add(key="location", value="*/_ORT_MEM_ADDR_/*")
    weight.external_data.add(key="offset", value="4096")
    if located:
        weight.data_location = TensorProto.EXTERNAL
    model = _model(weights=[weight])
    _refused(model, "external data")
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="external data"):
        Upscaler(tmp_path / "a.onnx", engine=engine)


def test_location_alone_is_refused():
    weight = numpy_helper.from_array(np.ones(3, np.float32), "w")
    weight.data_location = TensorProto.EXTERNAL
    _refused(_model(weights=[weight]), "external data")


def test_external_data_inside_a_constant_is_refused():
    weight = numpy_helper.from_array(np.ones(3, np.float32), "w")
    weight.external_data.add(key="location", value="/etc/passwd")
    nodes = [helper.make_node("Constant", [], ["c"], value=weight), helper.make_node("Add", ["lr", "c"], ["sr"])]
    _refused(_model(nodes), "external data")


def test_loops_and_branches_are_refused():
    inner = _model().graph
    _refused(_model([helper.make_node("Loop", ["lr"], ["sr"], body=inner)]), "a graph inside an operator")
    _refused(_model([helper.make_node("If", ["lr"], ["sr"], then_branch=inner)]), "a graph inside an operator")
    _refused(_model([helper.make_node("Scan", ["lr"], ["sr"])]), "the operator 'Scan'")


@pytest.mark.parametrize("kind", ["ConstantOfShape", "Expand", "Tile", "RandomNormal", "Lo\x1bop", ""])
def test_unknown_and_allocating_operators_are_refused(kind):
    _refused(_model([helper.make_node(kind, ["lr"], ["sr"])]), "the operator")


def test_operators_of_other_domains_are_refused():
    _refused(_model([helper.make_node("Conv", ["lr"], ["sr"], domain="com.microsoft")]), "domain 'com.microsoft'")


def test_functions_and_training_are_refused():
    model = _model()
    model.functions.add(name="f")
    _refused(model, "functions of its own")
    model = _model()
    model.training_info.add()
    _refused(model, "training information")


def test_sparse_weights_and_texts_are_refused():
    model = _model()
    model.graph.sparse_initializer.add()
    _refused(model, "sparse tensors")
    _refused(_model(weights=[helper.make_tensor("w", TensorProto.STRING, [1], [b"x"])]), "tensors of text")


def test_shapes_must_match_their_samples():
    weight = numpy_helper.from_array(np.ones(3, np.float32), "w")
    weight.dims[0] = 1 << 40
    _refused(_model(weights=[weight]), "with 3 samples")
    weight = numpy_helper.from_array(np.ones(3, np.float32), "w")
    weight.int32_data.append(1)
    _refused(_model(weights=[weight]), "in int32_data")
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-1])
    _refused(_model(weights=[weight]), "of the shape (-1,)")


def test_huge_numbers_of_operators_are_refused():
    _refused(_model([helper.make_node("MaxPool", ["lr"], ["sr"], pads=[1 << 40])]), "the number 1099511627776")


def test_fields_that_protobuf_would_merge_are_refused():
    data = _model().SerializeToString()
    _refused(data + data, "more than once")
    weight = numpy_helper.from_array(np.ones(3, np.float32), "w").SerializeToString()
    node = helper.make_node("Constant", [], ["c"])
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
    attribute = node.attribute[0].SerializeToString() + 2 * (b"\x2a" + bytes([len(weight)]) + weight)
    raw = node.SerializeToString()[: -len(node.attribute[0].SerializeToString()) - 2]
    raw += b"\x2a" + bytes([len(attribute)]) + attribute
    graph = b"\x0a" + bytes([len(raw)]) + raw
    _refused(b"\x3a" + bytes([len(graph)]) + graph, "attribute.t is there more than once")


@pytest.mark.parametrize(
    "data", [b"", b"<?xml version='1.0'?><net/>", b"\x80" * 40, b"\x3a\x7f", b"PK\x03\x04", b"\x0b\x0c"], ids=repr
)
def test_other_bytes_are_refused(data):
    _refused(data, "it ")


def test_parts_are_limited():
    _refused(b"\x08\x01" + b"\x72\x00" * 1_100_000, "more than 1,000,000 parts")


def test_accepted_files_load_or_raise_a_clear_error(tmp_path):
    """Changed bytes of a graph: refused, or an engine says what is wrong, or it runs."""
    good, rng = _model().SerializeToString(), random.Random(0)
    for _ in range(300):
        data = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            check_graph(bytes(data), "x")
            OnnxRuntimeEngine(bytes(data), 1)
        except ModelError:
            continue
