"""A stage that gives dormant units new weights, and ReLUs through which the gradient leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TINY, tiny_recipe

from rlfn.errors import OptionError
from rlfn.models.variants import VARIANTS, PlainFields, Variant
from rlfn.networks.checkpoints import load_checkpoint
from rlfn.networks.plain import LeakyGradient
from rlfn.training import results
from rlfn.training.devices import Devices
from rlfn.training.loop import train

CPU = Devices(accelerator="cpu")
STAGE = {"init": "scratch", "iterations": 2, "ema": 0.0}
PLAIN = Variant("tiny-plain", "plain", PlainFields(layers=2, channels=8, expand=2), "for tests")


@pytest.fixture(autouse=True)
def tiny_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    monkeypatch.setitem(VARIANTS, "tiny-plain", PLAIN)
    monkeypatch.setattr(results, "_write_onnx", lambda *given: None)


@pytest.mark.parametrize("variant", ["tiny", "tiny-plain"])
def test_a_stage_recycles_the_units_whose_removal_costs_less(
    variant: str, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train(tiny_recipe({**STAGE, "recycle": 1e-12}, variant=variant), tmp_path / "a", data=data, devices=CPU)
    assert train(tiny_recipe({**STAGE, "recycle": 1e4}, variant=variant), tmp_path / "b", data=data, devices=CPU)
    said = [line for line in "".join(capfd.readouterr()).splitlines() if "Units with new weights" in line]
    first = "block_1.c1_r" if variant == "tiny" else "convs.0"
    assert f"{first} 8 of 8" not in said[0]
    assert f"{first} 8 of 8" in said[1]
    assert not _equal(tmp_path / "a", tmp_path / "b")


def test_the_same_seed_gives_the_same_new_weights(data: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert train(tiny_recipe({**STAGE, "recycle": 1e4}), tmp_path / name, data=data, devices=CPU)
    assert _equal(tmp_path / "a", tmp_path / "b")


def test_leaking_gradients_change_the_training_and_not_the_network(data: Path, tmp_path: Path) -> None:
    for name, leak in (("a", 0.0), ("b", 0.5)):
        recipe = tiny_recipe({**STAGE, "leak": leak}, variant="tiny-plain")
        assert train(recipe, tmp_path / name, data=data, devices=CPU)
    assert not _equal(tmp_path / "a", tmp_path / "b")
    assert load_checkpoint(tmp_path / "b" / "model.safetensors").network.leak == 0.0


def test_a_leaky_relu_is_a_relu_whose_gradient_leaks() -> None:
    x = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    y = LeakyGradient.apply(x, 0.25)
    assert y.tolist() == [0.0, 0.0, 3.0]
    (y * torch.tensor([4.0, 4.0, 4.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 1.0, 4.0]


@pytest.mark.parametrize(
    ("variant", "stage", "said"),
    [
        ("imdn-aim", {"recycle": 0.02}, "with a method hidden_layers"),
        ("rlfn-s", {"leak": 0.1}, "Plain networks have"),
        ("rlfn-s", {"recycle": 0.02, "freeze": ("conv_1.*",)}, "cannot be combined with carry_optimizer or freeze"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_run(
    variant: str, stage: dict[str, Any], said: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=said):
        train(
            tiny_recipe({**STAGE, "patch": 32, **stage}, variant=variant),
            tmp_path / "run",
            data=data,
            devices=CPU,
        )


def _equal(one: Path, other: Path) -> bool:
    states = [load_checkpoint(run / "model.safetensors").network.state_dict() for run in (one, other)]
    return all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
