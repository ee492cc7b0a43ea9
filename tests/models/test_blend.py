"""Graphs blended by their bytes: equal to what the onnx package makes of them, and refused where they are not alike."""

from __future__ import annotations

import numpy as np
import pytest

from rlfn.errors import ModelError, OptionError
from rlfn.models import catalog
from rlfn.models.blend import Blend, blend_graphs
from rlfn.models.source import ModelSource

onnx = pytest.importorskip("onnx")


def packaged(name: str) -> bytes:
    return catalog.get_model(name).file(catalog.GRAPH).read()


def moved(graph: bytes, seed: int = 0) -> bytes:
    """Return the graph with other weights."""
    model = onnx.load_from_string(graph)
    random = np.random.default_rng(seed)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = np.frombuffer(tensor.raw_data, np.float32)
            tensor.raw_data = (values + random.normal(0, 0.01, values.shape)).astype(np.float32).tobytes()
    return bytes(model.SerializeToString())


def weights(graph: bytes) -> dict[str, np.ndarray]:
    return {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load_from_string(graph).graph.initializer}


@pytest.mark.parametrize("name", ["rlfn-s-x4", "rlfn-xs-x2"])
@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_every_float_weight_moves_and_nothing_else_changes(name: str, share: float) -> None:
    clean = packaged(name)
    photo = moved(clean)
    blended = blend_graphs(clean, photo, share)
    ends, found = (weights(clean), weights(photo)), weights(blended)
    assert any(values.dtype == np.float32 for values in found.values())
    for key, values in found.items():
        low, high = ends[0][key], ends[1][key]
        if values.dtype == np.float32:
            np.testing.assert_allclose(values, low + share * (high.astype(float) - low), rtol=1e-6, atol=1e-9)
        else:
            np.testing.assert_array_equal(values, low)
    before, after = onnx.load_from_string(clean), onnx.load_from_string(blended)
    assert before.graph.node == after.graph.node
    assert before.metadata_props == after.metadata_props


def test_share_0_is_the_clean_graph_byte_for_byte() -> None:
    clean = packaged("rlfn-xs-x2")
    assert blend_graphs(clean, moved(clean), 0.0) == clean


@pytest.mark.parametrize(
    "other",
    [
        packaged("rlfn-xs-x3"),
        packaged("rlfn-s-x2"),
        packaged("rlfn-xs-x2")[:-1000],
        b"\xff" * 100,
        b"",
    ],
    ids=["another scale", "another network", "cut short", "garbage", "nothing"],
)
def test_graphs_of_different_networks_are_refused(other: bytes) -> None:
    with pytest.raises(ModelError, match="are different networks"):
        blend_graphs(packaged("rlfn-xs-x2"), other, 0.5)


def test_a_blend_refuses_int8_and_shares_0_and_1() -> None:
    ends = ModelSource("rlfn-xs-x2"), ModelSource("rlfn-xs-x2")
    with pytest.raises(OptionError, match="int8 cannot be blended"):
        Blend(*ends, 0.5).graph("int8")
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(OptionError, match="above 0 and below 1"):
            Blend(*ends, share)
    assert Blend(*ends, 0.5).stamp != Blend(*ends, 0.25).stamp
