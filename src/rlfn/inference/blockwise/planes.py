"""Data kept between the stages: feature planes in strips, and ESA's pooled maps, which are filled from the top."""

from __future__ import annotations

from itertools import pairwise
from threading import local

import numpy as np
from numpy.typing import NDArray

from rlfn.inference.blockwise.nets import Net, aligned, pack_of, unpacked
from rlfn.models.grid import AxisGrid

Plane = NDArray[np.float32]
"""Channels, packed: (C / pack, H, W, pack), see :func:`~rlfn.inference.blockwise.nets.pack_of`."""

TAIL = 8
"""Rows of a finished strip that are kept for the halo of the next."""

_POOL, _STRIDE = 7, 3


def plane_shape(channels: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Return the shape of a packed plane."""
    pack = pack_of(channels)
    return channels // pack, height, width, pack


class Buffers(local):
    """Arrays reused by each thread."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, tuple[int, ...]], NDArray[np.float32]] = {}

    def get(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the thread's array of that name and shape; its content is undefined."""
        if (name, shape) not in self._kept:
            self._kept[name, shape] = aligned(shape)
        return self._kept[name, shape]


class Strips:
    """A plane in strips of rows, of which only those that are needed exist.

    A strip is opened, filled, closed, read by the tiles of the strip above, its own and the one below, and dropped when
    its own tiles are done: those below read a copy of its last rows.

    Args:
        channels: number of channels.
        rows: the start of each strip, and the end of the last one.
        width: width of the plane.
        spare: unused strips, shared by all planes of this kind: reused memory is faster.
    """

    def __init__(self, channels: int, rows: list[int], width: int, spare: list[Plane]) -> None:
        self._rows, self._width, self._spare = rows, width, spare
        highest = max(bottom - top for top, bottom in pairwise(rows))
        self._shape = plane_shape(channels, highest, width)
        self.strips: dict[int, Plane] = {}
        self._whole: dict[int, Plane] = {}
        self._tails: dict[int, Plane] = {}

    def open(self, number: int) -> Plane:
        """Create strip ``number`` for filling, and return it."""
        top, bottom = self._rows[number : number + 2]
        self._whole[number] = self._spare.pop() if self._spare else np.empty(self._shape, np.float32)
        self.strips[number] = self._whole[number][:, : bottom - top]
        return self.strips[number]

    def close(self, number: int) -> None:
        """Mark strip ``number`` as filled."""
        self._tails[number] = self.strips[number][:, -TAIL:].copy()

    def read(self, number: int, into: Plane, top: int, left: int) -> None:
        """Copy the rectangle of ``into``'s size at (``top``, ``left``) for a tile of strip ``number``.

        Values outside the picture are zero.
        """
        height, width = into.shape[1:3]
        first, right = max(left, 0), min(left + width, self._width)
        if top < 0 or left < 0 or top + height > self._rows[-1] or left + width > self._width:
            into.fill(0.0)
        sources = [(self._rows[number], self.strips[number])]
        if number:
            tail = self._tails[number - 1]
            sources.append((self._rows[number] - tail.shape[1], tail))
        if number + 1 in self.strips:
            sources.append((self._rows[number + 1], self.strips[number + 1]))
        for start, rows in sources:
            begin, end = max(top, start), min(top + height, start + rows.shape[1])
            if begin < end:
                target = into[:, begin - top : end - top, first - left : right - left]
                target[...] = rows[:, begin - start : end - start, first:right]

    def drop(self, number: int) -> None:
        """Mark the tiles of strip ``number`` and those above as done."""
        del self.strips[number]
        self._spare.append(self._whole.pop(number))
        self._tails.pop(number - 1, None)


class PooledMap:
    """ESA's map of one block: pooled and convolved as its input rows arrive, stretched when it is read.

    Args:
        pool, narrow: the nets of :func:`~rlfn.inference.blockwise.stages.pool_graph` and ``narrow_graph``.
        channels: number of ESA's channels.
        rows, columns: the matrices of both axes.
    """

    def __init__(self, pool: Net, narrow: Net, channels: int, rows: AxisGrid, columns: AxisGrid) -> None:
        self._pool, self._narrow, self._rows, self._columns = pool, narrow, rows, columns
        self._height, self._width = rows.interpolate.shape[1], columns.interpolate.shape[1]
        half = ((len(axis.interpolate) - 3) // 2 + 1 for axis in (rows, columns))
        self._half_height, self._half_width = half
        self._half = np.zeros(plane_shape(channels, 0, self._half_width), np.float32)
        self._taken, self._pooled_rows, self._narrow_rows = 0, 0, 0
        self._padded = np.zeros(plane_shape(channels, self._height + 2, self._width + 2), np.float32)
        self.map = np.zeros((channels, self._height, self._width), np.float32)

    @property
    def half_size(self) -> tuple[int, int]:
        """Height and width of the pooling input."""
        return self._half_height, self._half_width

    def add(self, half: Plane) -> None:
        """Add the next rows of the pooling input, packed, and compute as far as they allow."""
        self._half = np.concatenate([self._half, half], axis=1)
        self._taken += half.shape[1]
        self._pool_rows()
        done = self._pooled_rows == self._height
        if done:
            self._pad_rows()
        self._convolve(self._height if done else max(0, self._pooled_rows - 1))

    def stretched(self, top: int, bottom: int, left: int, right: int, into: NDArray[np.float32]) -> None:
        """Write the map of a rectangle, which may extend beyond the picture's border, as (C, H, W)."""
        height, width = len(self._rows.interpolate), len(self._columns.interpolate)
        rows = self._rows.interpolate[max(top, 0) : min(bottom, height)]
        columns = self._columns.interpolate[max(left, 0) : min(right, width)]
        low, high = _reach(rows)
        first, last = _reach(columns)
        narrow = self.map[:, low:high, first:last] @ columns[:, first:last].T
        if into.shape[1:] == (len(rows), len(columns)):
            np.matmul(rows[:, low:high], narrow, out=into)
            return
        into.fill(0.0)
        above, before = max(-top, 0), max(-left, 0)
        into[:, above : above + len(rows), before : before + len(columns)] = rows[:, low:high] @ narrow

    def _pool_rows(self) -> None:
        have = self._half.shape[1]
        if have < _POOL:
            return
        count = (have - _POOL) // _STRIDE + 1
        given = aligned((self._half.shape[0], (count - 1) * _STRIDE + _POOL, *self._half.shape[2:]))
        given[...] = self._half[:, : given.shape[1]]
        call = self._pool(half=given)
        rows = slice(1 + self._pooled_rows, 1 + self._pooled_rows + count)
        self._padded[:, rows, 1:-1] = call["pooled"]
        for side, inner, pad in ((0, 1, self._columns.pad[0, 0]), (-1, -2, self._columns.pad[-1, -1])):
            self._padded[:, rows, side] = pad * self._padded[:, rows, inner]
        self._pooled_rows += count
        self._half = self._half[:, count * _STRIDE :].copy()

    def _pad_rows(self) -> None:
        self._padded[:, 0] = self._rows.pad[0, 0] * self._padded[:, 1]
        self._padded[:, -1] = self._rows.pad[-1, -1] * self._padded[:, -2]

    def _convolve(self, stop: int) -> None:
        if stop <= self._narrow_rows:
            return
        if self._narrow_rows == 0:
            self._padded[:, 0] = self._rows.pad[0, 0] * self._padded[:, 1]
        given = aligned((self._padded.shape[0], stop - self._narrow_rows + 2, *self._padded.shape[2:]))
        given[...] = self._padded[:, self._narrow_rows : stop + 2]
        narrow = self._narrow(pooled=given)["narrow"]
        self.map[:, self._narrow_rows : stop] = unpacked(narrow)
        self._narrow_rows = stop


def _reach(matrix: NDArray[np.float32]) -> tuple[int, int]:
    """Return the range [first, last) of columns in which ``matrix`` is not zero."""
    used = np.flatnonzero(matrix.any(axis=0))
    return int(used[0]), int(used[-1]) + 1
