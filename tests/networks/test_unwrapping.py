"""What other programs save around a network's tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from rlfn.errors import ModelError
from rlfn.models.variants import VARIANTS
from rlfn.networks import build, load_checkpoint


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(build(VARIANTS["rlfn-xs"], 2).state_dict())


def _prefixed(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def _same(path: Path, state: dict[str, torch.Tensor]) -> None:
    found = load_checkpoint(path)
    assert (found.variant.name, found.scale) == ("rlfn-xs", 2)
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.network.state_dict().items())


_WRAPPINGS: dict[str, Any] = {
    "plain": lambda state: state,
    "params": lambda state: {"params": state},
    "params and their average": lambda state: {"params": {"x": torch.zeros(1)}, "params_ema": state},
    "model": lambda state: {"epoch": 3, "model": state, "optimizer": {"state": {}, "lr": 0.1}},
    "model, state_dict": lambda state: {"model": {"state_dict": state, "epoch": 1}},
    "state_dict, model": lambda state: {"state_dict": {"model": state}},
    "generator": lambda state: {"generator": state, "discriminator": {"x": torch.zeros(1)}},
    "netG": lambda state: {"netG": state, "netD": {}},
    "net_g": lambda state: {"net_g": {"params": state}},
    "module.": lambda state: _prefixed("module.", state),
    "_orig_mod.": lambda state: _prefixed("_orig_mod.", state),
    "compiled in parallel": lambda state: {"params": _prefixed("module._orig_mod.", state)},
    "parallel and compiled": lambda state: _prefixed("_orig_mod.module.", state),
    "Lightning": lambda state: {"pytorch-lightning_version": "2.5", "state_dict": _prefixed("model.", state)},
    "Lightning with a judge": lambda state: {
        "state_dict": {**_prefixed("net_g.", state), "net_d.conv.weight": torch.zeros(1), "loss.vgg.w": torch.zeros(1)}
    },
    "an average beside": lambda state: {
        **_prefixed("net_g_ema.", state),
        **_prefixed("net_g.", {name: tensor + 1 for name, tensor in state.items()}),
    },
    "half": lambda state: state,
}


@pytest.mark.parametrize("wrapping", _WRAPPINGS)
@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".pt"])
def test_wrappings(state: dict[str, torch.Tensor], tmp_path: Path, wrapping: str, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    if wrapping == "half":
        state = {name: tensor.half().float() for name, tensor in state.items()}
        torch.save({name: tensor.half() for name, tensor in state.items()}, path)
    else:
        torch.save(_WRAPPINGS[wrapping](state), path)
    _same(path, state)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "net_g.", "generator.", "netG.", "model.module."])
def test_prefixes_in_safetensors(state: dict[str, torch.Tensor], tmp_path: Path, prefix: str) -> None:
    save_file(_prefixed(prefix, state), tmp_path / "w.safetensors")
    _same(tmp_path / "w.safetensors", state)


def _nested() -> dict[str, Any]:
    table: dict[str, Any] = {"weight": torch.zeros(1)}
    for _ in range(40):
        table = {"model": table}
    return table


def _ring() -> dict[str, Any]:
    table: dict[str, Any] = {}
    table["model"] = table
    return table


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "holds a dict"),
        ({"epoch": 3}, "holds a int as 'epoch'"),
        ({"model": {"state_dict": {"a": [1]}}}, "holds a list as 'a'"),
        (_nested(), "holds a dict as 'model'"),
        (_ring(), "holds a dict as 'model'"),
        ({"conv.weight": torch.zeros(1, dtype=torch.float16).expand(1 << 40)}, "not a plain tensor"),
        ({"conv.weight": torch.zeros(2, dtype=torch.complex64)}, "not a plain tensor"),
        ({"conv.weight": torch.eye(3).to_sparse()}, "not a plain tensor"),
        ({f"module.{'x' * 900}": torch.zeros(1), "other": torch.zeros(1)}, "no known network"),
    ],
)
def test_content_without_a_network_is_refused(tmp_path: Path, content: Any, words: str) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=words):
        load_checkpoint(tmp_path / "w.pth")


def test_prefixes_must_be_on_all_names(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    first, *rest = state
    torch.save({f"module.{first}": state[first], **{name: state[name] for name in rest}}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"missing, foreign|no known network"):
        load_checkpoint(tmp_path / "w.pth")
