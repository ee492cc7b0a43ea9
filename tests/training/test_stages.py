from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from tiny import TINY, tiny_recipe

from rlfn.errors import ModelError, OptionError
from rlfn.models import catalog
from rlfn.models.variants import VARIANTS, get_variant
from rlfn.networks.build import ARCHITECTURES, build
from rlfn.networks.checkpoints import load_checkpoint, save_checkpoint
from rlfn.training.guard import Guard
from rlfn.training.learner import Learner
from rlfn.training.stages import finished, make_objective, resample_tail, run_network, start_network, trained_range


@pytest.fixture(autouse=True)
def tiny_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "tiny", TINY)


def start(stage: dict[str, object], scale: int = 2, variant: str = "tiny") -> torch.nn.Module:
    recipe = tiny_recipe({"iterations": 1, **stage}, scale=scale, variant=variant)
    return start_network(recipe, recipe.stages[0], None)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("variant", ["rlfn", "tiny", "rfdn"])
def test_the_interpolating_start_equals_bilinear_upsampling(scale: int, variant: str) -> None:
    torch.manual_seed(scale)
    network = start({"init": "interpolate"}, scale, variant)
    lr = torch.rand(2, 3, 17, 21)
    wanted = F.interpolate(lr, scale_factor=scale, mode="bilinear", align_corners=False)
    with torch.no_grad():
        inner = (network(lr) - wanted)[..., scale:-scale, scale:-scale]
    assert float(inner.abs().max()) < 1e-5


def test_after_two_steps_the_whole_network_learns() -> None:
    torch.manual_seed(0)
    network = start({"init": "interpolate"})
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    lr, hr = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 32, 32)
    for _ in range(3):
        optimizer.zero_grad()
        (network(lr) - hr).abs().mean().backward()
        optimizer.step()
    still = [name for name, parameter in network.named_parameters() if not bool(parameter.grad.abs().sum() > 0)]
    assert not still


@pytest.mark.parametrize("variant", ["rlfn-xs", "rlfn-xs-train"])
def test_a_packaged_model_is_a_start_and_a_teacher_by_its_name(variant: str) -> None:
    recipe = tiny_recipe(
        {"init": "rlfn-xs-x2", "teacher": "rlfn-xs-x2", "loss": {"distillation": 1.0}, "iterations": 1}, variant=variant
    )
    network = start_network(recipe, recipe.stages[0], None).eval()
    packaged = load_checkpoint(catalog.get_model("rlfn-xs-x2").file(catalog.TENSORS).path).network.eval()
    lr = torch.rand(1, 3, 24, 20)
    with torch.no_grad():
        made = network(lr)
        assert float((made - packaged(lr * 255) / 255).abs().max()) < 1e-4
        loss = make_objective(recipe, recipe.stages[0])(lr, made, made)[0]
    assert float(loss) < 1e-4


@pytest.mark.parametrize("variant", ["tiny", "edsr-baseline"])
def test_files_take_255_whatever_the_network_trained_in(variant: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = start({"init": "scratch"}, variant=variant).eval()
    save_checkpoint(tmp_path / "m.safetensors", finished(network), get_variant(variant), 2)
    lr = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        from_file = load_checkpoint(tmp_path / "m.safetensors").network(lr * 255.0) / 255.0
        assert torch.allclose(from_file, run_network(network, lr, trained_range(network)), atol=1e-5)
        again = start({"init": str(tmp_path / "m.safetensors")}, variant=variant).eval()
        assert torch.allclose(run_network(again, lr, trained_range(again)), from_file, atol=1e-5)


@pytest.mark.parametrize(("old", "new"), [(4, 2), (4, 3), (2, 4), (2, 3)])
def test_a_resampled_tail_answers_with_the_old_picture_resized(old: int, new: int) -> None:
    x = torch.rand(1, 5, 6, 6)
    weight, bias = torch.randn(3 * old * old, 5, 3, 3), torch.randn(3 * old * old)
    grids = F.conv2d(x, weight, bias).reshape(3, old, old, 4, 4)
    resampled = F.conv2d(x, resample_tail(weight, old, new), resample_tail(bias, old, new)).reshape(3, new, new, 4, 4)
    flat = grids.permute(3, 4, 0, 1, 2).reshape(16, 3, old, old)
    mode = {"mode": "area"} if new < old else {"mode": "bilinear", "align_corners": False}
    wanted = F.interpolate(flat, size=(new, new), **mode)
    assert torch.allclose(resampled.permute(3, 4, 0, 1, 2).reshape(16, 3, new, new), wanted, atol=1e-5)


def test_a_checkpoint_of_another_scale_shares_the_body(tmp_path: Path) -> None:
    source = build(TINY, 4)
    save_checkpoint(tmp_path / "x4.safetensors", source, TINY, 4)
    for tail in ("resample", "new"):
        network = start({"init": str(tmp_path / "x4.safetensors"), "tail": tail}, scale=2)
        assert torch.equal(network.block_1.c1_r.weight, source.block_1.c1_r.weight)
        assert network.upsampler[0].weight.shape[0] == 12
    halved = resample_tail(source.upsampler[0].weight, 4, 2) / 255.0
    resampled = start({"init": str(tmp_path / "x4.safetensors")}, scale=2).upsampler[0].weight
    assert torch.allclose(resampled, halved, atol=1e-7)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_can_be_trained(architecture: str, tmp_path: Path) -> None:
    variant = next(name for name, row in VARIANTS.items() if row.architecture == architecture)
    recipe = tiny_recipe({"init": "scratch", "iterations": 1, "optimizer": {"name": "muon"}}, variant=variant)
    learner = Learner.start(Fabric(accelerator="cpu", devices=1), recipe, 0, None)
    before = copy.deepcopy(learner.network.state_dict())
    side = max(ARCHITECTURES[architecture].min_side, 8)
    step = learner.step(torch.rand(1, 3, side, side), torch.rand(1, 3, 2 * side, 2 * side), 0.0, 1.0, Guard())
    assert 0.0 < step.loss < 10.0
    moved = [name for name, parameter in learner.network.named_parameters() if not torch.equal(parameter, before[name])]
    assert len(moved) > 0.9 * len(list(learner.network.parameters()))
    save_checkpoint(tmp_path / "m.safetensors", finished(learner.ema.network), get_variant(variant), 2)
    assert load_checkpoint(tmp_path / "m.safetensors").variant.name == variant


def test_what_cannot_start_says_why(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "other.safetensors", build(get_variant("rlfn-ntire"), 2), get_variant("rlfn-ntire"), 2)
    with pytest.raises(ModelError, match="holds rlfn-ntire, but the recipe trains tiny"):
        start({"init": str(tmp_path / "other.safetensors")})
    with pytest.raises(OptionError, match="cannot start as an interpolation"):
        start({"init": "interpolate"}, variant="span-ch28")
    recipe = tiny_recipe(
        {
            "init": "scratch",
            "iterations": 1,
            "teacher": str(tmp_path / "other.safetensors"),
            "loss": {"distillation": 1.0},
        },
        scale=3,
    )
    with pytest.raises(ModelError, match="upscales by 2, the recipe by 3"):
        make_objective(recipe, recipe.stages[0])
    recipe = tiny_recipe(
        {
            "init": "scratch",
            "iterations": 1,
            "loss": {"contrastive": 1.0},
            "contrastive": {"layer_weights": [1.0, 1.0, 1.0]},
        }
    )
    with pytest.raises(OptionError, match="compares 2 layers"):
        make_objective(recipe, recipe.stages[0])
