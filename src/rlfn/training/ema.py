"""An exponential moving average of a network's weights, which is what a finished run ships."""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA:
    """A copy of ``network`` that follows it.

    The decay ramps up as (1 + n) / (10 + n) to ``decay``, so that a short run is not held back by its start.

    Args:
        network: the network that is trained.
        decay: the share of the old average that each step keeps, in [0, 1); 0 follows the network exactly.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.count = 0
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average one step towards ``network``."""
        self.count += 1
        keep = min(self.decay, (1.0 + self.count) / (10.0 + self.count))
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1.0 - keep)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)
