"""Modules around a network that give its graph another face: plain grid inputs, half precision, 8-bit pictures."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from rlfn.networks.rlfn import GridTensors


class WithGrid(nn.Module):
    """A network whose grid is four plain inputs, as a graph needs them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, lr: Tensor, rows: Tensor, columns: Tensor, pad_rows: Tensor, pad_columns: Tensor) -> Tensor:
        """Upscale the tile ``lr`` (N, 3, H, W) of a picture (see :class:`rlfn.networks.rlfn.GridTensors`)."""
        sr: Tensor = self.network(lr, GridTensors(rows, columns, pad_rows, pad_columns))
        return sr


class HalfInside(nn.Module):
    """A copy of a network that computes in fp16 and takes and returns fp32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale ``lr`` (N, 3, H, W) float32 in [0, 255]."""
        sr: Tensor = self.network(lr.half())
        return sr.float()


class ImageIo(nn.Module):
    """A network with its contract inside: RGB (N, H, W, 3) uint8 in, (N, sH, sW, 3) uint8 out, rounded half up."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Upscale ``image`` (N, H, W, 3) uint8."""
        sr = self.network(image.permute(0, 3, 1, 2).float())
        return to_bytes(sr)


def to_bytes(sr: Tensor) -> Tensor:
    """Turn levels of 255 (N, 3, H, W) into pictures (N, H, W, 3) uint8, rounded half up."""
    return (sr + 0.5).floor().clamp(0.0, 255.0).byte().permute(0, 2, 3, 1)
