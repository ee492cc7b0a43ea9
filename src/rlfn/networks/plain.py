"""The fast tier: a chain of 3x3 convolutions, and the branched form in which it is trained.

    conv3x3 (3 -> C), ReLU  ->  N x [conv3x3 (C -> C), ReLU]  ->  conv3x3 (C -> 3 s^2)
                            +  the RGB of each LR px, s^2 times  ->  pixel shuffle (s)

All operations are local, so an output depends on N + 2 px around it and a tile with that margin equals the whole
picture. ReLU is the activation that every runtime fuses into a convolution, in int8 too, where it is the clamp at the
zero point; a leaky ReLU would be a separate layer there.

The picture that the convolutions correct is the nearest-neighbour upsampling: RGB through a fixed 1x1 convolution of
zeros and ones, added before the pixel shuffle (the "anchor" of Du et al., 2021, arXiv 2105.09750). Every runtime
supports both operations and fuses the addition into the last convolution, zeros and ones are exact in int8, and the
residual gets its own step size. Carrying RGB through the chain instead would round it once per layer.

In the training form each inner convolution is a sum of branches (:class:`BranchedConv`), after Ding et al., 2021, arXiv
2101.03697, and Zhang et al., 2021 (ECBSR). All of them are linear, so :mod:`rlfn.networks.fuse` sums their kernels. The
two outer convolutions have no branches: the value range folds into them, and the last one is replaced when training
starts from a network of another scale.

The network's contract: RGB in [0, 255] in and out, (N, 3, H, W) float to (N, 3, sH, sW); any size; nothing is clamped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlfn.errors import OptionError
from rlfn.models.variants import PlainFields
from rlfn.networks.interpolation import bilinear_tail


class BranchedConv(nn.Module):
    """A 3x3 convolution C -> C as a sum of branches: 3x3, 1x1, the identity, and 3x3 to C ``expand`` then 1x1 back.

    The kernels of the branches are summed and the picture is convolved once, so a step costs about as much as with the
    plain convolution; summing the branches' outputs would give the same numbers and gradients at ``expand`` + 1 times
    the cost. The spatial kernel of the wide branch precedes its 1x1 kernel, and the layer has a single bias: therefore
    zero padding has the same effect on every branch and on their sum.
    """

    def __init__(self, channels: int, expand: int) -> None:
        super().__init__()
        self.conv3 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.expand = nn.Conv2d(channels, expand * channels, 3, padding=1, bias=False)
        self.squeeze = nn.Conv2d(expand * channels, channels, 1, bias=False)

    def kernel(self, kind: torch.dtype) -> Tensor:
        """Return the sum of the branches, (C, C, 3, 3), computed in ``kind``."""
        return self.conv3.weight.to(kind) + self.without_conv3(kind)

    def without_conv3(self, kind: torch.dtype) -> Tensor:
        """Return the sum of all branches except the 3x3 one, (C, C, 3, 3), computed in ``kind``."""
        spread = self.expand.weight.to(kind).flatten(1)
        wide = (self.squeeze.weight.to(kind).flatten(1) @ spread).view_as(self.conv3.weight)
        identity = torch.eye(wide.shape[0], dtype=kind, device=wide.device)[:, :, None, None]
        return wide + F.pad(self.conv1.weight.to(kind) + identity, (1, 1, 1, 1))

    @torch.no_grad()
    def take(self, weight: Tensor, bias: Tensor) -> None:
        """Become the convolution with ``weight`` (C, C, 3, 3) and ``bias`` (C,): the other branches start at zero."""
        self.conv1.weight.zero_()
        self.squeeze.weight.zero_()
        self.set_sum(weight, bias)

    @torch.no_grad()
    def set_sum(self, weight: Tensor, bias: Tensor) -> None:
        """Become the convolution with ``weight`` (C, C, 3, 3) and ``bias`` (C,): the 3x3 one makes the difference."""
        self.conv3.weight.copy_(weight.double() - self.without_conv3(torch.float64))
        self.conv3.bias.copy_(bias)  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return F.conv2d(x, self.kernel(self.conv3.weight.dtype), self.conv3.bias, padding=1)

    @torch.no_grad()
    def carry(self, count: int) -> None:
        """Pass the first ``count`` channels through: of their branches only the identity remains."""
        for branch in (self.conv3, self.conv1, self.squeeze):
            branch.weight[:count] = 0.0
        self.conv3.bias[:count] = 0.0  # type: ignore[index]


class LeakyGradient(torch.autograd.Function):
    """ReLU whose gradient below zero is ``leak`` times that above.

    A unit that is never active has no gradient and stays so for good. With a leak it can return, and the output is that
    of a ReLU at all times.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, leak: float) -> Tensor:
        """Return ReLU(x)."""
        y = F.relu(x)
        ctx.save_for_backward(y)
        ctx.leak = leak
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of ``x``."""
        (y,) = ctx.saved_tensors
        return torch.where(y > 0, gradient, gradient * ctx.leak), None


class Anchor(nn.Module):
    """Repeat each LR px s x s times for a pixel shuffle: a fixed convolution of zeros and ones, not trained."""

    kernel: Tensor

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.register_buffer("kernel", nearest_kernel(scale), persistent=False)

    def forward(self, lr: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, 3 s^2, H, W)."""
        return F.conv2d(lr, self.kernel)


class Plain(nn.Module):
    """The network of the given sizes at one scale.

    With torch's default initialisation each layer shrinks the signal, which a chain without skips would lose, so the
    inner convolutions are initialised as proposed by He et al., 2015.

    Args:
        fields: sizes, from a row of :data:`rlfn.models.variants.VARIANTS` or custom.
        scale: the upscaling factor, 1 to 8.

    >>> from rlfn.models.variants import PlainFields
    >>> Plain(PlainFields(layers=2, channels=4), scale=3)(torch.zeros(1, 3, 5, 6)).shape
    torch.Size([1, 3, 15, 18])
    """

    def __init__(self, fields: PlainFields, scale: int) -> None:
        super().__init__()
        self.fields = fields
        self.scale = scale
        self.leak = 0.0
        """The share of the gradient that passes below zero in training mode: :class:`LeakyGradient`."""
        channels = fields.channels
        self.convs = nn.ModuleList([nn.Conv2d(3, channels, 3, padding=1)])
        for _ in range(fields.layers):
            self.convs.append(_inner(channels, fields.expand))
        self.convs.append(nn.Conv2d(channels, 3 * scale * scale, 3, padding=1))
        self.range_ends = ("convs.0", f"convs.{fields.layers + 1}")
        """The first and the last convolution, into which a change of value range folds; the anchor has no range."""
        self.anchor = Anchor(scale)

    @torch.no_grad()
    def start_as_interpolation(self) -> None:
        """Set the weights so that the network equals bilinear upsampling, except within 1 LR px of the border.

        Three channels carry RGB from layer to layer, unchanged by ReLU, and the last convolution adds the difference
        between bilinear upsampling and the anchor. The other channels keep their initial weights; the last convolution
        ignores them at first, but its gradient does not.
        """
        *chain, last = self.convs
        assert isinstance(last, nn.Conv2d)
        for conv in chain:
            if isinstance(conv, BranchedConv):
                conv.carry(3)
            else:
                assert isinstance(conv, nn.Conv2d)
                conv.weight[:3] = 0.0
                conv.weight[:3, :3, 1, 1] = torch.eye(3)
                conv.bias[:3] = 0.0  # type: ignore[index]
        last.weight.zero_()
        last.bias.zero_()  # type: ignore[union-attr]
        last.weight[:, :3] = bilinear_tail(self.scale)
        last.weight[:, :3, 1, 1] -= self.anchor.kernel[:, :, 0, 0]

    def hidden_layers(self) -> list[tuple[str, str]]:
        """See :class:`rlfn.networks.dormant.HiddenLayers`."""
        return [(f"convs.{number}", f"convs.{number + 1}") for number in range(len(self.convs) - 1)]

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale ``lr`` (N, 3, H, W)."""
        x = lr
        *chain, last = self.convs
        for conv in chain:
            x = self._activated(conv(x))
        return F.pixel_shuffle(last(x) + self.anchor(lr), self.scale)

    def _activated(self, x: Tensor) -> Tensor:
        if not (self.leak and self.training):
            return F.relu(x)
        y: Tensor = LeakyGradient.apply(x, self.leak)  # type: ignore[no-untyped-call]
        return y


def set_leak(network: nn.Module, leak: float) -> None:
    """Set the share of the gradient that passes a network's ReLUs below zero.

    Raises:
        OptionError: it has none that could.
    """
    if isinstance(network, Plain):
        network.leak = leak
    elif leak:
        raise OptionError(f"leak: {type(network).__name__} has no ReLU whose gradient could leak. Plain networks have.")


def _inner(channels: int, expand: int) -> nn.Module:
    if expand:
        return BranchedConv(channels, expand)
    conv = nn.Conv2d(channels, channels, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return conv


def nearest_kernel(scale: int) -> Tensor:
    """Return the kernel (3 scale^2, 3, 1, 1) that, before a pixel shuffle, repeats each pixel scale x scale times."""
    return torch.eye(3).repeat_interleave(scale * scale, 0)[:, :, None, None]


def deduce(shapes: Mapping[str, tuple[int, ...]]) -> tuple[PlainFields, int] | None:
    """Deduce the sizes and the scale from a state dict's shapes; None if it is not a chain."""
    layers = len({name.split(".")[1] for name in shapes if name.startswith("convs.")}) - 2
    if layers < 0 or "convs.0.weight" not in shapes or f"convs.{layers + 1}.weight" not in shapes:
        return None
    channels = shapes["convs.0.weight"][0]
    scale = round((shapes[f"convs.{layers + 1}.weight"][0] / 3) ** 0.5)
    expand = shapes.get("convs.1.expand.weight", (0,))[0] // channels
    return PlainFields(layers, channels, expand), scale
