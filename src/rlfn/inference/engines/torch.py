"""PyTorch: the extra ``torch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlfn.forked import ForkGuard
from rlfn.inference.engines.base import Array
from rlfn.models.grid import Grid, grid_matrices

if TYPE_CHECKING:
    from rlfn.networks import Checkpoint

_FORK_GUARD = ForkGuard("torch", "run the engine torch")


class TorchEngine:
    """PyTorch: the extra ``torch``, on CUDA or MPS where there is one, else on the CPU."""

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, threads: int | None = None, precision: str = "fp32") -> None:
        _FORK_GUARD.enter()
        import torch

        from rlfn.networks import ARCHITECTURES
        from rlfn.networks.fuse import fuse_checkpoint
        from rlfn.networks.graph import traits_of

        self.precision = precision
        checkpoint = fuse_checkpoint(checkpoint)
        if threads:
            torch.set_num_threads(threads)
        mps = getattr(torch.backends, "mps", None)
        self.device = "cuda" if torch.cuda.is_available() else "mps" if mps and mps.is_available() else "cpu"
        self._device = torch.device(self.device)
        self._network = checkpoint.network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.takes_grid = ARCHITECTURES[checkpoint.variant.architecture].takes_grid
        self.traits = traits_of(checkpoint, grid=self.takes_grid)

    def __call__(self, lr: Array, grid: Grid | None = None) -> Array:
        """Upscale ``lr`` (N, 3, H, W) float32 in [0, 255]."""
        import torch

        from rlfn.networks.rlfn import GridTensors

        arguments = [torch.from_numpy(lr).to(self._device, memory_format=torch.channels_last)]
        if grid is not None:
            matrices = (torch.from_numpy(matrix).to(self._device) for matrix in grid_matrices(grid))
            arguments.append(GridTensors(*matrices))  # type: ignore[arg-type]
        half = torch.autocast(self._device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with torch.inference_mode(), half:
            sr: Array = self._network(*arguments).float().contiguous().cpu().numpy()
        return sr
