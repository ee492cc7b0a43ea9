"""The parts of an image that an engine computes by themselves, in any order and also in other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.inference.engines.base import Array, Engine, WholeEngine, check_finite, run_checked
from rlfn.inference.tiling import Span, Tile, tiles
from rlfn.models.grid import axis_grid


@dataclass(frozen=True)
class ImagePart:
    """What one computation reads, without the image around it.

    Attributes:
        tile: where it lies in the image, and which core of it counts.
        pixels: what it reads: (h, w, 3), uint8 or uint16.
        size: (height, width) of the whole image.
    """

    tile: Tile
    pixels: NDArray[Any]
    size: tuple[int, int]

    @classmethod
    def of(cls, image: NDArray[Any], tile: Tile) -> ImagePart:
        """Return what a tile of ``image`` (H, W, 3) reads; a view."""
        pixels = image[tile.rows.start : tile.rows.stop, tile.columns.start : tile.columns.stop]
        return cls(tile, pixels, (image.shape[0], image.shape[1]))


Computed = tuple[Tile, Array]
"""Where a result lies in the image, as the cores of a tile, and the result itself: (3, s h, s w) in levels of 255."""

PartRunner = Callable[[Iterable[ImagePart]], Iterator[Computed]]
"""Has parts computed and yields their results, each once, in any order."""


def cut(engine: Engine, image: NDArray[Any], side: int) -> Iterator[ImagePart]:
    """Cut an image (H, W, 3), at least as large as the network takes, into what ``engine`` computes at once.

    Args:
        engine: the loaded network.
        image: uint8 or uint16.
        side: the largest side of a tile; engines that cut up whole images by themselves take columns.
    """
    height, width = image.shape[:2]
    if isinstance(engine, WholeEngine):
        rows = Span(0, height, 0, height)
        found: Iterable[Tile] = (Tile(rows, column) for column in engine.columns(width))
    else:
        found = tiles(height, width, side, engine.traits.margin, engine.traits.stride)
    for tile in found:
        yield ImagePart.of(image, tile)


def compute(engine: Engine, part: ImagePart, model: str) -> Iterator[Computed]:
    """Compute a part; engines that cut it up further yield their results as they are ready.

    Raises:
        ModelError: the engine failed, or returned what is no picture; ``model`` is named.
    """
    rows, columns, scale = part.tile.rows, part.tile.columns, engine.traits.scale
    levels = 255.0 / np.iinfo(part.pixels.dtype).max
    if isinstance(engine, WholeEngine):
        for tile, block in engine.column(part.pixels, levels, columns, part.size[1]):
            check_finite(block, model)
            yield tile, block
        return
    lr = part.pixels.transpose(2, 0, 1)[None].astype(np.float32) * np.float32(levels)
    grid = None
    if engine.takes_grid:
        grid = (
            axis_grid(rows.start, rows.stop, part.size[0]),
            axis_grid(columns.start, columns.stop, part.size[1]),
        )
    sr = run_checked(engine, lr, grid, model)[0]
    yield (
        part.tile,
        sr[
            :,
            (rows.core_start - rows.start) * scale : (rows.core_stop - rows.start) * scale,
            (columns.core_start - columns.start) * scale : (columns.core_stop - columns.start) * scale,
        ],
    )
