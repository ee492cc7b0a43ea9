"""Centred gradients: the same network, whose weights' steps leave the means of the outputs alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny import TINY, tiny_recipe
from torch import Tensor, nn

from rlfn.errors import OptionError
from rlfn.models.variants import VARIANTS, PlainFields, Variant
from rlfn.networks.build import build
from rlfn.networks.checkpoints import load_checkpoint
from rlfn.networks.plain import BranchedConv
from rlfn.training import results
from rlfn.training.centring import Centring
from rlfn.training.devices import Devices
from rlfn.training.loop import train

CPU = Devices(accelerator="cpu")
PLAIN = Variant("tiny-plain", "plain", PlainFields(layers=2, channels=8, expand=2), "for tests")
STAGE = {"init": "scratch", "iterations": 3, "ema": 0.0}


@pytest.fixture(autouse=True)
def tiny_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    monkeypatch.setitem(VARIANTS, "tiny-plain", PLAIN)
    monkeypatch.setattr(results, "_write_onnx", lambda *given: None)


def made(kind: str) -> nn.Conv2d | BranchedConv:
    return BranchedConv(4, 2) if kind == "branched" else nn.Conv2d(4, 6, 3, padding=1)


def kernel_and_bias(convolution: nn.Conv2d | BranchedConv) -> tuple[Tensor, Tensor]:
    if isinstance(convolution, BranchedConv):
        return convolution.kernel(torch.float32), convolution.conv3.bias
    return convolution.weight, convolution.bias


@pytest.mark.parametrize("kind", ["plain", "branched"])
def test_the_gradients_are_those_of_a_convolution_of_inputs_without_their_means(kind: str) -> None:
    torch.manual_seed(1)
    convolution = made(kind)
    x, weighting = torch.rand(3, 4, 9, 8) + 0.5, torch.randn(3, 4 if kind == "branched" else 6, 9, 8)
    centring = Centring(convolution)
    (convolution(x) * weighting).sum().backward()
    centring.before_step()
    found = {name: parameter.grad for name, parameter in convolution.named_parameters()}
    mean = x.mean((0, 2, 3))
    assert torch.allclose(centring.means[""], mean)

    convolution.zero_grad()
    kernel, bias = kernel_and_bias(convolution)
    offset = kernel.sum((2, 3)) @ mean  # c = bias + offset is held while the kernel changes
    y = F.conv2d(x, kernel, bias + offset.detach() - offset, padding=1)
    assert torch.allclose(y, convolution(x), atol=1e-5)
    (y * weighting).sum().backward()
    for name, parameter in convolution.named_parameters():
        assert torch.allclose(found[name], parameter.grad, rtol=1e-4, atol=1e-3), name


@pytest.mark.parametrize("kind", ["plain", "branched"])
def test_a_step_of_the_weights_leaves_the_outputs_for_mean_inputs_alone(kind: str) -> None:
    torch.manual_seed(2)
    convolution = made(kind)
    mean = torch.rand(4) + 0.5
    flat = mean[None, :, None, None].expand(1, 4, 5, 5)
    centring = Centring(convolution)
    before = convolution(flat)[:, :, 2, 2].detach()
    centring.before_step()
    with torch.no_grad():
        for parameter in convolution.parameters():
            if parameter.ndim == 4:
                parameter.add_(0.1 * torch.randn_like(parameter))
    assert not torch.allclose(convolution(flat)[:, :, 2, 2], before, atol=1e-2)
    centring.after_step()
    assert torch.allclose(convolution(flat)[:, :, 2, 2], before, atol=1e-5)


def test_the_means_are_averaged_over_the_steps_and_only_in_training() -> None:
    convolution = nn.Conv2d(1, 1, 1)
    centring = Centring(convolution)
    for level in (1.0, 3.0, 5.0):
        convolution(torch.full((1, 1, 2, 2), level))
        centring.before_step()
        centring.after_step()
    assert centring.means[""].tolist() == pytest.approx([3.0])
    convolution.eval()(torch.full((1, 1, 2, 2), 100.0))
    assert centring.means[""].tolist() == pytest.approx([3.0])
    convolution.train()
    again = Centring(nn.Conv2d(1, 1, 1))
    again.load(centring.dump())
    assert again.means[""].tolist() == pytest.approx([3.0])
    assert again.count == 3
    centring.remove()
    convolution(torch.full((1, 1, 2, 2), 100.0))
    assert centring.means[""].tolist() == pytest.approx([3.0])


@pytest.mark.parametrize("variant", ["tiny", "tiny-plain"])
def test_a_stage_is_trained_with_centred_gradients(variant: str, data: Path, tmp_path: Path) -> None:
    for name, centred in (("a", False), ("b", True), ("c", True)):
        recipe = tiny_recipe({**STAGE, "centred": centred}, variant=variant)
        assert train(recipe, tmp_path / name, data=data, devices=CPU)
    a, b, c = (load_checkpoint(tmp_path / name / "model.safetensors").network.state_dict() for name in "abc")
    assert not all(torch.equal(tensor, b[name]) for name, tensor in a.items())
    assert all(torch.equal(tensor, c[name]) for name, tensor in b.items())


def test_the_next_stage_does_not_go_on_centring(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_ones: list[Centring] = []
    init = Centring.__init__

    def remembered(self: Centring, network: nn.Module) -> None:
        init(self, network)
        made_ones.append(self)

    monkeypatch.setattr(Centring, "__init__", remembered)
    stages = ({**STAGE, "centred": True}, {"iterations": 3, "ema": 0.0, "carry_optimizer": True})
    assert train(tiny_recipe(*stages, variant="tiny-plain"), tmp_path / "run", data=data, devices=CPU)
    trained = made_ones[-1]
    assert trained.count == 3
    assert all(hook.id not in hook.hooks_dict_ref() for hook in trained._hooks)


def test_only_dense_convolutions_with_trained_weights_and_bias_are_centred() -> None:
    network = build(TINY, 2)
    names = set(Centring(network).means)
    assert "conv_1" in names
    network.get_submodule("conv_1").bias.requires_grad_(False)  # type: ignore[union-attr]
    assert set(Centring(network).means) == names - {"conv_1"}
    with pytest.raises(OptionError, match="Leave centred out"):
        Centring(nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 1, bias=False)))
