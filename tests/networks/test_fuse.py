"""Folding branches: the same answers, borders included, and the way back."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlfn.cli import main
from rlfn.models.variants import VARIANTS, PlainFields, Variant, get_variant
from rlfn.networks import Checkpoint, build, load_checkpoint, save_checkpoint
from rlfn.networks.checkpoints import fold_range
from rlfn.networks.fuse import fuse, fuse_checkpoint, fused_variant, reform
from rlfn.networks.plain import BranchedConv

BRANCHED = Variant("plain-custom", "plain", PlainFields(3, 6, expand=2), "small, for tests")
TRAINING_FORMS = [name for name, row in VARIANTS.items() if fused_variant(row) != row]


def random(variant: Variant, scale: int = 2, kind: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(scale)
    network = build(variant, scale).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.normal_(std=0.3)
    return network.to(kind)


def branch_by_branch(conv: BranchedConv, x: Tensor) -> Tensor:
    """The branches as they are drawn: each filters the picture, the outputs are added."""
    return conv.conv3(x) + conv.conv1(x) + x + conv.squeeze(conv.expand(x))


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (9, 7)])
def test_the_summed_kernel_does_what_the_branches_do_up_to_the_borders(size: tuple[int, int]) -> None:
    conv = random(BRANCHED, kind=torch.float64).convs[1]
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    wanted = branch_by_branch(conv, x)
    assert torch.allclose(conv(x), wanted, rtol=1e-12, atol=1e-12)
    plain = F.conv2d(x, conv.kernel(torch.float64), conv.conv3.bias, padding=1)
    assert torch.allclose(plain, wanted, rtol=1e-12, atol=1e-12)


def test_summed_kernels_have_the_gradients_of_the_branches() -> None:
    conv = random(BRANCHED, kind=torch.float64).convs[1].requires_grad_(True)
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    weights = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    parameters = list(conv.parameters())
    assert len(parameters) == 5
    ours = torch.autograd.grad((conv(x) * weights).sum(), parameters)
    theirs = torch.autograd.grad((branch_by_branch(conv, x) * weights).sum(), parameters)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", TRAINING_FORMS)
def test_a_fused_network_equals_its_training_form(name: str, scale: int) -> None:
    network = random(get_variant(name), scale)
    fused = fuse(network)
    assert not [module for module in fused.modules() if isinstance(module, BranchedConv)]
    x = network.convs[0](torch.rand(1, 3, 12, 17) * 255.0)
    for old, new in zip(network.convs[1:-1], fused.convs[1:-1], strict=True):
        wanted = branch_by_branch(old, x)
        assert float((new(x) - wanted).abs().max() / wanted.abs().max()) < 1e-5
    lr = torch.rand(2, 3, 11, 14)
    wanted = network(lr)
    assert float((fused(lr) - wanted).abs().max() / wanted.abs().max()) < 1e-5
    assert fused.state_dict().keys() == build(fused_variant(get_variant(name)), scale).state_dict().keys()


def test_the_range_folds_in_either_form() -> None:
    network = random(BRANCHED)
    lr = torch.rand(1, 3, 8, 9)
    wanted = network(lr) * 255.0
    fold_range(network, trained=1.0)
    for form in (network, fuse(network)):
        assert torch.allclose(form(lr * 255.0), wanted, rtol=1e-4, atol=1e-3)


def test_a_fused_network_converts_to_equal_branches() -> None:
    name = TRAINING_FORMS[0]
    plain = fused_variant(get_variant(name))
    checkpoint = Checkpoint(random(plain), plain, 2, {"trained": "yes"})
    opened = reform(checkpoint, get_variant(name))
    assert opened is not None
    assert (opened.variant.name, opened.scale, opened.metadata) == (name, 2, {"trained": "yes"})
    lr = torch.rand(1, 3, 9, 10)
    wanted = checkpoint.network(lr)
    assert float((opened.network(lr) - wanted).abs().max() / wanted.abs().max()) < 1e-5
    inner = opened.network.convs[1]
    assert not inner.squeeze.weight.any()
    assert inner.expand.weight.any()
    again = fuse_checkpoint(opened).network
    for key, tensor in checkpoint.network.state_dict().items():
        assert torch.allclose(again.state_dict()[key], tensor, atol=1e-6), key


def test_only_the_same_sizes_are_converted() -> None:
    checkpoint = Checkpoint(random(BRANCHED), BRANCHED, 2)
    assert reform(checkpoint, BRANCHED) is checkpoint
    assert reform(checkpoint, get_variant(TRAINING_FORMS[0])) is None
    assert reform(checkpoint, get_variant("rlfn-ntire")) is None
    assert fused_variant(BRANCHED).fields == PlainFields(3, 6)
    found = reform(checkpoint, replace(BRANCHED, fields=PlainFields(3, 6, expand=3)))
    assert found is not None
    assert found.network.convs[1].expand.weight.shape[0] == 18


def test_a_network_without_branches_is_unchanged() -> None:
    for name in ("rlfn-xs", "rlfn-ntire"):
        variant = get_variant(name)
        checkpoint = Checkpoint(build(variant, 2), variant, 2)
        assert fuse(checkpoint.network) is checkpoint.network
        assert fuse_checkpoint(checkpoint) is checkpoint
        assert fused_variant(variant) is variant


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["rlfn", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    wide, plain = tmp_path / "wide.safetensors", tmp_path / "plain.safetensors"
    name = TRAINING_FORMS[0]
    network = random(get_variant(name), 3)
    save_checkpoint(wide, network, get_variant(name), 3, {"trained": "on nothing"})
    run(monkeypatch, "fuse", wide, "-o", plain)
    found = load_checkpoint(plain)
    assert found.variant == fused_variant(get_variant(name))
    assert found.metadata["trained"] == "on nothing"
    assert f"{found.variant.name} x3" in capsys.readouterr().out
    lr = torch.rand(1, 3, 8, 8)
    assert torch.allclose(found.network(lr), network(lr), rtol=1e-5, atol=1e-5)
    for arguments, message in (
        ((wide, "-o", plain), "--overwrite"),
        ((plain, "-o", tmp_path / "again.safetensors"), "nothing to fuse"),
    ):
        with pytest.raises(SystemExit):
            run(monkeypatch, "fuse", *arguments)
        assert message in capsys.readouterr().err
    assert not (tmp_path / "again.safetensors").exists()
