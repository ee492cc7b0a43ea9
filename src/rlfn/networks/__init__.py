"""The networks in torch: modules, the table of architectures, checkpoints."""

from __future__ import annotations

from rlfn.networks.build import ARCHITECTURES, build
from rlfn.networks.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from rlfn.networks.rlfn import RLFN

__all__ = ["ARCHITECTURES", "RLFN", "Checkpoint", "build", "load_checkpoint", "save_checkpoint"]
