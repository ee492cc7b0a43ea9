"""The loaded models that all functions of the Python API share."""

from __future__ import annotations

from rlfn.inference.enlarge import UpscalerPool

POOL = UpscalerPool()
"""The models that earlier calls in this process have loaded."""
