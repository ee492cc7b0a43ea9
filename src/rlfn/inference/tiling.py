"""Cutting a picture into tiles that compute what the whole picture would.

ESA pools on a grid of 6 px and stretches the pooled map over the picture by a ratio that depends on the picture's size,
so a tile cut out with a plain margin computes something else, however wide the margin. Here a tile is told where it
lies:

- its origin is a multiple of 6 px, so its pooled map is a piece of the whole picture's;
- the stretching is done by two matrices made from the **whole** picture's coordinates
  (:func:`rlfn.models.grid.axis_grid`);
- the pooled map is padded with zeros where the picture ends, as the network does, but with its nearest value where the
  picture goes on (zeros there would reach far into the tile).

What remains is the influence of pixels beyond the margin. docs/guide/upscaling.md states the error that was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlfn.errors import OptionError
from rlfn.numeric import is_whole


@dataclass(frozen=True)
class Span:
    """One axis of a tile: it reads [start, stop) and is responsible for [core_start, core_stop), in LR px."""

    start: int
    stop: int
    core_start: int
    core_stop: int


@dataclass(frozen=True)
class Tile:
    """A tile of a picture."""

    rows: Span
    columns: Span


def spans(length: int, tile: int, margin: int, stride: int) -> list[Span]:
    """Cut an axis into overlapping spans of at most ``tile`` px whose cores cover it exactly once.

    All spans but the last are equally long, so that a picture has at most two lengths an axis and an engine prepares
    itself for at most four shapes of tile.

    Raises:
        OptionError: the tile leaves no core between its margins.
    """
    if length <= tile:
        return [Span(0, length, 0, length)]
    margin = math.ceil(margin / stride) * stride
    room = (tile - 2 * margin) // stride * stride
    if room < stride:
        raise OptionError(
            f"Tiles of {tile} px leave no room between margins of {margin} px. "
            f"Use at least {2 * margin + stride} px, or 'auto'."
        )
    inner = length - 2 * margin
    count = math.ceil(inner / room)
    step = math.ceil(inner / count / stride) * stride
    count = math.ceil(inner / step)
    found = []
    for number in range(count):
        start = number * step
        last = number == count - 1
        stop = length if last else start + step + 2 * margin
        found.append(Span(start, stop, start + margin if number else 0, length if last else stop - margin))
    return found


def tiles(height: int, width: int, tile: int, margin: int, stride: int) -> Iterator[Tile]:
    """Yield the tiles of a picture, row by row."""
    columns = spans(width, tile, margin, stride)
    for row in spans(height, tile, margin, stride):
        for column in columns:
            yield Tile(row, column)


def joined(found: Sequence[Tile], tile: int, margin: int) -> list[Tile]:
    """Return fewer and larger tiles whose cores are those of ``found``: neighbours are put together.

    It is for networks that are :attr:`~rlfn.models.traits.Traits.local`, whose tiles may lie anywhere.

    Args:
        found: tiles of one picture, as :func:`tiles` yields them, or some of these.
        tile: the largest side in px.
        margin: the network's.
    """
    boxes: list[tuple[Span, Span]] = []
    for row, column in _runs(found):
        for number, (above, beside) in enumerate(boxes):
            if beside == column and above.core_stop == row.core_start:
                boxes[number] = (_both(above, row), beside)
                break
        else:
            boxes.append((row, column))
    return [
        Tile(down, across)
        for rows, columns in boxes
        for down in _pieces(rows, tile, margin)
        for across in _pieces(columns, tile, margin)
    ]


def _runs(found: Sequence[Tile]) -> list[tuple[Span, Span]]:
    """Put neighbours of a row together."""
    runs: list[tuple[Span, Span]] = []
    for tile in found:
        if runs and runs[-1][0] == tile.rows and runs[-1][1].core_stop == tile.columns.core_start:
            runs[-1] = (tile.rows, _both(runs[-1][1], tile.columns))
        else:
            runs.append((tile.rows, tile.columns))
    return runs


def _both(first: Span, second: Span) -> Span:
    return Span(first.start, second.stop, first.core_start, second.core_stop)


def _pieces(span: Span, tile: int, margin: int) -> list[Span]:
    """Cut a span into equal ones of at most ``tile`` px with their margins."""
    length = span.core_stop - span.core_start
    if span.stop - span.start <= tile:
        return [span]
    step = math.ceil(length / math.ceil(length / (tile - 2 * margin)))
    starts = range(span.core_start, span.core_stop, step)
    return [
        Span(
            max(start - margin, span.start),
            min(start + step + margin, span.stop),
            start,
            min(start + step, span.core_stop),
        )
        for start in starts
    ]


def check_tile(tile: int | str) -> None:
    """Refuse what is no tile side.

    Raises:
        OptionError: neither ``"auto"`` nor 0 nor a positive whole number.
    """
    if tile != "auto" and not (is_whole(tile) and tile >= 0):
        raise OptionError(
            f"A tile of {tile!r} was asked for. Allowed: 'auto', 0 for the whole picture at once, or a side in px."
        )
