"""Parameters, multiply-adds and activations of a network, layer by layer, as the efficient-SR challenges count them.

A convolution costs one multiply-add per weight and output sample; biases, activations, pooling and resizing are not
counted. "FLOPs" in this field means these multiply-adds. Activations are the elements of the outputs of all
convolutions. Nothing is computed: the network runs on torch's meta device.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from rlfn.errors import OptionError


@dataclass(frozen=True)
class Layer:
    """One convolution: its name, kernel ``(outputs, inputs, kh, kw)``, output ``(height, width)`` and costs."""

    name: str
    kernel: tuple[int, ...]
    size: tuple[int, ...]
    parameters: int
    multiply_adds: int
    activations: int


@dataclass(frozen=True)
class Counts:
    """A network's costs for one LR picture of ``height`` x ``width`` px."""

    height: int
    width: int
    parameters: int
    layers: tuple[Layer, ...]

    @property
    def multiply_adds(self) -> int:
        """Of all convolutions."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def activations(self) -> int:
        """Elements of all convolutions' outputs."""
        return sum(layer.activations for layer in self.layers)


def count(network: nn.Module, height: int, width: int) -> Counts:
    """Count the costs of ``network`` for one LR picture (1, 3, ``height``, ``width``).

    Raises:
        OptionError: a side is below 1, or too small for the network.
    """
    if min(height, width) < 1:
        raise OptionError(f"Costs cannot be counted at {width}x{height}. Both sides must be at least 1.")
    twin = copy.deepcopy(network).to("meta").eval()
    tally = _Tally()
    for name, module in twin.named_modules():
        module.register_forward_pre_hook(_enter(tally, name))
        module.register_forward_hook(_leave(tally))
    try:
        with torch.no_grad(), tally:
            twin(torch.empty(1, 3, height, width, device="meta"))
    except RuntimeError as error:
        raise OptionError(f"{type(network).__name__} cannot run on {width}x{height}: {error}.") from error
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Counts(height, width, parameters, tuple(tally.layers))


class _Tally(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Intercepts every operation and records the convolutions under the name of the running module."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: list[Layer] = []
        self.running: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            weight: Tensor = args[1]
            bias: Tensor | None = args[2]
            self.layers.append(
                Layer(
                    name=self.running[-1],
                    kernel=tuple(weight.shape),
                    size=tuple(out.shape[2:]),
                    parameters=weight.numel() + (bias.numel() if bias is not None else 0),
                    multiply_adds=out.numel() * weight[0].numel(),
                    activations=out.numel(),
                )
            )
        return out


def _enter(tally: _Tally, name: str) -> Callable[[nn.Module, Any], None]:
    return lambda module, inputs: tally.running.append(name)


def _leave(tally: _Tally) -> Callable[[nn.Module, Any, Any], None]:
    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        tally.running.pop()

    return leave
