"""Entry points of torch.hub: networks with the packaged weights, or without any.

network = torch.hub.load(REPOSITORY, "rlfn", "rlfn-s-x4")
sr = network(lr)  # (N, 3, H, W) float in [0, 255], at least 15 px a side
"""

import sys
from pathlib import Path

from torch import nn

dependencies = ["numpy", "safetensors", "torch"]

sys.path.insert(0, str(Path(__file__).parent / "src"))


def rlfn(model: str = "rlfn-s-x4") -> nn.Module:
    """Return a packaged model's network, in evaluation mode; a wrong name is answered with the list of them."""
    from rlfn.models.catalog import TENSORS, get_model
    from rlfn.networks import load_checkpoint

    return load_checkpoint(get_model(model).file(TENSORS).path).network


def untrained(variant: str, scale: int) -> nn.Module:
    """Return a network of the table without weights, for training; a wrong name is answered with the list."""
    from rlfn.models.variants import get_variant
    from rlfn.networks import build

    return build(get_variant(variant), scale)
