"""A stage with soft pruning leaves a network from which `rlfn prune` takes nothing away."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import TINY, tiny_recipe

from rlfn.errors import OptionError
from rlfn.models.variants import VARIANTS
from rlfn.networks.checkpoints import load_checkpoint
from rlfn.networks.prune import prune
from rlfn.training import results
from rlfn.training.devices import Devices
from rlfn.training.loop import train

CPU = Devices(accelerator="cpu")
START = {"init": "interpolate", "iterations": 12, "ema": 0.0}


@pytest.fixture(autouse=True)
def tiny_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    monkeypatch.setattr(results, "_write_onnx", lambda *given: None)


def test_pruning_after_a_soft_stage_changes_nothing(data: Path, tmp_path: Path) -> None:
    lr = torch.rand(1, 3, 20, 26) * 255
    lost = {}
    for name, soft in (("soft", {"soft_prune": {"channels": 6, "mid": 7, "every": 3}}), ("plain", {})):
        assert train(tiny_recipe({**START, **soft}), tmp_path / name, data=data, devices=CPU)
        whole = load_checkpoint(tmp_path / name / "model.safetensors")
        small = prune(whole, channels=6, mid=7)
        assert small.variant.fields.channels == 6
        lost[name] = float((whole.network(lr) - small.network(lr)).abs().max())
    assert lost["soft"] < 1e-3
    assert lost["plain"] > 1.0


def test_zeroed_channels_may_grow_again_before_the_hold(data: Path, tmp_path: Path) -> None:
    soft = {"soft_prune": {"channels": 6, "every": 1000, "hold": 1.0}}
    assert train(tiny_recipe({**START, **soft}), tmp_path, data=data, devices=CPU)
    whole = load_checkpoint(tmp_path / "model.safetensors").network
    assert all(bool((filter_ != 0).any()) for filter_ in whole.conv_1.weight)


def test_a_width_that_the_network_has_not_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Allowed: 1 to 8"):
        train(tiny_recipe({**START, "soft_prune": {"channels": 9}}), tmp_path, data=data, devices=CPU)
