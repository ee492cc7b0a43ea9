"""Running a picture through the stages of an RLFN: tiles on worker threads, strip by strip, no pixel computed twice.

Every stage's plane is cut into strips of about a tile's height. A strip can be computed once the previous stage has
finished the strip below it, because halo and pooled map reach no farther. So the stages follow each other down the
picture, and only about two strips of each plane exist: memory grows only with the width, and wide pictures are cut into
columns. The computation of a tile depends only on the picture's size, so results are bit-identical for any number of
threads.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.inference.blockwise.nets import Memory, Net, unpacked
from rlfn.inference.blockwise.planes import Buffers, Plane, PooledMap, Strips, plane_shape
from rlfn.inference.blockwise.stages import BlockStage, Tensors, narrow_graph, pool_graph, rlfn_stages
from rlfn.inference.workers import Workers
from rlfn.models.grid import axis_grid
from rlfn.models.variants import RLFNFields

TILE = (38, 118)
"""Height and width of a tile in px: it fits into the cache, and it is low because memory grows with the height."""


@dataclass(frozen=True)
class Area:
    """A rectangle of a picture, in px."""

    top: int
    bottom: int
    left: int
    right: int


def cuts(length: int, side: int) -> list[int]:
    """Return the start of parts of about ``side`` px, and ``length``; all but the last are equal, and 4 n + 2 px long.

    A Winograd convolution computes 4x4 px at once. With the remaining halo of 5, 3 and 1 px of a block's three
    convolutions, such a length wastes the least, and it is even, as required by ESA's stride of 2.

    >>> cuts(200, 66)
    [0, 70, 140, 200]
    """
    count = max(1, round(length / side))
    step = 4 * max(0, math.ceil((length / count - 2) / 4)) + 2
    return [*range(0, length, step), length]


class Blockwise:
    """An RLFN that runs block by block.

    Args:
        tensors: its weights by their official names.
        fields: its sizes.
        scale: the upscaling factor.
        tile: approximate height (at least 27) and width of a tile in px.
    """

    def __init__(self, tensors: Tensors, fields: RLFNFields, scale: int, tile: tuple[int, int] = TILE) -> None:
        self.fields, self.scale, self.tile = fields, scale, tile
        self.stages = rlfn_stages(tensors, fields)
        self._memory = Memory()
        self._pool = Net(pool_graph(), self._memory)
        self._narrow = [Net(narrow_graph(tensors, number), self._memory) for number in range(1, fields.blocks + 1)]
        self._nets: dict[tuple[int, bool], Net] = {}
        self._lock = Lock()
        self.buffers = Buffers()

    def net(self, stage: int, border: bool) -> Net:
        """Return the net of a stage, loaded on first use."""
        with self._lock:
            if (stage, border) not in self._nets:
                row = self.stages[stage]
                self._nets[stage, border] = Net(row.border if border else row.inside, self._memory)
            return self._nets[stage, border]

    def pooled_map(self, block: int, rows: tuple[int, int, int], columns: tuple[int, int, int]) -> PooledMap:
        """Return the empty map of a block for [start, stop) of ``length`` px an axis."""
        return PooledMap(
            self._pool, self._narrow[block - 1], self.fields.esa_channels, axis_grid(*rows), axis_grid(*columns)
        )

    def run(self, picture: WholeImage, threads: int) -> Iterator[tuple[Area, NDArray[np.float32]]]:
        """Yield each tile's area and result (3, s h, s w) in levels of 255 as it becomes ready."""
        with Workers(threads) as workers:
            yield from _ImageRun(self, picture, workers).results()


@dataclass(frozen=True)
class WholeImage:
    """The columns of an image to upscale.

    Attributes:
        image: (H, w, 3), only these columns, of any numeric type.
        levels: factor that converts the values to levels of 255.
        start: first column within the whole image; a multiple of ESA's grid.
        width: width of the whole image.
    """

    image: NDArray[Any]
    levels: np.float32
    start: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the columns."""
        return self.image.shape[0], self.image.shape[1]

    def read(self, into: NDArray[np.float32], top: int, left: int) -> None:
        """Copy a rectangle as (3, h, w) in levels of 255, with zeros outside the image."""
        into.fill(0.0)
        height, width = self.size
        bottom, right = min(top + into.shape[1], height), min(left + into.shape[2], width)
        part = self.image[max(top, 0) : bottom, max(left, 0) : right]
        target = into[:, max(-top, 0) : bottom - top, max(-left, 0) : right - left]
        np.multiply(part.transpose(2, 0, 1), self.levels, out=target, casting="unsafe")


class _ImageRun:
    """The state of one picture in progress: the planes and maps that exist at the moment."""

    def __init__(self, network: Blockwise, picture: WholeImage, workers: Workers) -> None:
        self._network, self._picture, self._workers = network, picture, workers
        self._height, self._width = picture.size
        self._rows = cuts(self._height, network.tile[0])
        self._columns = cuts(self._width, network.tile[1])
        channels, last = network.fields.channels, len(network.stages) - 1
        spare: list[Plane] = []
        self._planes = [Strips(channels, self._rows, self._width, spare) for _ in range(last)]
        rows = (0, self._height, self._height)
        columns = (picture.start, picture.start + self._width, picture.width)
        self._maps = [network.pooled_map(number, rows, columns) for number in range(1, last + 1)]
        self._open: dict[tuple[int, int], tuple[Plane, Plane]] = {}
        self._left: dict[tuple[int, int], int] = defaultdict(int)
        self._filled: set[tuple[int, int]] = set()
        self._done: set[tuple[int, int]] = set()
        self._next = [0] * len(network.stages)

    def results(self) -> Iterator[tuple[Area, NDArray[np.float32]]]:
        """Submit strips to the workers as soon as their inputs are ready; yield the results of the last stage."""
        strips, stages = len(self._rows) - 1, len(self._network.stages)
        # stay two strips behind the previous stage, so that there is other work while it finishes the one below
        order = sorted(
            ((stage, strip) for stage in range(stages) for strip in range(strips)),
            key=lambda group: (group[1] + 2 * group[0], -group[0]),
        )
        for stage, strip in order:
            needed = (stage - 1, min(strip + 1, strips - 1))
            while stage and needed not in self._done:
                yield from self._collect()
            self._begin(stage, strip)
        while len(self._done) < len(order):
            yield from self._collect()

    def _begin(self, stage: int, strip: int) -> None:
        if stage < len(self._planes):
            half_height, half_width = self._maps[stage].half_size
            plane = self._planes[stage].open(strip)
            top, bottom = self._rows[strip : strip + 2]
            bottom = half_height if bottom == self._height else min(bottom // 2, half_height)
            shape = (bottom - top // 2, half_width)
            self._open[stage, strip] = (
                plane,
                np.empty(plane_shape(self._network.fields.esa_channels, *shape), np.float32),
            )
        top, bottom = self._rows[strip : strip + 2]
        for left, right in pairwise(self._columns):
            self._left[stage, strip] += 1
            self._workers.submit((stage, strip), self._tile, stage, strip, Area(top, bottom, left, right))

    def _collect(self) -> Iterator[tuple[Area, NDArray[np.float32]]]:
        """Wait for a tile; yield it if it belongs to the last stage."""
        (stage, strip), made = self._workers.next()
        if made is not None:
            yield made
        self._left[stage, strip] -= 1
        if self._left[stage, strip]:
            return
        self._filled.add((stage, strip))
        # a strip may be filled before the one above it, but is marked as done after it
        while (stage, self._next[stage]) in self._filled:
            self._finish(stage, self._next[stage])
            self._next[stage] += 1

    def _finish(self, stage: int, strip: int) -> None:
        if stage < len(self._planes):
            self._planes[stage].close(strip)
            self._maps[stage].add(self._open.pop((stage, strip))[1])
        if stage:
            self._planes[stage - 1].drop(strip)
        self._done.add((stage, strip))

    def _tile(self, stage: int, strip: int, area: Area) -> tuple[Area, NDArray[np.float32]] | None:
        """Compute a tile of a stage: the last stage's result is returned, the others' is written to their planes."""
        row = self._network.stages[stage]
        given, border = self._given(stage, strip, row, area)
        call = self._network.net(stage, border)(**given)
        height, width = area.bottom - area.top, area.right - area.left
        if not row.pooled:
            return area, _shuffled(unpacked(call["colours"]), self._network.scale)
        plane, half = self._open[stage, strip]
        plane[:, :, area.left : area.right] = call["z"][:, :height, :width]
        right = half.shape[2] if area.right == self._width else min(area.right // 2, half.shape[2])
        half[:, :, area.left // 2 : right] = call["half"][:, : half.shape[1], : right - area.left // 2]
        return None

    def _given(
        self, stage: int, strip: int, row: BlockStage, area: Area
    ) -> tuple[dict[str, NDArray[np.float32]], bool]:
        """Return the inputs of a stage's net for a tile, and whether its halo crosses the border."""
        top, left = area.top - row.before, area.left - row.before
        bottom, right = area.bottom + row.after, area.right + row.after
        size, buffers = (bottom - top, right - left), self._network.buffers
        given: dict[str, NDArray[np.float32]] = {}
        if row.takes_lr:
            given["lr"] = buffers.get("lr", (3, *size))
            self._picture.read(given["lr"], top, left)
        if row.takes_plane:
            plane, pooled = self._planes[stage - 1], self._maps[stage - 1]
            given["plane"] = buffers.get("plane", plane_shape(self._network.fields.channels, *size))
            plane.read(strip, given["plane"], top, left)
            given["wide"] = buffers.get("wide", (len(pooled.map), *size))
            pooled.stretched(top, bottom, left, right, given["wide"])
        border = top < 0 or left < 0 or bottom > self._height or right > self._width
        if border:
            mask = given["mask"] = buffers.get("mask", (1, size[0] - 2 * row.mask, size[1] - 2 * row.mask))
            mask.fill(0.0)
            begin = top + row.mask, left + row.mask
            mask[
                :,
                max(-begin[0], 0) : max(0, self._height - begin[0]),
                max(-begin[1], 0) : max(0, self._width - begin[1]),
            ] = 1.0
        return given, border


def _shuffled(colors: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    """Return (3 s s, h, w) as (3, s h, s w): the pixel shuffle."""
    height, width = colors.shape[1:]
    parts = colors.reshape(3, scale, scale, height, width).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(parts).reshape(3, height * scale, width * scale)
