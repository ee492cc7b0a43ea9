"""A run of a network with branches: what it writes, and where the next one may start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_pack, tiny_recipe

from rlfn.errors import ModelError
from rlfn.models.variants import VARIANTS, PlainFields, Variant, get_variant
from rlfn.networks.checkpoints import load_checkpoint, save_checkpoint
from rlfn.networks.fuse import fuse
from rlfn.networks.plain import BranchedConv
from rlfn.training.devices import Devices
from rlfn.training.loop import train
from rlfn.training.optim import split_parameters
from rlfn.training.recipe_files import load_recipe
from rlfn.training.reporting import read_metrics
from rlfn.training.stages import start_network

CPU = Devices(accelerator="cpu")
MUON = {"name": "muon", "lr": 5e-3, "adam_lr": 2e-3, "weight_decay": 0.2}


@pytest.fixture(autouse=True)
def variants(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, expand in (("tiny-xs", 0), ("tiny-xs-train", 2)):
        monkeypatch.setitem(VARIANTS, name, Variant(name, "plain", PlainFields(2, 8, expand), "for tests"))


def start(init: str, variant: str, scale: int = 2, tail: str = "resample") -> torch.nn.Module:
    recipe = tiny_recipe({"iterations": 1, "init": init, "tail": tail}, scale=scale, variant=variant)
    torch.manual_seed(5)
    return start_network(recipe, recipe.stages[0], None).eval()


def test_a_run_with_branches_writes_the_plain_network_and_its_training_form(tmp_path: Path) -> None:
    data = tiny_pack(tmp_path)
    recipe = tiny_recipe(
        {"init": "interpolate", "iterations": 40, "optimizer": MUON},
        {"init": "previous", "iterations": 10},
        variant="tiny-xs-train",
        validation={"every": 25, "pictures": 2, "crop": 20},
    )
    out = tmp_path / "run"
    assert train(recipe, out, data=data, devices=CPU)
    found = [row["loss"] for row in read_metrics(out) if "loss" in row]
    assert len(found) == 50
    assert np.mean(found[-10:]) < np.mean(found[:5])
    for name in ("model", "best", "stage-1"):
        plain, wide = (load_checkpoint(out / f"{name}{end}.safetensors") for end in ("", "-train"))
        assert (plain.variant.name, wide.variant.name) == ("tiny-xs", "tiny-xs-train")
        assert plain.metadata["iterations"] == wide.metadata["iterations"]
        lr = torch.rand(1, 3, 9, 11) * 255.0
        wanted = wide.network(lr)
        assert float((plain.network(lr) - wanted).abs().max() / wanted.abs().max()) < 1e-5
    assert (out / "model.onnx").is_file()
    card = (out / "README.md").read_text()
    assert "# tiny-xs-x2" in card
    assert "| trained as | tiny-xs-train |" in card
    again = start(str(out / "model-train.safetensors"), "tiny-xs-train")
    wide = load_checkpoint(out / "model-train.safetensors").network
    assert torch.equal(again.convs[1].squeeze.weight, wide.convs[1].squeeze.weight)


@pytest.mark.parametrize("kept", ["tiny-xs", "tiny-xs-train"])
@pytest.mark.parametrize("wanted", ["tiny-xs", "tiny-xs-train"])
def test_a_run_starts_from_either_form(kept: str, wanted: str, tmp_path: Path) -> None:
    source = start("scratch", kept)
    save_checkpoint(tmp_path / "m.safetensors", source, get_variant(kept), 2)
    network = start(str(tmp_path / "m.safetensors"), wanted)
    assert isinstance(network.convs[1], BranchedConv) == (wanted == "tiny-xs-train")
    lr = torch.rand(1, 3, 9, 10)
    with torch.no_grad():
        expected = source(lr * 255.0) / 255.0
        assert torch.allclose(network(lr), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3])
def test_another_scale_keeps_the_body_and_the_anchor(scale: int, tmp_path: Path) -> None:
    source = start("interpolate", "tiny-xs-train", 4)
    save_checkpoint(tmp_path / "m.safetensors", fuse(source), get_variant("tiny-xs"), 4)
    for tail in ("resample", "new"):
        network = fuse(start(str(tmp_path / "m.safetensors"), "tiny-xs-train", scale, tail))
        for old, new in zip(fuse(source).convs[1:-1], network.convs[1:-1], strict=True):
            assert torch.allclose(new.weight, old.weight, atol=1e-6)
        assert network.anchor.kernel.shape == (3 * scale**2, 3, 1, 1)


def test_another_network_is_no_start(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m.safetensors", start("scratch", "rlfn-xs"), get_variant("rlfn-xs"), 2)
    with pytest.raises(ModelError, match="holds rlfn-xs, but the recipe trains tiny-xs-train"):
        start(str(tmp_path / "m.safetensors"), "tiny-xs-train")


def test_muon_takes_the_kernels_of_every_branch_and_adam_the_ends() -> None:
    network = start("scratch", "tiny-xs-train")
    matrices, others = split_parameters(network)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    branches = {f"convs.{n}.{branch}.weight" for n in (1, 2) for branch in ("conv3", "conv1", "expand", "squeeze")}
    assert {names[id(parameter)] for parameter in matrices} == branches
    assert {names[id(p)] for p in others if p.ndim == 4} == {"convs.0.weight", "convs.3.weight"}


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("tier", "variant"), [("s", "rlfn-s"), ("xs", "rlfn-xs-train")])
def test_the_recipes_of_the_shipped_models(tier: str, variant: str, scale: int) -> None:
    recipe = load_recipe(f"weights-{tier}-x{scale}", ["stages.0.init=some.safetensors", "stages.0.hours=0.5"])
    assert (recipe.variant, recipe.scale, recipe.data.held_out) == (variant, scale, 0.1)
    (stage,) = recipe.stages
    assert (stage.init, stage.hours, stage.optimizer.name) == ("some.safetensors", 0.5, "muon")
    assert [stage.sizes(at, scale)[0] for at in (0.0, 0.5, 0.8)] == [32, 40, 48]
    start = load_recipe(f"weights-{tier}-x{scale}").stages[0].init
    assert start == "interpolate" if scale == 4 else start.startswith(f"runs/weights-{tier}-x4/")


@pytest.mark.parametrize(
    ("tier", "variant", "scale"),
    [
        ("s", "rlfn-s", 2),
        ("s", "rlfn-s", 4),
        ("xs", "rlfn-xs-train", 2),
        ("xs", "rlfn-xs-train", 4),
        ("xxs", "rlfn-xxs-train", 2),
    ],
)
def test_the_recipes_of_the_models_for_photographs(tier: str, variant: str, scale: int) -> None:
    recipe = load_recipe(f"weights-{tier}-photo-x{scale}")
    assert (recipe.variant, recipe.scale, recipe.precision) == (variant, scale, "auto")
    assert (recipe.data.degradation, recipe.data.degradation_settings, recipe.data.held_out) == ("photo", {}, 0.1)
    (stage,) = recipe.stages
    assert stage.init == "interpolate" if tier == "xxs" else stage.init.startswith(f"runs/weights-{tier}-x{scale}/")
    assert (stage.loss, stage.optimizer.weight_decay, stage.sizes(0.0, scale)[0]) == ({"l1": 1.0}, 0.03, 48)
