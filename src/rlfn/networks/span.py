"""SPAN, the Swift Parameter-free Attention Network (Wan et al., 2024, arXiv 2311.12770), in its deployed form.

    subtract mean   ->  conv3x3 (3 -> C)  ->  N x SPAB  ->  conv3x3
                    ->  first conv, that, first block, last block's inner map: concatenated, conv1x1
                    ->  conv3x3 (C -> 3 s^2)  ->  pixel shuffle (s)

A SPAB is three convolutions with SiLU in between; its last map f weights the sum of f and the block's input by
sigmoid(f) - 1/2, an attention without parameters. In training each convolution may be expanded and folded back;
reference files contain the folded one, ``eval_conv``, and only that is defined here.

The network's contract: RGB in [0, 255] in and out, (N, 3, H, W) float to (N, 3, sH, sW); any size; nothing is clamped.
The reference weights expect the mean colour to be subtracted and return [0, 1]: forward converts both ranges. Parameter
names are those of the reference file.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlfn.models.variants import SPANFields
from rlfn.networks.edsr import RGB_MEAN

_RANGE = 255.0


class FoldedConv(nn.Module):
    """A 3x3 convolution under the name of a folded one in the reference file."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.eval_conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        out: Tensor = self.eval_conv(x)
        return out


class SPAB(nn.Module):
    """Swift parameter-free attention block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.c1_r = FoldedConv(channels, channels)
        self.c2_r = FoldedConv(channels, channels)
        self.c3_r = FoldedConv(channels, channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W) to the block's output and its map after the first activation, both of the same shape."""
        inner = F.silu(self.c1_r(x))
        last = self.c3_r(F.silu(self.c2_r(inner)))
        return (last + x) * (torch.sigmoid(last) - 0.5), inner


class SPAN(nn.Module):
    """The network of the given sizes at one scale.

    >>> from rlfn.models.variants import SPANFields
    >>> SPAN(SPANFields(blocks=2, channels=4), scale=2)(torch.zeros(1, 3, 4, 5)).shape
    torch.Size([1, 3, 8, 10])
    """

    mean: Tensor

    def __init__(self, fields: SPANFields, scale: int) -> None:
        super().__init__()
        self.fields = fields
        self.scale = scale
        channels = fields.channels
        self.register_buffer("mean", _RANGE * torch.tensor(RGB_MEAN)[:, None, None], persistent=False)
        self.conv_1 = FoldedConv(3, channels)
        for number in range(1, fields.blocks + 1):
            self.add_module(f"block_{number}", SPAB(channels))
        self.conv_cat = nn.Conv2d(4 * channels, channels, 1)
        self.conv_2 = FoldedConv(channels, channels)
        self.upsampler = nn.Sequential(nn.Conv2d(channels, 3 * scale * scale, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale ``lr`` (N, 3, H, W)."""
        first = self.conv_1(lr - self.mean)
        early, inner = self.get_submodule("block_1")(first)
        x = early
        for number in range(2, self.fields.blocks + 1):
            x, inner = self.get_submodule(f"block_{number}")(x)
        sr: Tensor = self.upsampler(self.conv_cat(torch.cat((first, self.conv_2(x), early, inner), dim=1)))
        return sr * _RANGE


def deduce(shapes: Mapping[str, tuple[int, ...]]) -> tuple[SPANFields, int] | None:
    """Deduce the sizes and the scale from a state dict's shapes; None if it is not a SPAN."""
    if "conv_1.eval_conv.weight" not in shapes or "upsampler.0.weight" not in shapes:
        return None
    blocks = sum(1 for name in shapes if name.startswith("block_") and name.endswith(".c1_r.eval_conv.weight"))
    scale = round((shapes["upsampler.0.weight"][0] / 3) ** 0.5)
    return SPANFields(blocks, shapes["conv_1.eval_conv.weight"][0]), scale
