"""A pruned network computes what the masked one does, at any width."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rlfn.errors import OptionError
from rlfn.models.variants import VARIANTS, RLFNFields, Variant
from rlfn.networks import Checkpoint, build, load_checkpoint, save_checkpoint
from rlfn.networks.prune import groups, masked, prune


def made(fields: RLFNFields, scale: int = 2) -> Checkpoint:
    torch.manual_seed(0)
    variant = Variant("rlfn-custom", "rlfn", fields, "for tests")
    return Checkpoint(build(variant, scale).eval().requires_grad_(False), variant, scale)


@pytest.mark.parametrize(("channels", "mid"), [(10, None), (None, 7), (9, 8), (1, 1)])
@pytest.mark.parametrize("blocks", [1, 3])
def test_pruned_equals_masked(blocks: int, channels: int | None, mid: int | None) -> None:
    whole = made(RLFNFields(blocks, channels=12, mid=10, esa_channels=4))
    small, zeroed = prune(whole, channels=channels, mid=mid), masked(whole, channels=channels, mid=mid)
    assert small.variant.fields == RLFNFields(blocks, channels or 12, mid or 10, 4)
    lr = torch.rand(1, 3, 24, 31) * 255
    wanted = zeroed.network(lr)
    torch.testing.assert_close(small.network(lr), wanted, rtol=1e-5, atol=1e-4)
    assert not torch.allclose(wanted, whole.network(lr), rtol=1e-3)


def test_every_channel_is_in_one_group() -> None:
    """Each convolution's outputs and inputs are pruned exactly once, but ESA's own narrow ones, RGB in and RGB out."""
    fields = RLFNFields(3, 8, 6, 4)
    network = build(Variant("x", "rlfn", fields, ""), 2)
    convolutions = {name for name, module in network.named_modules() if isinstance(module, torch.nn.Conv2d)}
    inside = {name for name in convolutions if name.split(".")[-1] in ("conv_f", "conv2", "conv3")}
    outputs = [name for group in groups(fields) for name in (*group.makers, *group.gates)]
    inputs = [name for group in groups(fields) for name in group.takers]
    narrow = {name for name in convolutions if name.endswith("esa.conv1")}
    gates = {name for name in convolutions if name.endswith("esa.conv4")}
    assert sorted(outputs) == sorted(convolutions - inside - narrow - {"upsampler.0"})
    assert sorted(inputs) == sorted(convolutions - inside - gates - {"conv_1"})


def test_the_weakest_channels_are_removed() -> None:
    whole = made(RLFNFields(1, channels=6, mid=6, esa_channels=4))
    whole.network.block_1.c1_r.weight[2] *= 1e-3
    small = prune(whole, mid=5)
    kept = [0, 1, 3, 4, 5]
    norms = whole.network.block_1.c2_r.weight.flatten(1).norm(dim=1)
    kept_second = [number for number in range(6) if number != int(norms.argmin())]
    assert torch.equal(small.network.block_1.c1_r.weight, whole.network.block_1.c1_r.weight[kept])
    assert torch.equal(small.network.block_1.c2_r.weight, whole.network.block_1.c2_r.weight[kept_second][:, kept])


def test_pruning_as_in_the_challenge_gives_its_variant() -> None:
    torch.manual_seed(0)
    whole = made(RLFNFields(4, 48, 48), 4)
    assert prune(whole, channels=46).variant == VARIANTS["rlfn-ntire"]


def test_invalid_pruning_is_refused() -> None:
    whole = made(RLFNFields(1, 8, 6, 4))
    with pytest.raises(OptionError, match="Allowed: 1 to 8"):
        prune(whole, channels=9)
    with pytest.raises(OptionError, match="Allowed: 1 to 6"):
        prune(whole, mid=0)
    with pytest.raises(OptionError, match="Nothing would be removed"):
        prune(whole, channels=8)
    variant = VARIANTS["edsr-baseline"]
    with pytest.raises(OptionError, match="not an RLFN"):
        prune(Checkpoint(build(variant, 2), variant, 2), channels=8)


def test_the_command(command, tmp_path: Path) -> None:
    whole = made(RLFNFields(2, 8, 6, 4))
    save_checkpoint(tmp_path / "whole.safetensors", whole.network, whole.variant, whole.scale)
    target = tmp_path / "small.safetensors"
    arguments = ["prune", str(tmp_path / "whole.safetensors"), str(target), "--channels", "7"]
    said = command(*arguments).out.decode()
    found = load_checkpoint(target)
    assert found.variant.fields == RLFNFields(2, 7, 6, 4)
    assert found.metadata["pruned_from"] == "rlfn-custom"
    assert "fine-tun" in said


def test_one_file_is_written(command) -> None:
    assert "Name one with -o" in command("prune", "rlfn-s-x4", "--channels", "40").err
    assert "Two output files" in command("convert", "a.pth", "b.pth", "-o", "c.pth").err
