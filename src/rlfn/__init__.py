"""Upscale pictures with RLFN on any CPU, and train, measure and export the network.

The public names are loaded on first use, so ``import rlfn`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlfn.api import Upscaled, upscale, upscale_with_details
    from rlfn.errors import PictureWarning, RlfnError
    from rlfn.inference.upscaler import Upscaler
    from rlfn.jobs.video.call import upscale_video

__version__ = "0.1.0"

_HOME = {
    "PictureWarning": "rlfn.errors",
    "RlfnError": "rlfn.errors",
    "Upscaled": "rlfn.api",
    "Upscaler": "rlfn.inference.upscaler",
    "upscale": "rlfn.api",
    "upscale_video": "rlfn.jobs.video.call",
    "upscale_with_details": "rlfn.api",
}

__all__ = [
    "PictureWarning",
    "RlfnError",
    "Upscaled",
    "Upscaler",
    "__version__",
    "upscale",
    "upscale_video",
    "upscale_with_details",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'rlfn' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
