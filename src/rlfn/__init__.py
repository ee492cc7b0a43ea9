"""Upscale pictures and videos with RLFN on any CPU, and train, evaluate and export the network.

The public names are loaded on first use, so ``import rlfn`` is fast.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # type checkers take it as true; importing typing would take most of the time
if TYPE_CHECKING:
    from rlfn.api.pictures import Upscaled, upscale, upscale_with_details
    from rlfn.api.pool import unload_models
    from rlfn.api.videos import upscale_video
    from rlfn.errors import (
        DataError,
        ForkedError,
        MissingExtraError,
        ModelError,
        OptionError,
        OutputError,
        PictureError,
        PictureWarning,
        RlfnError,
        StoppedError,
        TrainingError,
    )
    from rlfn.inference.upscaler import Upscaler
    from rlfn.jobs.video.progress import VideoProgress
    from rlfn.jobs.video.record import VideoRecord

__version__ = "0.1.0"

_MODULES = {
    "DataError": "rlfn.errors",
    "ForkedError": "rlfn.errors",
    "MissingExtraError": "rlfn.errors",
    "ModelError": "rlfn.errors",
    "OptionError": "rlfn.errors",
    "OutputError": "rlfn.errors",
    "PictureError": "rlfn.errors",
    "PictureWarning": "rlfn.errors",
    "RlfnError": "rlfn.errors",
    "StoppedError": "rlfn.errors",
    "TrainingError": "rlfn.errors",
    "Upscaled": "rlfn.api.pictures",
    "Upscaler": "rlfn.inference.upscaler",
    "VideoProgress": "rlfn.jobs.video.progress",
    "VideoRecord": "rlfn.jobs.video.record",
    "unload_models": "rlfn.api.pool",
    "upscale": "rlfn.api.pictures",
    "upscale_video": "rlfn.api.videos",
    "upscale_with_details": "rlfn.api.pictures",
}
"""The module that defines each public name."""

__all__ = [
    "DataError",
    "ForkedError",
    "MissingExtraError",
    "ModelError",
    "OptionError",
    "OutputError",
    "PictureError",
    "PictureWarning",
    "RlfnError",
    "StoppedError",
    "TrainingError",
    "Upscaled",
    "Upscaler",
    "VideoProgress",
    "VideoRecord",
    "__version__",
    "unload_models",
    "upscale",
    "upscale_video",
    "upscale_with_details",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'rlfn' has no attribute '{name}'")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
