"""The loaded models that all functions of the Python API share."""

from __future__ import annotations

from rlfn.inference.upscaler_pool import UpscalerPool

POOL = UpscalerPool()
"""The models that earlier calls in this process have loaded."""


def unload_models() -> None:
    """Release the models that :func:`rlfn.upscale` and the other functions keep loaded; the next call loads them again.

    Calls in other threads finish with the models that they have. An :class:`rlfn.Upscaler` keeps its own model.
    """
    POOL.clear()
