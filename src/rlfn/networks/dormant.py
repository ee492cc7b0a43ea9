"""Dormant units: hidden channels that hardly change a network's output, and giving them new work.

The cost of removing a unit is the mean square by which the output changes, in levels (of 255), when the unit is
replaced by its mean. Training can leave many units of almost no cost: layers that take time and do nothing.
:func:`recycle` gives such units new incoming weights and outgoing weights of zero, as ReDo does (Sokar et al., 2023,
arXiv 2302.12902), so that further training can find a use for them. ReDo tells dormant units by the size of their
activation; a unit may be large and useless, though, so the cost of removal decides here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlfn.errors import OptionError
from rlfn.networks.fuse import folded
from rlfn.networks.plain import BranchedConv

_PROBES = 8
"""Number of passes, each with other signs: a cost is the mean of as many squares as there are passes times samples."""


@runtime_checkable
class HiddenLayers(Protocol):
    """A network that says which of its units are hidden."""

    def hidden_layers(self) -> Sequence[tuple[str, str]]:
        """Return pairs of 3x3 convolutions, in order: the only reader of the first's activated output is the second."""


def hidden_layers(network: nn.Module) -> list[tuple[str, str]]:
    """Return the pairs of convolutions between which a network's hidden units lie.

    Raises:
        OptionError: the network does not say which units are hidden.
    """
    if not isinstance(network, HiddenLayers):
        raise OptionError(
            f"{type(network).__name__} does not say which of its units are hidden, so none can be recycled. "
            "RLFNs and plain networks do; a network of your own can, with a method hidden_layers."
        )
    return list(network.hidden_layers())


def removal_costs(network: nn.Module, lr: Tensor, value_range: float = 255.0, seed: int = 0) -> dict[str, Tensor]:
    """Estimate what the removal of each hidden unit costs.

    The change is linearised. With random signs for the output's samples, the square of the product of a unit's gradient
    and its difference from its mean has the sum of the squares of all changes as its expectation (Hutchinson, 1989), so
    few passes give the costs of all units.

    Args:
        network: one with :class:`HiddenLayers`.
        lr: (N, 3, h, w) in [0, ``value_range``], typical patches.
        value_range: the peak value that the network takes.
        seed: of the signs.

    Returns:
        For each first convolution of a pair the costs (channels,), in squared levels, on the CPU.

    Raises:
        OptionError: the network does not say which units are hidden.
    """
    layers = hidden_layers(network)
    signs = torch.Generator().manual_seed(seed)
    costs: dict[str, Tensor] = {maker: torch.zeros(()) for maker, _ in layers}
    with _reading(network, [reader for _, reader in layers]) as inputs, torch.enable_grad():
        for _ in range(_PROBES):
            sr = network(lr.detach().requires_grad_())
            sign = torch.randint(0, 2, sr.shape, generator=signs).mul_(2).sub_(1).to(sr)
            units = [inputs[reader] for _, reader in layers]
            gradients = torch.autograd.grad(sr, units, sign)
            size = sr[0].numel() * _PROBES
            for (maker, _), unit, gradient in zip(layers, units, gradients, strict=True):
                away = unit.detach() - unit.detach().mean((0, 2, 3), keepdim=True)
                squares = (gradient * away).sum((2, 3)).square().mean(0)
                costs[maker] = costs[maker] + squares.cpu() * (255.0 / value_range) ** 2 / size
    return costs


@torch.no_grad()
def recycle(
    network: nn.Module, lr: Tensor, least: float, value_range: float = 255.0, seed: int = 0
) -> dict[str, tuple[int, int]]:
    """Give the units whose removal costs less than ``least`` new weights, in place.

    The incoming weights are random, half of the filters without a mean. They are scaled so that the unit varies over
    ``lr`` as the layer's other units do, and the bias lets it be active in half of the places. The next convolution
    ignores the unit at first, but its gradient does not; its bias takes over the mean of what it got before.

    Args:
        network: one with :class:`HiddenLayers`.
        lr: (N, 3, h, w) in [0, ``value_range``], typical patches.
        least: the cost from which a unit stays, in squared levels.
        value_range: the peak value that the network takes.
        seed: of the signs and the new weights.

    Returns:
        For each first convolution of a pair the number of its new units, and of all of them.

    Raises:
        OptionError: the network does not say which units are hidden.
    """
    random = torch.Generator().manual_seed(seed)
    costs = removal_costs(network, lr, value_range, seed)
    for maker, reader in hidden_layers(network):
        units = (costs[maker] < least).nonzero().flatten().to(lr.device)
        if len(units):
            _replace(network, lr, maker, reader, units, random)
    return {name: (int((cost < least).sum()), len(cost)) for name, cost in costs.items()}


def _replace(network: nn.Module, lr: Tensor, maker: str, reader: str, units: Tensor, random: torch.Generator) -> None:
    """Give ``units`` of the convolution ``maker`` new weights and let ``reader`` ignore them."""
    with _reading(network, [maker, reader]) as inputs:
        network(lr)
    before, after = inputs[maker], inputs[reader]
    weight, bias = (tensor.clone() for tensor in folded(network.get_submodule(maker)))
    new = torch.randn(len(units), *weight.shape[1:], generator=random).to(weight)
    new[::2] -= new[::2].mean((2, 3), keepdim=True)
    spread = before.std((0, 2, 3))
    new /= spread.clamp(min=0.1 * float(spread.median()) + 1e-8)[None, :, None, None]
    made = F.conv2d(before, new, padding=1)
    outputs = F.conv2d(before, weight, bias, padding=1)
    others = torch.ones(len(weight), dtype=torch.bool, device=weight.device)
    others[units] = False
    wanted = outputs[:, others].std((0, 2, 3)).median() if others.any() else before.std()
    scale = wanted / made.std((0, 2, 3)).clamp(min=1e-8)
    weight[units], bias[units] = new * scale[:, None, None, None], -made.mean((0, 2, 3)) * scale
    read_weight, read_bias = (tensor.clone() for tensor in folded(network.get_submodule(reader)))
    read_bias += (read_weight[:, units].sum((2, 3)) * after[:, units].mean((0, 2, 3))).sum(1)
    read_weight[:, units] = 0.0
    _set_kernel(network, maker, weight, bias)
    _set_kernel(network, reader, read_weight, read_bias)


def _set_kernel(network: nn.Module, name: str, weight: Tensor, bias: Tensor) -> None:
    conv = network.get_submodule(name)
    if isinstance(conv, BranchedConv):
        conv.set_sum(weight, bias)
    else:
        conv.weight.copy_(weight)  # type: ignore[operator]
        conv.bias.copy_(bias)  # type: ignore[operator]


@contextmanager
def _reading(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Keep the inputs of the modules of these names, of the newest pass."""
    inputs: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, given: inputs.update({name: given[0]})

    hooks = [network.get_submodule(name).register_forward_pre_hook(keep(name)) for name in names]
    try:
        yield inputs
    finally:
        for hook in hooks:
            hook.remove()
