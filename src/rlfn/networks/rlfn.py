"""RLFN, the Residual Local Feature Network (Kong et al., 2022, arXiv 2205.07514), in one file.

    conv3x3 (3 -> C)  ->  N x RLFB  ->  conv3x3 (C -> C)  + first conv  ->  conv3x3 (C -> 3 s^2)  ->  pixel shuffle (s)

The network's contract: RGB in [0, 255] in and out, (N, 3, H, W) float to (N, 3, sH, sW); at least 15 px a
side; nothing is clamped. Parameter names are the official ones, so weights can be exchanged in both directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlfn.models.variants import RLFNFields
from rlfn.networks.interpolation import set_interpolating

_SLOPE = 0.05


class GridTensors(NamedTuple):
    """The matrices with which ESA treats a tile as part of its picture (see :mod:`rlfn.models.grid`).

    ``rows`` (H, h) and ``columns`` (W, w) interpolate the pooled map of h x w to H x W; ``pad_rows`` (h + 2, h) and
    ``pad_columns`` (w + 2, w) pad it by one on each side: with zeros at the border of the picture, with the nearest
    value elsewhere.
    """

    rows: Tensor
    columns: Tensor
    pad_rows: Tensor
    pad_columns: Tensor


class ESA(nn.Module):
    """Enhanced spatial attention with a single convolution in the convolution group (paper, section 3.2)."""

    def __init__(self, channels: int, esa_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, esa_channels, 1)
        self.conv_f = nn.Conv2d(esa_channels, esa_channels, 1)
        self.conv2 = nn.Conv2d(esa_channels, esa_channels, 3, stride=2)
        self.conv3 = nn.Conv2d(esa_channels, esa_channels, 3, padding=1)
        self.conv4 = nn.Conv2d(esa_channels, channels, 1)

    def forward(self, x: Tensor, grid: GridTensors | None = None) -> Tensor:
        """Weight ``x`` (N, C, H, W) by an attention map in (0, 1) of the same shape."""
        a = self.conv1(x)
        pooled = F.max_pool2d(self.conv2(a), kernel_size=7, stride=3)
        if grid is None:
            wide = F.interpolate(self.conv3(pooled), size=x.shape[2:], mode="bilinear", align_corners=False)
        else:
            padded = grid.pad_rows @ pooled @ grid.pad_columns.transpose(0, 1)
            narrow = F.conv2d(padded, self.conv3.weight, self.conv3.bias)
            wide = grid.rows @ narrow @ grid.columns.transpose(0, 1)
        return x * torch.sigmoid(self.conv4(wide + self.conv_f(a)))


class RLFB(nn.Module):
    """Residual local feature block: three convolutions, the block's input added, a 1x1 convolution, ESA."""

    def __init__(self, channels: int, mid: int, esa_channels: int) -> None:
        super().__init__()
        self.c1_r = nn.Conv2d(channels, mid, 3, padding=1)
        self.c2_r = nn.Conv2d(mid, mid, 3, padding=1)
        self.c3_r = nn.Conv2d(mid, channels, 3, padding=1)
        self.c5 = nn.Conv2d(channels, channels, 1)
        self.esa = ESA(channels, esa_channels)

    def forward(self, x: Tensor, grid: GridTensors | None = None) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        y = x
        for conv in (self.c1_r, self.c2_r, self.c3_r):
            y = F.leaky_relu(conv(y), _SLOPE)
        out: Tensor = self.esa(self.c5(y + x), grid)
        return out


class RLFN(nn.Module):
    """The network of the given sizes at one scale.

    Args:
        fields: sizes, from a row of :data:`rlfn.models.variants.VARIANTS` or custom.
        scale: the upscaling factor, 1 to 8.

    >>> from rlfn.models.variants import RLFNFields
    >>> network = RLFN(RLFNFields(blocks=1, channels=4, mid=4, esa_channels=2), scale=2)
    >>> network(torch.zeros(1, 3, 15, 20)).shape
    torch.Size([1, 3, 30, 40])
    """

    range_ends = ("conv_1", "upsampler.0")
    """The first and the last convolution, into which a change of value range folds."""

    def __init__(self, fields: RLFNFields, scale: int) -> None:
        super().__init__()
        self.fields = fields
        self.scale = scale
        self.conv_1 = nn.Conv2d(3, fields.channels, 3, padding=1)
        for number in range(1, fields.blocks + 1):
            self.add_module(f"block_{number}", RLFB(fields.channels, fields.mid, fields.esa_channels))
        self.conv_2 = nn.Conv2d(fields.channels, fields.channels, 3, padding=1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(fields.channels, 3 * scale * scale, 3, padding=1), nn.PixelShuffle(scale)
        )

    def start_as_interpolation(self) -> None:
        """Set the weights so that the network equals bilinear upsampling: :mod:`rlfn.networks.interpolation`."""
        set_interpolating(self.conv_1, self.conv_2, self.upsampler[0], self.scale)

    def hidden_layers(self) -> list[tuple[str, str]]:
        """See :class:`rlfn.networks.dormant.HiddenLayers`: the channels between a block's convolutions."""
        blocks = [f"block_{number}" for number in range(1, self.fields.blocks + 1)]
        return [(f"{block}.c{conv}_r", f"{block}.c{conv + 1}_r") for block in blocks for conv in (1, 2)]

    def part_names(self) -> list[str]:
        """See :class:`rlfn.training.blockwise_loss.Parts`."""
        return ["conv_1", *(f"block_{number}" for number in range(1, self.fields.blocks + 1)), "conv_2", "upsampler.0"]

    def part_outputs(self, lr: Tensor, given: Sequence[Tensor] | None = None) -> list[Tensor]:
        """See :class:`rlfn.training.blockwise_loss.Parts`; the output of ``conv_2`` includes that of ``conv_1``."""
        outputs = [self.conv_1(lr)]
        before = outputs if given is None else given
        for number in range(1, self.fields.blocks + 1):
            outputs.append(self.get_submodule(f"block_{number}")(before[number - 1]))
        outputs.append(self.conv_2(before[self.fields.blocks]) + before[0])
        outputs.append(self.upsampler[0](before[self.fields.blocks + 1]))
        return outputs

    def forward(self, lr: Tensor, grid: GridTensors | None = None) -> Tensor:
        """Upscale ``lr`` (N, 3, H, W), a whole picture or, with ``grid``, a tile of one."""
        first = self.conv_1(lr)
        x = first
        for number in range(1, self.fields.blocks + 1):
            x = self.get_submodule(f"block_{number}")(x, grid)
        sr: Tensor = self.upsampler(self.conv_2(x) + first)
        return sr


def deduce(shapes: Mapping[str, tuple[int, ...]]) -> tuple[RLFNFields, int] | None:
    """Deduce the sizes and the scale from a state dict's shapes; None if it is not an RLFN."""
    try:
        channels = shapes["conv_1.weight"][0]
        mid = shapes["block_1.c1_r.weight"][0]
        esa_channels = shapes["block_1.esa.conv1.weight"][0]
        scale = round((shapes["upsampler.0.weight"][0] / 3) ** 0.5)
    except KeyError:
        return None
    blocks = sum(1 for name in shapes if name.startswith("block_") and name.endswith(".c5.weight"))
    return RLFNFields(blocks, channels, mid, esa_channels), scale
