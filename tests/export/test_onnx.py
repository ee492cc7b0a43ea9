"""ONNX export: equal to torch at every size, metadata inside, nothing written when it is not."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rlfn.errors import ModelError, OutputError
from rlfn.export import formats
from rlfn.export.formats import FORMATS, export
from rlfn.export.onnx import onnx_graph
from rlfn.export.request import ExportRequest
from rlfn.inference.engines.onnxruntime import OnnxRuntimeEngine
from rlfn.inference.upscaler import Upscaler
from rlfn.models.variants import RLFNFields, SPANFields, Variant
from rlfn.networks import Checkpoint, build, load_checkpoint, save_checkpoint
from rlfn.networks import graph as exporting
from rlfn.networks.agreement import TOLERANCES, allowed_by_rounding
from rlfn.networks.graph import onnx_bytes, source_hash

TINY = Variant("tiny", "rlfn", RLFNFields(blocks=1, channels=6, mid=6, esa_channels=4), "for tests")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    return Checkpoint(build(TINY, 3).eval(), TINY, 3)


@pytest.fixture(scope="module")
def graph(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    export(checkpoint, "onnx", path)
    return path


def test_the_ordinary_graph_has_one_input(graph: Path, checkpoint: Checkpoint) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(graph))
    assert [item.name for item in session.get_inputs()] == ["lr"]
    assert [item.name for item in session.get_outputs()] == ["sr"]
    facts = session.get_modelmeta().custom_metadata_map
    assert facts["variant"] == "tiny"
    assert (facts["scale"], facts["value_range"]) == ("3", "255")
    assert facts["source_sha256"] == source_hash(checkpoint)


@pytest.mark.parametrize("to", ["onnx", "rlfn"])
def test_the_graph_has_the_shapes_of_intermediate_values(checkpoint: Checkpoint, tmp_path: Path, to: str) -> None:
    """Without the shapes ONNX Runtime converts between layouts around every addition."""
    import onnx

    path = tmp_path / "tiny.onnx"
    export(checkpoint, to, path)
    graph = onnx.load(path).graph
    shapes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info)
    }
    between = {name for node in graph.node for name in node.output} - {"sr"}
    assert between <= shapes.keys()
    first = next(node for node in graph.node if node.op_type == "Conv")
    batch, _, *sides = shapes[first.input[0]]
    assert shapes[first.output[0]] == [batch, 6, *sides]


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 15, 15), (1, 15, 40), (3, 29, 18)])
def test_any_size_equals_torch(graph: Path, checkpoint: Checkpoint, batch: int, height: int, width: int) -> None:
    lr = np.random.default_rng(0).uniform(0, 255, (batch, 3, height, width)).astype(np.float32)
    with torch.inference_mode():
        wanted = checkpoint.network(torch.from_numpy(lr)).numpy()
    np.testing.assert_allclose(OnnxRuntimeEngine(graph.read_bytes(), 1)(lr), wanted, atol=0.01)


def test_a_users_graph_runs_in_every_graph_engine(graph: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    weights = tmp_path / "tiny.safetensors"
    save_checkpoint(weights, checkpoint.network, replace(TINY, name="rlfn-custom"), 3)
    image = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    wanted = Upscaler(weights, engine="torch")(image).astype(int)
    for engine in ("onnxruntime", "openvino"):
        assert np.abs(Upscaler(graph, engine=engine)(image) - wanted).max() <= 1


def test_a_graph_that_differs_is_not_written(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tracer that computes something else: here another network's graph."""
    other = exporting.runtime_graph(Checkpoint(build(TINY, 3).eval(), TINY, 3))
    monkeypatch.setattr(exporting, "runtime_graph", lambda given: other)
    with pytest.raises(ModelError, match="differs from torch"):
        onnx_bytes(checkpoint)
    row = replace(FORMATS["rlfn"], write=lambda given, request, path: path.write_bytes(other) and None)
    monkeypatch.setitem(formats.FORMATS, "rlfn", row)
    with pytest.raises(ModelError, match="differs from torch"):
        export(checkpoint, "rlfn", tmp_path / "out.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def loud() -> Checkpoint:
    """Return a SPAN that answers noise with values in the ten thousands, where fp32 itself is off by a tenth."""
    torch.manual_seed(0)
    variant = Variant("span-custom", "span", SPANFields(blocks=3, channels=8), "for tests")
    network = build(variant, 2).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.mul_(1.7)
    return Checkpoint(network, variant, 2)


def test_differences_explained_by_rounding_are_allowed(loud: Checkpoint, tmp_path: Path) -> None:
    lr = np.random.default_rng(0).uniform(0, 255, (1, 3, 64, 97)).astype(np.float32)
    assert float(loud.network(torch.from_numpy(lr)).abs().max()) > 10_000
    worst = TOLERANCES["fp32"].worst
    assert worst < allowed_by_rounding(loud.network, lr, worst) <= 0.5
    assert allowed_by_rounding(loud.network, lr, 2.0) == 2.0
    onnx_bytes(loud)
    export(loud, "onnx", tmp_path / "loud.onnx")


def test_more_than_rounding_is_not_allowed(loud: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A weight that is off by a tenth, in a network whose rounding is large."""
    network = copy.deepcopy(loud.network)
    next(network.parameters()).view(-1)[0].mul_(1.1)
    other = onnx_graph(replace(loud, network=network), ExportRequest())
    monkeypatch.setattr(exporting, "runtime_graph", lambda given: other)
    with pytest.raises(ModelError, match=r"differs from torch .* at most 0\.\d+ levels"):
        onnx_bytes(loud)


PEERS = ("imdn_x4", "rfdn_aim_x4", "span_ch28_x4")


@pytest.mark.parametrize("name", PEERS)
def test_reference_weights_run_in_the_graph_engines(name: str, shared: Path) -> None:
    """Real weights, among them a SPAN whose answers to noise reach -2900."""
    Upscaler(shared / "reference" / "peers" / f"{name}.pth", engine="onnxruntime", threads=1)


def test_an_unwritable_target_leaves_nothing(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be written"):
        export(checkpoint, "rlfn", tmp_path / "file" / "out.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_packaged_graph_is_the_packaged_weights() -> None:
    """Guards against a manifest whose files are of different training runs, but for what it says itself."""
    from rlfn.models import catalog

    for model in catalog.models().values():
        weights = load_checkpoint(model.file(catalog.TENSORS).path)
        for file in model.files:
            if file.format == catalog.GRAPH:
                graph = OnnxRuntimeEngine(file.read(), 1)._session.get_modelmeta().custom_metadata_map
                own = file.precision == "int8" and bool(model.int8_chain)  # weights of further stages
                assert (graph["source_sha256"] == source_hash(weights)) != own, file.path.name
