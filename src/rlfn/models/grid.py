"""ESA's matrices, which encode the position of a tile in its picture.

ESA pools on a grid of 6 px and stretches the pooled map over the picture by a ratio that depends on the picture's size.
With two matrices per axis, computed from the **whole** picture's coordinates, a tile computes its part of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rlfn.models.variants import GRID_STRIDE


@dataclass(frozen=True)
class AxisGrid:
    """ESA's matrices along one axis of a tile: ``interpolate`` (n, pooled) and ``pad`` (pooled + 2, pooled)."""

    interpolate: NDArray[np.float32]
    pad: NDArray[np.float32]


Grid = tuple[AxisGrid, AxisGrid]
"""The matrices of both axes of a tile: rows, columns."""


def grid_matrices(grid: Grid) -> tuple[NDArray[np.float32], ...]:
    """Return a grid's four matrices in the order of :data:`rlfn.models.traits.GRID_INPUTS`."""
    rows, columns = grid
    return rows.interpolate, columns.interpolate, rows.pad, columns.pad


def pooled_length(length: int) -> int:
    """Return the length of ESA's pooled map for ``length`` px (at least 15)."""
    return ((length - 3) // 2 + 1 - 7) // 3 + 1


@lru_cache(maxsize=64)
def axis_grid(start: int, stop: int, length: int) -> AxisGrid:
    """Return ESA's matrices for the pixels [start, stop) of an axis of ``length`` px.

    ``start`` must be a multiple of :data:`GRID_STRIDE`; ``stop`` is arbitrary, and ``length`` for the last tile.
    For start = 0 and stop = length they are the network's own bilinear resize (align_corners=False) and zero padding.
    """
    whole, here, offset = pooled_length(length), pooled_length(stop - start), start // GRID_STRIDE
    source = (np.arange(start, stop) + 0.5) * (whole / length) - 0.5
    source = np.clip(source, 0.0, whole - 1)
    low = np.minimum(source.astype(np.intp), whole - 1)
    high = np.minimum(low + 1, whole - 1)
    part = (source - low).astype(np.float32)
    interpolate = np.zeros((stop - start, here), np.float32)
    lines = np.arange(stop - start)
    for index, weight in ((low, 1.0 - part), (high, part)):
        np.add.at(interpolate, (lines, np.clip(index - offset, 0, here - 1)), weight)
    pad = np.zeros((here + 2, here), np.float32)
    pad[1:-1] = np.eye(here, dtype=np.float32)
    pad[0, 0] = float(start > 0)
    pad[-1, -1] = float(stop < length)
    return AxisGrid(interpolate, pad)
