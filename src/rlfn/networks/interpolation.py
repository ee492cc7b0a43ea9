"""Initialisation as bilinear upsampling, for networks with a long skip and a pixel shuffle.

    RGB --first conv--> 3 of C channels ----------- long skip -----------> last conv --pixel shuffle--> bilinear
                        the other channels --> body --> conv before skip ---^

The first three channels carry RGB: the first convolution copies the picture into them, the convolution before the skip
adds nothing to them, and the last convolution interpolates them. The other channels keep torch's default
initialisation, with the body's contribution scaled by 0.1; the last convolution ignores them at first, but its gradient
does not, so they take part after two steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def bilinear_tail(scale: int) -> Tensor:
    """Return the kernel (3 scale^2, 3, 3, 3) that, before a pixel shuffle, interpolates RGB bilinearly.

    Sub-pixel i of a side lies at (i + 0.5) / scale - 0.5 px from its pixel's centre (``align_corners=False``).
    """
    offset = (torch.arange(scale) + 0.5) / scale - 0.5
    taps = torch.stack([(-offset).clamp(min=0.0), 1.0 - offset.abs(), offset.clamp(min=0.0)], 1)  # (scale, 3)
    kernel = torch.einsum("iy,jx->ijyx", taps, taps)
    return torch.einsum("co,ijyx->cijoyx", torch.eye(3), kernel).reshape(3 * scale * scale, 3, 3, 3)


@torch.no_grad()
def set_interpolating(first: nn.Module, before_skip: nn.Module, last: nn.Module, scale: int) -> None:
    """Set three 3x3 convolutions, in place, so that their network equals bilinear upsampling.

    The equality holds except within 1 LR px of the border, where the convolutions see zeros.

    Args:
        first: 3 to C channels, C at least 3; its output feeds the long skip.
        before_skip: C to C channels, to whose output the skip is added.
        last: C to 3 scale^2 channels, before the pixel shuffle.
        scale: the upscaling factor.
    """
    set_carrying(first)
    set_before_skip(before_skip)
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    last.weight.zero_()
    last.weight[:, :3] = bilinear_tail(scale)
    last.bias.zero_()


@torch.no_grad()
def set_carrying(first: nn.Module) -> None:
    """Set a 3x3 convolution from 3 to C channels so that its first three outputs are its input."""
    assert isinstance(first, nn.Conv2d)
    assert first.bias is not None
    first.weight[:3] = 0.0
    first.weight[:3, :, 1, 1] = torch.eye(3)
    first.bias[:3] = 0.0


@torch.no_grad()
def set_before_skip(convolution: nn.Module) -> None:
    """Set a convolution so that it adds nothing to the first three channels, and scale the others by 0.1."""
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    convolution.weight.mul_(0.1)
    convolution.weight[:3] = 0.0
    convolution.bias.zero_()
