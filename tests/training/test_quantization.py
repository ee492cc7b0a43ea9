"""Training against int8's rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY, tiny_recipe

from rlfn.errors import OptionError
from rlfn.models.variants import VARIANTS, PlainFields, Variant, get_variant
from rlfn.networks import build
from rlfn.networks.checkpoints import load_checkpoint
from rlfn.networks.integers import ROUNDED_IN_TRAINING, integer_convolutions
from rlfn.training import results
from rlfn.training.devices import Devices
from rlfn.training.loop import train
from rlfn.training.quantization import FakeQuantizer, round_activations, round_weights

CPU = Devices(accelerator="cpu")
PLAIN = Variant("tiny-plain", "plain", PlainFields(3, 8), "for tests")


@pytest.fixture(autouse=True)
def tiny_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in (TINY, PLAIN):
        monkeypatch.setitem(VARIANTS, row.name, row)
    monkeypatch.setattr(results, "_write_onnx", lambda *given: None)


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_checkpoint(run / "model.safetensors").network.state_dict()
    return state


def test_activations_fall_on_256_levels_and_0_stays_0() -> None:
    x = torch.tensor([-1.0, -0.4, 0.0, 0.3333, 2.0, 9.0])
    limits = torch.tensor([-0.5, 2.05])
    found = round_activations(x, limits)
    step = 2.55 / 255
    assert found[2] == 0.0
    assert torch.allclose(found / step, (found / step).round(), atol=1e-4)
    assert float((found[1:5] - x[1:5]).abs().max()) <= step / 2 + 1e-6
    assert float(found[0]) == pytest.approx(-0.5, abs=step)
    assert float(found[5]) == pytest.approx(2.05, abs=step)


def test_weights_fall_on_64_steps_for_each_output_and_gradients_pass() -> None:
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 3, 3) * torch.tensor([1.0, 10.0, 0.1, 0.0])[:, None, None, None]
    weight.requires_grad_(True)
    found = round_weights(weight)
    steps = weight.detach().abs().amax(dim=(1, 2, 3), keepdim=True) / 64
    whole = (found / steps.clamp(min=1e-9)).detach()
    assert torch.allclose(whole, whole.round(), atol=1e-3)
    assert bool(((found - weight).abs() <= steps / 2 + 1e-6).all())
    found.sum().backward()
    assert torch.equal(weight.grad, torch.ones_like(weight))


@pytest.mark.parametrize("name", ["tiny", "tiny-plain"])
def test_the_same_convolutions_are_integers_as_in_the_export(name: str) -> None:
    import onnx

    from rlfn.export.int8 import float_layers
    from rlfn.networks.checkpoints import Checkpoint
    from rlfn.networks.graph import onnx_bytes

    network = build(get_variant(name), 2)
    chosen = integer_convolutions(network)
    model = onnx.load_from_string(onnx_bytes(Checkpoint(network.eval(), get_variant(name), 2, {})))
    floats = set(float_layers(model))
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    weights = [
        constants[node.input[1]]
        for node in model.graph.node
        if node.op_type == "Conv" and node.name not in floats and node.input[1] in constants
    ]
    wanted = sorted(conv.weight.detach().numpy().tobytes() for conv in chosen.values())
    assert sorted(np.ascontiguousarray(weight).tobytes() for weight in weights) == wanted


def test_a_rounded_network_answers_differently_until_the_rounding_is_removed() -> None:
    torch.manual_seed(0)
    network = build(PLAIN, 2)
    names = list(network.state_dict())
    lr = torch.rand(1, 3, 12, 13)
    plain = network(lr).detach()
    rounding = FakeQuantizer(network)
    rounded = network(lr).detach()
    assert 0.0 < float((rounded - plain).abs().max()) < 0.1
    assert list(network.state_dict()) == names
    assert set(rounding.ranges) == {"convs.1", "convs.2", "convs.3"}
    before = {name: limits.clone() for name, limits in rounding.ranges.items()}
    network.eval()(10 * lr)
    assert all(torch.equal(before[name], limits) for name, limits in rounding.ranges.items())
    rounding.remove()
    assert torch.equal(network(lr), plain)


def test_a_stage_that_trains_for_int8_resumes_to_the_same_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_loop import interrupt

    stages = ({"init": "interpolate", "iterations": 6}, {"iterations": 8, "int8": True}, {"iterations": 3})
    recipe = tiny_recipe(*stages, saving={"every": 3})
    assert train(recipe, tmp_path / "whole", data=data, devices=CPU)
    with monkeypatch.context() as patch:
        assert not train(recipe, tmp_path / "cut", data=data, devices=CPU, stop=interrupt(patch, 11))
    assert train(recipe, tmp_path / "cut", data=data, devices=CPU, resume=True)
    whole, cut = (weights(tmp_path / name) for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    plain = tiny_recipe(*({**stage, "int8": False} for stage in stages), saving={"every": 3})
    assert train(plain, tmp_path / "plain", data=data, devices=CPU)
    other = weights(tmp_path / "plain")
    assert not all(torch.equal(whole[name], other[name]) for name in whole)


def test_a_model_tells_that_its_last_stage_rounded_the_weights(data: Path, tmp_path: Path) -> None:
    first, last = {"init": "interpolate", "iterations": 1, "int8": True}, {"iterations": 1}
    for name, stages in (("rounded", (first,)), ("not", (first, last))):
        assert train(tiny_recipe(*stages), tmp_path / name, data=data, devices=CPU)
        metadata = load_checkpoint(tmp_path / name / "model.safetensors").metadata
        assert (ROUNDED_IN_TRAINING in metadata) == (name == "rounded")


@pytest.mark.parametrize(
    ("variant", "said"), [("rlfn-xs-train", "branches"), ("edsr-baseline", "cannot be trained for")]
)
def test_networks_without_such_convolutions_are_refused(variant: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        FakeQuantizer(build(get_variant(variant), 2))
