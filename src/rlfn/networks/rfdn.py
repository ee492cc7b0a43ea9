"""RFDN (Liu et al., 2020, arXiv 2009.11551), the network from which RLFN was made, and the steps between the two.

    conv3x3 (3 -> C)  ->  N x block  ->  all blocks' outputs concatenated, conv1x1, LeakyReLU  ->  conv3x3 + first conv
                      ->  conv3x3 (C -> 3 s^2)  ->  pixel shuffle (s)

One outer structure, three bodies (``RFDNFields.body``), each simpler than the one before, as in the ablation of RLFN's
paper:

- ``rfdb``: RFDN's own block, distillation branches in parallel with shallow residual blocks (SRB);
- ``srb``: the distillation branches removed, the SRBs kept;
- ``plain``: the SRBs' own additions removed too, which leaves RLFN's block.

ESA has one or three convolutions in its group (``RFDNFields.esa_convs``): RFDN's three, or the one that RLFN kept.

The network's contract: RGB in [0, 255] in and out, (N, 3, H, W) float to (N, 3, sH, sW); at least 15 px a
side; nothing is clamped. Parameter names are those of the reference file, which uses [0, 255] as well. There is none
for ``srb`` and ``plain``; their convolutions have different names, so that a file can be recognised.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlfn.models.variants import RFDNFields
from rlfn.networks.interpolation import set_interpolating

_SLOPE = 0.05


class GroupESA(nn.Module):
    """Enhanced spatial attention with one or three convolutions on its small map, a ReLU between each two."""

    def __init__(self, channels: int, esa_channels: int, convs: int) -> None:
        super().__init__()
        f = esa_channels
        self.conv1 = nn.Conv2d(channels, f, 1)
        self.conv_f = nn.Conv2d(f, f, 1)
        self.conv2 = nn.Conv2d(f, f, 3, stride=2)
        self.group = ("conv3",) if convs == 1 else ("conv_max", "conv3", "conv3_")
        for name in self.group:
            self.add_module(name, nn.Conv2d(f, f, 3, padding=1))
        self.conv4 = nn.Conv2d(f, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Weight ``x`` (N, C, H, W) by an attention map in (0, 1) of the same shape."""
        a = self.conv1(x)
        small = F.max_pool2d(self.conv2(a), kernel_size=7, stride=3)
        for number, name in enumerate(self.group):
            small = self.get_submodule(name)(F.relu(small) if number else small)
        wide = F.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.conv4(wide + self.conv_f(a)))


class RFDB(nn.Module):
    """Residual feature distillation block: four distilled maps of C/2 channels joined by a 1x1 convolution, and ESA."""

    def __init__(self, fields: RFDNFields) -> None:
        super().__init__()
        channels, half = fields.channels, fields.channels // 2
        for number in (1, 2, 3):
            self.add_module(f"c{number}_d", nn.Conv2d(channels, half, 1))
            self.add_module(f"c{number}_r", nn.Conv2d(channels, channels, 3, padding=1))
        self.c4 = nn.Conv2d(channels, half, 3, padding=1)
        self.c5 = nn.Conv2d(4 * half, channels, 1)
        self.esa = GroupESA(channels, fields.esa_channels, fields.esa_convs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        distilled = []
        for number in (1, 2, 3):
            distilled.append(F.leaky_relu(self.get_submodule(f"c{number}_d")(x), _SLOPE))
            x = F.leaky_relu(self.get_submodule(f"c{number}_r")(x) + x, _SLOPE)
        distilled.append(F.leaky_relu(self.c4(x), _SLOPE))
        out: Tensor = self.esa(self.c5(torch.cat(distilled, dim=1)))
        return out


class SRBBody(nn.Module):
    """An RFDB without its distillation branches: three SRBs, the block's input added, a 1x1 convolution, ESA."""

    letter = "s"
    """The last letter of the three convolutions' names."""

    def __init__(self, fields: RFDNFields) -> None:
        super().__init__()
        channels = fields.channels
        for number in (1, 2, 3):
            self.add_module(f"c{number}_{self.letter}", nn.Conv2d(channels, channels, 3, padding=1))
        self.c5 = nn.Conv2d(channels, channels, 1)
        self.esa = GroupESA(channels, fields.esa_channels, fields.esa_convs)

    def refine(self, conv: nn.Module, x: Tensor) -> Tensor:
        """Take one of the three steps: a shallow residual block."""
        return F.leaky_relu(conv(x) + x, _SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        y = x
        for number in (1, 2, 3):
            y = self.refine(self.get_submodule(f"c{number}_{self.letter}"), y)
        out: Tensor = self.esa(self.c5(y + x))
        return out


class PlainBody(SRBBody):
    """:class:`SRBBody` without the additions inside the SRBs: RLFN's block."""

    letter = "r"

    def refine(self, conv: nn.Module, x: Tensor) -> Tensor:
        """Take one of the three steps: a convolution and its activation."""
        return F.leaky_relu(conv(x), _SLOPE)


BODIES: dict[str, type[RFDB] | type[SRBBody]] = {"rfdb": RFDB, "srb": SRBBody, "plain": PlainBody}
"""The blocks by the name that ``RFDNFields.body`` uses."""


class RFDN(nn.Module):
    """An RFDN with one of the bodies, at one scale.

    >>> from rlfn.models.variants import RFDNFields
    >>> RFDN(RFDNFields(blocks=2, channels=8, esa_channels=2), scale=2)(torch.zeros(1, 3, 15, 20)).shape
    torch.Size([1, 3, 30, 40])
    """

    range_ends = ("fea_conv", "upsampler.0")
    """The first and the last convolution, into which a change of value range folds."""

    def __init__(self, fields: RFDNFields, scale: int) -> None:
        super().__init__()
        self.fields = fields
        self.scale = scale
        channels = fields.channels
        self.fea_conv = nn.Conv2d(3, channels, 3, padding=1)
        for number in range(1, fields.blocks + 1):
            self.add_module(f"B{number}", BODIES[fields.body](fields))
        self.c = nn.Sequential(nn.Conv2d(fields.blocks * channels, channels, 1), nn.LeakyReLU(_SLOPE))
        self.LR_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(channels, 3 * scale * scale, 3, padding=1), nn.PixelShuffle(scale))

    def start_as_interpolation(self) -> None:
        """Set the weights so that the network equals bilinear upsampling: :mod:`rlfn.networks.interpolation`."""
        set_interpolating(self.fea_conv, self.LR_conv, self.upsampler[0], self.scale)

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale ``lr`` (N, 3, H, W)."""
        first = self.fea_conv(lr)
        outputs = []
        x = first
        for number in range(1, self.fields.blocks + 1):
            x = self.get_submodule(f"B{number}")(x)
            outputs.append(x)
        sr: Tensor = self.upsampler(self.LR_conv(self.c(torch.cat(outputs, dim=1))) + first)
        return sr


def deduce(shapes: Mapping[str, tuple[int, ...]]) -> tuple[RFDNFields, int] | None:
    """Deduce the sizes and the scale from a state dict's shapes; None if it is not an RFDN."""
    try:
        channels = shapes["fea_conv.weight"][0]
        esa_channels = shapes["B1.esa.conv1.weight"][0]
        scale = round((shapes["upsampler.0.weight"][0] / 3) ** 0.5)
    except KeyError:
        return None
    body = "rfdb" if "B1.c1_d.weight" in shapes else "srb" if "B1.c1_s.weight" in shapes else "plain"
    esa_convs = 3 if "B1.esa.conv_max.weight" in shapes else 1
    blocks = sum(1 for name in shapes if name.startswith("B") and name.endswith(".c5.weight"))
    return RFDNFields(blocks, channels, esa_channels, body, esa_convs), scale
