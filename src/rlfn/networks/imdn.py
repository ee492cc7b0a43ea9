"""IMDN (Hui et al., 2019, arXiv 1909.11856) as its authors entered it in the AIM 2019 challenge.

    conv3x3 (3 -> C)  ->  N x IMDB  ->  conv3x3  + first conv  ->  conv3x3 (C -> 3 s^2)  ->  pixel shuffle (s)

An IMDB splits a quarter of the channels off after each of its first three convolutions; the four quarters are joined by
a 1x1 convolution and the block's input is added. Unlike the paper's network, the challenge's has eight blocks in a row
and no contrast-aware channel attention.

The network's contract: RGB in [0, 255] in and out, (N, 3, H, W) float to (N, 3, sH, sW); any size; nothing is clamped.
The reference weights were trained in [0, 1], so forward divides by 255 and multiplies the result by 255. Parameter
names are those of the reference file.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rlfn.models.variants import IMDNFields

_SLOPE = 0.05
_RANGE = 255.0


def _conv_act(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.LeakyReLU(_SLOPE))


class IMDB(nn.Module):
    """Information multi-distillation block: three splits, a last convolution, a 1x1 convolution, the input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.split = [channels // 4, channels - channels // 4]
        kept, rest = self.split
        self.conv1 = _conv_act(channels, channels)
        self.conv2 = _conv_act(rest, channels)
        self.conv3 = _conv_act(rest, channels)
        self.conv4 = nn.Conv2d(rest, kept, 3, padding=1)
        self.conv1x1 = nn.Conv2d(4 * kept, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        distilled = []
        rest = x
        for conv in (self.conv1, self.conv2, self.conv3):
            kept, rest = torch.split(conv(rest), self.split, dim=1)
            distilled.append(kept)
        distilled.append(self.conv4(rest))
        out: Tensor = self.conv1x1(torch.cat(distilled, dim=1)) + x
        return out


class Skip(nn.Module):
    """A chain of modules whose input is added to its output; ``sub`` is the reference file's name for it."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.sub = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.sub(x) + x
        return out


class IMDN(nn.Module):
    """The network of the given sizes at one scale.

    >>> from rlfn.models.variants import IMDNFields
    >>> IMDN(IMDNFields(blocks=1, channels=8), scale=2)(torch.zeros(1, 3, 4, 5)).shape
    torch.Size([1, 3, 8, 10])
    """

    def __init__(self, fields: IMDNFields, scale: int) -> None:
        super().__init__()
        self.fields = fields
        self.scale = scale
        channels = fields.channels
        self.model = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1),
            Skip(*(IMDB(channels) for _ in range(fields.blocks)), nn.Conv2d(channels, channels, 3, padding=1)),
            nn.Conv2d(channels, 3 * scale * scale, 3, padding=1),
            nn.PixelShuffle(scale),
        )

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale ``lr`` (N, 3, H, W)."""
        sr: Tensor = self.model(lr / _RANGE)
        return sr * _RANGE


def deduce(shapes: Mapping[str, tuple[int, ...]]) -> tuple[IMDNFields, int] | None:
    """Deduce the sizes and the scale from a state dict's shapes; None if it is not an IMDN."""
    if "model.1.sub.0.conv1x1.weight" not in shapes or "model.2.weight" not in shapes:
        return None
    blocks = sum(1 for name in shapes if name.endswith(".conv1x1.weight"))
    scale = round((shapes["model.2.weight"][0] / 3) ** 0.5)
    return IMDNFields(blocks, shapes["model.1.sub.0.conv1x1.weight"][0]), scale
