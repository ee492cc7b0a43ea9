"""The plain chain: exact tiles, an anchor that carries RGB, a start that interpolates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rlfn.inference.engines.onnxruntime import OnnxRuntimeEngine
from rlfn.inference.upscaler import Upscaler
from rlfn.models.variants import TILE_NEEDS, VARIANTS, PlainFields, Variant, get_variant
from rlfn.networks import Checkpoint, build, save_checkpoint
from rlfn.networks.fuse import fuse_checkpoint
from rlfn.networks.graph import onnx_bytes
from rlfn.networks.plain import Plain, nearest_kernel

FORMS = [name for name, row in VARIANTS.items() if row.architecture == "plain"]


def restless(variant: Variant, scale: int, seed: int = 0) -> nn.Module:
    """Return a network whose answer depends on everything it sees: a random start, with biases."""
    torch.manual_seed(seed)
    network = build(variant, scale).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.normal_(std=0.3)
    return network


@pytest.mark.parametrize("scale", range(1, 9))
def test_without_its_last_layer_the_network_is_nearest_neighbour_upsampling(scale: int) -> None:
    network = Plain(PlainFields(2, 4), scale).requires_grad_(False)
    last = network.convs[-1]
    last.weight.zero_()
    last.bias.zero_()
    lr = torch.rand(2, 3, 5, 7)
    assert torch.equal(network(lr), lr.repeat_interleave(scale, 2).repeat_interleave(scale, 3))
    assert set(nearest_kernel(scale).unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("name", FORMS)
def test_the_interpolating_start_equals_bilinear_upsampling(name: str, scale: int) -> None:
    torch.manual_seed(scale)
    network = build(get_variant(name), scale)
    network.start_as_interpolation()
    lr = torch.rand(2, 3, 9, 12)
    wanted = F.interpolate(lr, scale_factor=scale, mode="bilinear", align_corners=False)
    with torch.no_grad():
        inner = (network(lr) - wanted)[..., scale:-scale, scale:-scale]
    assert float(inner.abs().max()) < 1e-5


@pytest.mark.parametrize("name", FORMS)
def test_after_three_steps_from_an_interpolation_every_parameter_learns(name: str) -> None:
    torch.manual_seed(0)
    network = build(get_variant(name), 2)
    network.start_as_interpolation()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    lr, hr = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 32, 32)
    for _ in range(3):
        optimizer.zero_grad()
        (network(lr) - hr).abs().mean().backward()
        optimizer.step()
    assert [name for name, p in network.named_parameters() if not bool(p.grad.abs().sum() > 0)] == []


@pytest.mark.parametrize("layers", [0, 1, 5])
def test_the_receptive_field_is_the_radius(layers: int) -> None:
    fields = PlainFields(layers, 6)
    network = restless(Variant("chain", "plain", fields, ""), 1).double()
    radius = TILE_NEEDS["plain"].margin(fields)
    side = 2 * radius + 5
    middle = side // 2
    lr = torch.rand(1, 3, side, side, dtype=torch.float64) + 0.5
    changed = lr.clone()
    changed[0, :, middle, middle] += 1000.0
    rows = (network(changed) - network(lr)).abs().amax((0, 1, 3)).nonzero().flatten()
    assert (int(rows.min()), int(rows.max())) == (middle - radius, middle + radius)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the training form's weights, which torch runs, and its graph."""
    folder, variant = tmp_path_factory.mktemp("plain"), get_variant("rlfn-xs-train")
    checkpoint = Checkpoint(restless(variant, 2), variant, 2)
    save_checkpoint(folder / "torch.safetensors", checkpoint.network, variant, 2)
    (folder / "graph.onnx").write_bytes(onnx_bytes(checkpoint))
    return folder


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "torch"])
def test_tiles_equal_the_whole_picture(engine: str, files: Path) -> None:
    path = files / ("torch.safetensors" if engine == "torch" else "graph.onnx")
    margin = get_variant("rlfn-xs").fields.layers + 2
    image = np.random.default_rng(0).integers(0, 256, (61, 54, 3), np.uint8)
    whole = Upscaler(path, engine=engine, tile=0)(image).astype(int)
    upscaler = Upscaler(path, engine=engine, tile=2 * margin + 13)
    traits = upscaler._engine.traits
    assert (traits.variant, traits.margin, traits.stride, traits.min_side) == ("rlfn-xs", margin, 1, 1)
    tiled = upscaler(image).astype(int)
    assert whole.std() > 10.0
    # float sums in another order may fall on the other side of a half
    assert np.abs(tiled - whole).max() <= 1
    assert (tiled != whole).mean() < 1e-3


@pytest.mark.parametrize("scale", [1, 3])
def test_the_graph_equals_torch_and_has_only_plain_operations(scale: int) -> None:
    onnx = pytest.importorskip("onnx")
    variant = Variant("chain", "plain", PlainFields(2, 5, expand=2), "")
    checkpoint = Checkpoint(restless(variant, scale), variant, scale)
    data = onnx_bytes(checkpoint)
    graph = onnx.load_from_string(data).graph
    found = [node.op_type for node in graph.node if node.op_type != "Constant"]
    assert sorted(set(found)) == ["Add", "Conv", "DepthToSpace", "Relu"]
    assert found.count("Conv") == 2 + 2 + 1
    lr = np.random.default_rng(1).uniform(0, 255, (2, 3, 1, 6)).astype(np.float32)
    wanted = checkpoint.network(torch.from_numpy(lr)).numpy()
    np.testing.assert_allclose(OnnxRuntimeEngine(data, 1)(lr), wanted, atol=0.01)
    assert fuse_checkpoint(checkpoint).variant.fields == PlainFields(2, 5)
