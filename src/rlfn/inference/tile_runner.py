"""An image cut into tiles, and the results of the network for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rlfn.inference.engines import Engine, GpuEngine
from rlfn.inference.footprint import bytes_per_pixel
from rlfn.inference.hardware import available_memory
from rlfn.inference.parts import Computed, ImagePart, PartRunner, compute, cut
from rlfn.inference.reuse import TileCache
from rlfn.inference.tiling import Span, joined

TileProgress = Callable[[float], None]
"""Called with the finished share of a picture, 0 to 1."""

_LARGEST_TILE = 384
_SMALLEST_TILE = 96
_MEMORY_SHARE = 0.25

_CELL = 44
"""Side of the cores that are compared one by one with a cache, where changed ones can be joined to larger tiles."""

_CALL_PIXELS = 4096
"""A call of the engine costs about as much as so many pixels, beside its own pixels."""

_REUSED_TILE = 192
"""Side of the tiles that are compared with a cache otherwise: smaller ones are mostly margin."""


class TileRunner:
    """Cuts images into parts and has them computed.

    Args:
        engine: the loaded network.
        tile: the largest tile side in LR px; ``"auto"`` chooses by the free memory; 0 for the whole image at once.
        model: the network's name, for messages.
    """

    def __init__(self, engine: Engine, tile: int | Literal["auto"], model: str) -> None:
        self._engine, self._tile, self._model = engine, tile, model

    def results(
        self,
        image: NDArray[Any],
        cache: TileCache | None = None,
        progress: TileProgress | None = None,
        run: PartRunner | None = None,
    ) -> Iterator[Computed]:
        """Yield where each result lies and the result itself, (3, sh, sw) in levels of 255.

        Args:
            image: (H, W, 3), uint8 or uint16.
            cache: of the image before; tiles that did not change are left out.
            progress: called with the finished share after each result.
            run: computes the parts; None to compute them here.
        """
        traits, (height, width), done = self._engine.traits, image.shape[:2], 0
        scale, grown = traits.scale, _grow(image, traits.min_side)
        parts = list(cut(self._engine, grown, self.side(grown))) if cache is None else self._changed_parts(grown, cache)
        pixels = sum(_core(part.tile.rows) * _core(part.tile.columns) for part in parts)
        for tile, block in (run or self._run_here)(parts):
            done += block.shape[1] * block.shape[2]
            # the padding of an image below the smallest size is cropped off
            rows, columns = height - tile.rows.core_start, width - tile.columns.core_start
            if rows > 0 and columns > 0:
                yield tile, block[:, : rows * scale, : columns * scale]
            if progress:
                progress(done / (pixels * scale**2))

    def side(self, image: NDArray[Any]) -> int:
        """Return the largest tile side for an image; a GPU has a limit of its own."""
        if isinstance(self._engine, GpuEngine):
            most = self._engine.largest_tile()
            return most if self._tile == "auto" or self._tile == 0 else min(most, self._tile)
        if self._tile == 0:
            return int(max(image.shape[:2]))
        if self._tile != "auto":
            return self._tile
        a_pixel = bytes_per_pixel(self._engine.name, self._engine.traits.variant)
        affordable = math.isqrt(int(available_memory() * _MEMORY_SHARE / a_pixel))
        smallest = max(_SMALLEST_TILE, 2 * self._engine.traits.margin + 24)
        side: int = max(smallest, min(_LARGEST_TILE, affordable))
        return side

    def _changed_parts(self, image: NDArray[Any], cache: TileCache) -> list[ImagePart]:
        """Return what must be computed of an image where it differs from the one before."""
        traits, side = self._engine.traits, self.side(image)
        # the last bits of what a GPU computes may depend on where a tile lies
        local = traits.local and not isinstance(self._engine, GpuEngine)
        small = min(side, 2 * traits.margin + _CELL) if local else min(side, _REUSED_TILE)
        found = {part.tile: part for part in cut(self._engine, image, small)}
        changed = cache.changed(image, list(found))
        if not local:
            return [found[tile] for tile in changed]
        parts = [ImagePart.of(image, tile) for tile in joined(changed, side, traits.margin)]
        whole = list(cut(self._engine, image, side))
        if _cost(parts) < _cost(whole):
            return parts
        # so scattered that their margins cost more than what can be reused
        cache.count_as_computed(len(found) - len(changed))
        return whole

    def _run_here(self, parts: Iterable[ImagePart]) -> Iterator[Computed]:
        for part in parts:
            yield from compute(self._engine, part, self._model)


def _cost(parts: list[ImagePart]) -> int:
    return sum(part.pixels.shape[0] * part.pixels.shape[1] + _CALL_PIXELS for part in parts)


def _core(span: Span) -> int:
    return span.core_stop - span.core_start


def _grow(image: NDArray[Any], least: int) -> NDArray[Any]:
    """Repeat the last row and column of a picture that is smaller than the network takes."""
    more = [(0, max(0, least - side)) for side in image.shape[:2]]
    return np.pad(image, (*more, (0, 0)), mode="edge") if any(pad for _, pad in more) else image
