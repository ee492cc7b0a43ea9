"""EDSR-baseline (Lim et al., 2017, arXiv 1707.02921), the plain residual network that serves as a common baseline.

    mean shift  ->  conv3x3  ->  N x (conv3x3, ReLU, conv3x3, + input)  ->  conv3x3  + first conv
                ->  [conv3x3, pixel shuffle] for each prime factor of the scale  ->  conv3x3  ->  mean shift back

The network's contract: RGB in [0, 255] in and out, (N, 3, H, W) float to (N, 3, sH, sW); any size; nothing is clamped.
Parameter names are the official ones.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlfn.models.variants import EDSRFields
from rlfn.networks.interpolation import bilinear_tail, set_before_skip, set_carrying

RGB_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean colour of DIV2K's training pictures in [0, 1], which the network subtracts and adds back."""


class MeanShift(nn.Module):
    """Add ``sign`` times the mean colour; constant, but a 1x1 convolution because the official files store it so."""

    weight: Tensor
    bias: Tensor

    def __init__(self, sign: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(3)[:, :, None, None].clone())
        self.register_buffer("bias", sign * 255.0 * torch.tensor(RGB_MEAN))

    def forward(self, x: Tensor) -> Tensor:
        """Shift (N, 3, H, W)."""
        return F.conv2d(x, self.weight, self.bias)


class ResidualBlock(nn.Module):
    """conv3x3, ReLU, conv3x3, and the block's input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.body(x) + x
        return out


class EDSR(nn.Module):
    """The network of the given sizes at one scale.

    >>> from rlfn.models.variants import EDSRFields
    >>> EDSR(EDSRFields(blocks=1, channels=4), scale=3)(torch.zeros(1, 3, 5, 6)).shape
    torch.Size([1, 3, 15, 18])
    """

    def __init__(self, fields: EDSRFields, scale: int) -> None:
        super().__init__()
        self.fields = fields
        self.scale = scale
        channels = fields.channels
        self.sub_mean = MeanShift(-1)
        self.add_mean = MeanShift(1)
        self.head = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1))
        self.body = nn.Sequential(
            *(ResidualBlock(channels) for _ in range(fields.blocks)), nn.Conv2d(channels, channels, 3, padding=1)
        )
        steps: list[nn.Module] = []
        for factor in _prime_factors(scale):
            steps += [nn.Conv2d(channels, channels * factor * factor, 3, padding=1), nn.PixelShuffle(factor)]
        self.tail = nn.Sequential(nn.Sequential(*steps), nn.Conv2d(channels, 3, 3, padding=1))

    @torch.no_grad()
    def start_as_interpolation(self) -> None:
        """Set the weights so that the network equals bilinear upsampling, a step for each prime factor of the scale.

        As in :mod:`rlfn.networks.interpolation`; it differs within 1 px of the border because of zero padding.
        """
        set_carrying(self.head[0])
        set_before_skip(self.body[-1])
        steps, last = self.tail
        assert isinstance(steps, nn.Sequential)
        for step, factor in zip(list(steps)[::2], _prime_factors(self.scale), strict=True):
            assert isinstance(step, nn.Conv2d)
            assert step.bias is not None
            colours = 3 * factor * factor
            step.weight[:colours] = 0.0
            step.weight[:colours, :3] = bilinear_tail(factor)
            step.bias[:colours] = 0.0
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        last.weight.zero_()
        last.weight[:, :3, 1, 1] = torch.eye(3)
        last.bias.zero_()

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale ``lr`` (N, 3, H, W)."""
        first = self.head(self.sub_mean(lr))
        sr: Tensor = self.add_mean(self.tail(self.body(first) + first))
        return sr


def _prime_factors(scale: int) -> list[int]:
    """Return the prime factors of ``scale``, smallest first: one upsampling step each.

    >>> _prime_factors(6), _prime_factors(8), _prime_factors(1)
    ([2, 3], [2, 2, 2], [])
    """
    factors = []
    for prime in (2, 3, 5, 7):
        while scale % prime == 0:
            factors.append(prime)
            scale //= prime
    return factors


def deduce(shapes: Mapping[str, tuple[int, ...]]) -> tuple[EDSRFields, int] | None:
    """Deduce the sizes and the scale from a state dict's shapes; None if it is not an EDSR."""
    if "sub_mean.weight" not in shapes or "head.0.weight" not in shapes or "body.0.body.0.weight" not in shapes:
        return None
    channels = shapes["head.0.weight"][0]
    scale = 1
    for name, shape in shapes.items():
        if name.startswith("tail.0.") and name.endswith(".weight"):
            scale *= round((shape[0] / channels) ** 0.5)
    blocks = sum(1 for name in shapes if name.startswith("body.") and name.endswith(".body.0.weight"))
    return EDSRFields(blocks, channels), scale
