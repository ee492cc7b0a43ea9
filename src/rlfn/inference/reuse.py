"""The last picture's tiles and results, so that only the tiles that changed are computed for the next picture.

A tile's result follows from what the engine is given for it and from nothing else. Where that is the same as in the
picture before, the result is taken from there: it is bit-identical to what would be computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.inference.tiling import Tile


class TileCache:
    """Holds the last picture of a sequence and its result. It goes with one :class:`~rlfn.inference.upscaler.Upscaler`.

    Attributes:
        computed, reused: how many tiles were, so far.
    """

    def __init__(self) -> None:
        self.computed = 0
        self.reused = 0
        self._image: NDArray[Any] | None = None
        self._tiles: Sequence[Tile] = ()
        self._result: NDArray[Any] | None = None
        self._usable = False

    @property
    def reused_share(self) -> float:
        """The share of the tiles so far that were reused, 0 to 1."""
        tiles = self.computed + self.reused
        return self.reused / tiles if tiles else 0.0

    def result(self, shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
        """Return an array to write a result into: the last result's copy where it has that shape and kind."""
        last = self._result
        self._usable = last is not None and last.shape == shape and last.dtype == kind
        return last.copy() if last is not None and self._usable else np.empty(shape, kind)

    def changed(self, image: NDArray[Any], tiles: list[Tile]) -> list[Tile]:
        """Return the tiles of a framed image whose pixels differ from the last one's; all where they lie differently.

        The image is kept until the next call: it must not be written to.
        """
        last, usable = self._image, self._usable
        alike = last is not None and last.shape == image.shape and last.dtype == image.dtype and self._tiles == tiles
        todo = tiles
        if last is not None and usable and alike:
            differs = (last != image).reshape(len(image), -1)
            rows = differs.any(axis=1)
            samples = image[0, 0].size
            todo = [tile for tile in tiles if rows[_rows(tile)].any() and differs[_within(tile, samples)].any()]
        # until the result is whole, nothing may be taken from it
        self._image, self._result = None, None
        self._tiles, self._next = tiles, image
        self.computed += len(todo)
        self.reused += len(tiles) - len(todo)
        return todo

    def count_as_computed(self, tiles: int) -> None:
        """Count so many of the tiles that the last call left out as computed, because they were."""
        self.computed += tiles
        self.reused -= tiles

    def keep(self, result: NDArray[Any]) -> None:
        """Take a whole result; it must not be written to."""
        self._image, self._result = self._next, result


def _rows(tile: Tile) -> slice:
    return slice(tile.rows.start, tile.rows.stop)


def _within(tile: Tile, samples: int) -> tuple[slice, slice]:
    return _rows(tile), slice(tile.columns.start * samples, tile.columns.stop * samples)
