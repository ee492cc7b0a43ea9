"""Centred gradients: each convolution's weights are trained as if the means of its inputs were zero.

After ReLUs all inputs are positive, so each kernel has one direction, that of the inputs' means, in which a small step
moves the outputs of a unit everywhere at once. Steps along it can switch units off for good, above all those of Muon,
which are as large in every direction. With a convolution written as ``W * (x - m) + c``, where ``m`` are the means of
its inputs, they cannot: a step of ``W`` leaves the means of the outputs as they are, and those are ``c``'s alone
(LeCun et al., 1998, "Efficient BackProp", section 4.3; Schraudolph, 1998, "Centering Neural Network Gradient Factors").

The network itself does not change. With ``b = c - W m`` it is the convolution ``W * x + b``, so the gradient of ``W``
loses the bias's gradient times ``m``, and the bias follows each step of ``W``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rlfn.errors import OptionError
from rlfn.networks.plain import BranchedConv

_KEEP = 0.99
"""The share of the old means that each step keeps, once there have been enough steps."""


class Centring:
    """Centres the gradients of a network's convolutions until :meth:`remove`.

    It covers all dense convolutions with a bias, if both the weights and the bias are trained. Call :meth:`before_step`
    between the backward pass and the optimiser's step, and :meth:`after_step` after that.

    Args:
        network: gets a hook on each of these convolutions; its parameters and its outputs stay as they are.

    Attributes:
        means: for each convolution the means of its inputs, (inputs,), averaged over the steps.
        count: the number of steps so far.

    Raises:
        OptionError: the network has no such convolution.
    """

    def __init__(self, network: nn.Module) -> None:
        self._convolutions = dict(_convolutions(network))
        if not self._convolutions:
            raise OptionError(
                f"centred: {type(network).__name__} has no convolution of which weights and a bias are trained. "
                "Leave centred out."
            )
        self.count = 0
        self.means: dict[str, Tensor] = {}
        self._sums: dict[str, Tensor] = {}
        device = next(network.parameters()).device
        self._fresh = torch.ones((), device=device)
        for name, convolution in self._convolutions.items():
            self.means[name] = torch.zeros(_plain(convolution).in_channels, device=device)
        self._hooks = [
            convolution.register_forward_pre_hook(self._follower(name))
            for name, convolution in self._convolutions.items()
        ]

    def remove(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()

    @torch.no_grad()
    def before_step(self, average: Callable[[Tensor], Tensor] = lambda means: means) -> None:
        """Centre the gradients.

        Args:
            average: returns the mean of a tensor over all devices.
        """
        joined = average(torch.cat(list(self.means.values())))
        place = 0
        for mean in self.means.values():
            mean.copy_(joined[place : place + len(mean)])
            place += len(mean)
        for name, convolution in self._convolutions.items():
            plain = _plain(convolution)
            self._sums[name] = _kernel(convolution).sum((2, 3))
            if plain.weight.grad is not None and plain.bias.grad is not None:  # type: ignore[union-attr]
                shift = plain.bias.grad[:, None] * self.means[name]  # type: ignore[union-attr]
                _subtract(convolution, shift[:, :, None, None].expand_as(plain.weight))

    @torch.no_grad()
    def after_step(self) -> None:
        """Let the biases follow the weights, so that the means of the outputs are what they were."""
        for name, convolution in self._convolutions.items():
            change = _kernel(convolution).sum((2, 3)) - self._sums[name]
            _plain(convolution).bias.sub_(change @ self.means[name])  # type: ignore[union-attr]
        self.count += 1
        self._fresh.fill_(max(1.0 - _KEEP, 1.0 / (self.count + 1)))

    def dump(self) -> dict[str, Any]:
        """Return what the next step depends on."""
        return {"means": self.means, "count": self.count}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`dump` returned."""
        for name, mean in self.means.items():
            mean.copy_(state["means"][name])
        self.count = int(state["count"])
        self._fresh.fill_(max(1.0 - _KEEP, 1.0 / (self.count + 1)))

    def _follower(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        @torch.no_grad()
        def follow(convolution: nn.Module, given: tuple[Tensor, ...]) -> None:
            if convolution.training:
                self.means[name].lerp_(given[0].float().mean((0, 2, 3)), self._fresh)

        return follow


def _convolutions(network: nn.Module) -> Iterator[tuple[str, nn.Conv2d | BranchedConv]]:
    """Yield the convolutions that can be centred, by name. A branched one is yielded as a whole."""
    branched = {
        id(part) for module in network.modules() if isinstance(module, BranchedConv) for part in module.children()
    }
    for name, module in network.named_modules():
        if isinstance(module, BranchedConv) or (isinstance(module, nn.Conv2d) and id(module) not in branched):
            plain = _plain(module)
            if plain.bias is not None and plain.groups == 1 and plain.weight.requires_grad and plain.bias.requires_grad:
                yield name, module


def _plain(convolution: nn.Conv2d | BranchedConv) -> nn.Conv2d:
    """Return the convolution that has the bias, and weights on which the kernel depends as on itself."""
    return convolution.conv3 if isinstance(convolution, BranchedConv) else convolution


def _kernel(convolution: nn.Conv2d | BranchedConv) -> Tensor:
    return convolution.kernel(torch.float32) if isinstance(convolution, BranchedConv) else convolution.weight


def _subtract(convolution: nn.Conv2d | BranchedConv, shift: Tensor) -> None:
    """Subtract ``shift`` (outputs, inputs, kh, kw) from the gradient of the kernel."""
    _plain(convolution).weight.grad.sub_(shift)  # type: ignore[union-attr]
    if not isinstance(convolution, BranchedConv):
        return
    flat = shift.flatten(1)
    for branch, gradient in (
        (convolution.conv1, shift[:, :, 1:2, 1:2]),
        (convolution.expand, convolution.squeeze.weight.flatten(1).T @ flat),
        (convolution.squeeze, flat @ convolution.expand.weight.flatten(1).T),
    ):
        if branch.weight.grad is not None:
            branch.weight.grad.sub_(gradient.reshape(branch.weight.shape))
