"""Wrapper modules for export: grid inputs, any size, half precision, 8-bit pictures."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from rlfn.networks.rlfn import GridTensors


class WithGrid(nn.Module):
    """A network whose grid is passed as four separate inputs, as required by a graph."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, lr: Tensor, rows: Tensor, columns: Tensor, pad_rows: Tensor, pad_columns: Tensor) -> Tensor:
        """Upscale the tile ``lr`` (N, 3, H, W) of a picture (see :class:`rlfn.networks.rlfn.GridTensors`)."""
        sr: Tensor = self.network(lr, GridTensors(rows, columns, pad_rows, pad_columns))
        return sr


class AnySize(nn.Module):
    """A network for pictures of any size: the last row and column are repeated up to ``least`` px per side.

    The result is cropped accordingly. Without it the behaviour of runtimes for pictures smaller than ESA's pooling
    window is undefined: ONNX Runtime divides by zero and crashes the process.
    """

    def __init__(self, network: nn.Module, least: int) -> None:
        super().__init__()
        self.network = network
        self.least = least

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale ``lr`` (N, 3, H, W)."""
        height, width = lr.shape[2:]
        rows = torch.arange(_at_least(height, self.least), device=lr.device).clamp(max=height - 1)
        columns = torch.arange(_at_least(width, self.least), device=lr.device).clamp(max=width - 1)
        sr: Tensor = self.network(lr.index_select(2, rows).index_select(3, columns))
        scale = sr.shape[2] // rows.shape[0]
        return sr[:, :, : height * scale, : width * scale]


def grown(network: nn.Module, least: int) -> nn.Module:
    """Return ``network`` wrapped to take any size, or itself if it does; ``least`` is its smallest side in px."""
    return network if least == 1 else AnySize(network, least)


def _at_least(side: Any, least: int) -> Any:
    # TorchScript traces a side as a tensor, torch.export as a symbol
    return side.clamp(min=least) if isinstance(side, Tensor) else torch.sym_max(side, least)  # type: ignore[no-untyped-call]


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
    """A network with 8-bit input and output: RGB (N, H, W, 3) uint8 to (N, sH, sW, 3) uint8, rounded half up."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Upscale ``image`` (N, H, W, 3) uint8."""
        sr = self.network(image.permute(0, 3, 1, 2).float())
        return to_bytes(sr)


def to_bytes(sr: Tensor) -> Tensor:
    """Convert (N, 3, H, W) in [0, 255] to pictures (N, H, W, 3) uint8, rounded half up."""
    return (sr + 0.5).floor().clamp(0.0, 255.0).byte().permute(0, 2, 3, 1)
