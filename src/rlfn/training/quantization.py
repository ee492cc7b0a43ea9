"""Quantization-aware training (QAT) for int8 (Jacob et al., 2018, arXiv 1712.05877).

In the forward pass, the convolutions that int8 will compute get their inputs and weights quantized as the export does:
inputs to 8 bits of a range that follows the batches, weights to 7 bits for each output channel, which is what
:mod:`rlfn.export.int8` writes. Gradients pass straight through the rounding. The weights themselves stay float.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlfn.networks.integers import integer_convolutions

_KEEP = 0.99
_LEVELS, _STEPS = 255, 64


class FakeQuantizer:
    """Fake-quantizes the inputs and weights of a network's convolutions until :meth:`remove`.

    Args:
        network: is changed in place; its parameters and their names stay as they are.

    Attributes:
        ranges: for each convolution the lowest and the highest input, (2,), averaged over the batches.

    Raises:
        OptionError: the network cannot be trained for int8.
    """

    def __init__(self, network: nn.Module) -> None:
        self.ranges: dict[str, Tensor] = {}
        self._convolutions = integer_convolutions(network)
        for name, convolution in self._convolutions.items():
            convolution.forward = self._rounded(name, convolution)  # type: ignore[method-assign, assignment]

    def remove(self) -> None:
        """Restore the convolutions' own forward passes."""
        for convolution in self._convolutions.values():
            convolution.__dict__.pop("forward", None)

    def _rounded(self, name: str, convolution: nn.Conv2d) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            if convolution.training:
                self._follow(name, x)
            if name in self.ranges:
                x = round_activations(x, self.ranges[name])
            weight = round_weights(convolution.weight)
            return F.conv2d(x, weight, convolution.bias, convolution.stride, convolution.padding)

        return forward

    @torch.no_grad()
    def _follow(self, name: str, x: Tensor) -> None:
        seen = torch.stack([x.amin().clamp(max=0.0), x.amax().clamp(min=0.0)]).float()
        known = self.ranges.get(name)
        self.ranges[name] = seen if known is None else torch.lerp(seen, known.to(seen.device), _KEEP)


def round_activations(x: Tensor, limits: Tensor) -> Tensor:
    """Round ``x`` to 256 levels between ``limits`` (lowest, highest), 0 being one of them; beyond them it is cut."""
    low, high = float(limits[0]), float(limits[1])
    step = max((high - low) / _LEVELS, 1e-12)
    zero = min(max(round(-low / step), 0), _LEVELS)
    return torch.fake_quantize_per_tensor_affine(x.float(), step, zero, 0, _LEVELS)


def round_weights(weight: Tensor) -> Tensor:
    """Round a convolution's weight (outputs, inputs, kh, kw) to 64 steps on both sides of 0, for each output."""
    steps = weight.detach().abs().amax(dim=(1, 2, 3)).clamp(min=1e-12).float() / _STEPS
    zeros = torch.zeros_like(steps, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight.float(), steps, zeros, 0, -_STEPS, _STEPS)
