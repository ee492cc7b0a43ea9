"""Pictures made up for the tests of training data."""

from __future__ import annotations

import numpy as np

SIZES = {"a.png": (70, 101), "b.png": (96, 64), "sub/c.png": (64, 67)}


def synthetic(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a (height, width, 3) uint8 picture with a gradient, waves and noise, unlike at every place."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(float)
    waves = [90 * np.sin(x / (3 + c + seed)) * np.cos(y / (5 + c)) + 60 * x / width + 30 * y / height for c in range(3)]
    return np.clip(np.stack(waves, -1) + random.normal(100, 10, (height, width, 3)), 0, 255).astype(np.uint8)
