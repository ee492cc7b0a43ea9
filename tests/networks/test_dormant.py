"""Dormant units: what their removal costs, and what recycling them changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rlfn.errors import OptionError
from rlfn.models.variants import PlainFields, RLFNFields
from rlfn.networks.dormant import hidden_layers, recycle, removal_costs
from rlfn.networks.fuse import folded
from rlfn.networks.plain import Plain
from rlfn.networks.rlfn import RLFN

NETWORKS = {
    "rlfn": lambda: RLFN(RLFNFields(blocks=2, channels=8, mid=6, esa_channels=4), 2),
    "plain": lambda: Plain(PlainFields(layers=3, channels=8), 2),
    "branched": lambda: Plain(PlainFields(layers=3, channels=8, expand=2), 2),
}


def lively(name: str) -> nn.Module:
    """Return a network whose units all matter."""
    torch.manual_seed(3)
    network = NETWORKS[name]()
    with torch.no_grad():
        for conv in network.modules():
            if isinstance(conv, nn.Conv2d):
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                if conv.bias is not None:
                    conv.bias.normal_(std=0.1)
    return network


def patches() -> Tensor:
    return torch.rand(8, 3, 24, 24, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def let_sleep(network: nn.Module, reader: str, unit: int) -> None:
    """Let a convolution all but ignore one of its inputs."""
    conv = network.get_submodule(reader)
    if isinstance(conv, nn.Conv2d):
        conv.weight[:, unit] *= 1e-4
        return
    weight, bias = (tensor.clone() for tensor in folded(network.get_submodule(reader)))
    weight[:, unit] *= 1e-4
    conv.set_sum(weight, bias)


@torch.no_grad()
def removed(network: nn.Module, reader: str, unit: int, lr: Tensor) -> Tensor:
    """Return the output without a unit, which is replaced by its mean."""

    def flatten(module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
        flat = given[0].clone()
        flat[:, unit] = flat[:, unit].mean()
        return (flat,)

    hook = network.get_submodule(reader).register_forward_pre_hook(flatten)
    sr: Tensor = network(lr)
    hook.remove()
    return sr


@pytest.mark.parametrize("name", NETWORKS)
def test_the_estimated_costs_are_those_of_removal(name: str) -> None:
    network, lr = lively(name), patches()
    *_, (maker, reader) = hidden_layers(network)
    let_sleep(network, reader, 2)
    whole = network(lr).detach()
    true = [float((removed(network, reader, unit, lr) - whole).square().mean()) * 255**2 for unit in range(4)]
    costs = removal_costs(network, lr, value_range=1.0)
    assert set(costs) == {first for first, _ in hidden_layers(network)}
    for unit, cost in enumerate(true):
        assert float(costs[maker][unit]) == pytest.approx(cost, rel=0.5, abs=1e-6)
    assert costs[maker].argmin() == 2


@pytest.mark.parametrize("name", NETWORKS)
def test_recycled_units_vary_as_the_others_and_leave_the_output_alone(name: str) -> None:
    network, lr = lively(name), patches()
    *_, (maker, reader) = hidden_layers(network)
    let_sleep(network, reader, 2)
    before = network(lr).detach()
    least = float(removal_costs(network, lr, value_range=1.0)[maker][2]) * 2
    counts = recycle(network, lr, least, value_range=1.0)
    assert counts[maker][0] == 1
    assert counts[maker][1] == folded(network.get_submodule(maker))[0].shape[0]
    after = network(lr)
    changed = (after - before).detach().abs().max()
    assert float(changed) < 1e-2 * float(before.std())
    outputs = torch.nn.functional.conv2d(
        _input_of(network, maker, lr), *folded(network.get_submodule(maker)), padding=1
    )
    spread = outputs.std((0, 2, 3))
    assert float(spread[2]) == pytest.approx(float(spread[[0, 1, *range(3, len(spread))]].median()), rel=0.05)
    assert 0.3 < float((outputs[:, 2] > 0).float().mean()) < 0.7
    assert float(folded(network.get_submodule(reader))[0][:, 2].abs().max()) < 1e-6
    after.square().mean().backward()
    learning = network.get_submodule(reader)
    gradient = (learning.weight if isinstance(learning, nn.Conv2d) else learning.conv3.weight).grad
    assert float(gradient[:, 2].abs().max()) > 0.0


def test_with_a_limit_of_zero_nothing_changes() -> None:
    network = lively("plain")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert all(new == 0 for new, _ in recycle(network, patches(), 0.0, value_range=1.0).values())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_network_that_names_no_hidden_units_is_refused() -> None:
    with pytest.raises(OptionError, match="with a method hidden_layers"):
        removal_costs(nn.Conv2d(3, 3, 3), patches())


def _input_of(network: nn.Module, name: str, lr: Tensor) -> Tensor:
    kept: list[Tensor] = []
    hook = network.get_submodule(name).register_forward_pre_hook(lambda module, given: kept.append(given[0]))
    with torch.no_grad():
        network(lr)
    hook.remove()
    return kept[0]
