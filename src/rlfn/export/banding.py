"""What a rounded model shows and the model in fp32 does not: steps on smooth gradients, and shifted flat colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rlfn.export.feeds import Feed, feeds, open_session, sides_of, takes_channels_last
from rlfn.export.ranges import flat_colours

Run = Callable[[Feed], NDArray[Any]]
"""A model as a function of its inputs."""

_Made = TypeVar("_Made")

MOST_BANDING = 1.2
"""The step between adjacent rows or columns, in levels of 255, above which an export avoids bands.

At 1.25, an earlier ``rlfn-xs-photo-x4`` had single pixels on gradients that were 4 levels off, too; the packaged
models without a further float layer are below 1.15.
"""

_SIZE = (90, 120)
_BORDER = 16
_SLOPES = ((90, 250), (5, 60), (200, 204), (100, 104), (150, 200))
_ACROSS = 6
TINTS = ((0.75, 0.9, 1.0), (1.0, 0.95, 0.85), (0.5, 0.8, 1.0))
"""Colours of skies: the share of R, G and B."""


def gradients() -> list[NDArray[np.uint8]]:
    """Return skies (H, W, 3) by day and by night, haze, fog and cloud, each in three tints."""
    height, width = _SIZE
    across = np.linspace(0, _ACROSS, width)[None, :, None]
    slopes = [np.linspace(low, high, height)[:, None, None] + across for low, high in _SLOPES]
    return [np.clip(slope * tint + 0.5, 0, 255).astype(np.uint8) for slope in slopes for tint in TINTS]


def without_bands(quantize: Callable[[bool], _Made], bands: Callable[[_Made], float]) -> _Made:
    """Return a quantised model, with one more float layer if smooth gradients would show bands and that helps.

    Args:
        quantize: returns the model; with that layer if its argument is true.
        bands: returns a model's largest step.
    """
    made = quantize(False)
    found = bands(made)
    if found > MOST_BANDING:
        smoother = quantize(True)
        if bands(smoother) < found:
            return smoother
    return made


def banding(full: bytes, rounded: bytes) -> float:
    """Return :func:`largest_step` of an ONNX model and the same model, quantised."""
    import onnx

    return largest_step(_run(full), _run(rounded), sides_of(onnx.load_from_string(full)))


def shift(full: bytes, rounded: bytes) -> int:
    """Return the levels by which flat colours of an ONNX model and the same model, quantised, differ at most.

    They are measured 16 px of the result or more from its border; 0 for a fixed shape with smaller results.
    """
    import onnx

    first, second, worst = _run(full), _run(rounded), 0
    sides = sides_of(onnx.load_from_string(full))
    for feed in feeds(sides, flat_colours()):
        inside = _inside(_difference(first, second, feed, takes_channels_last(sides)))
        worst = max(worst, int(np.abs(inside).max(initial=0)))
    return worst


def _run(data: bytes) -> Run:
    session = open_session(data)
    return lambda feed: np.asarray(session.run(None, feed)[0])


def largest_step(full: Run, rounded: Run, sides: Mapping[str, list[int]]) -> float:
    """Return the largest step that rounding adds between adjacent rows or columns of the gradients, in levels of 255.

    The difference of both results is averaged over each row and column, 16 px of the result or more from its border.

    Args:
        full: a model.
        rounded: the same model, quantised.
        sides: the sizes of their inputs by name; 0 is a dynamic size.

    Returns:
        The step; 0 for a fixed shape with a result of at most 33 px a side.
    """
    last = takes_channels_last(sides)
    return max(_step(_difference(full, rounded, feed, last)) for feed in feeds(sides, gradients()))


def _difference(full: Run, rounded: Run, feed: Feed, channels_last: bool) -> NDArray[np.float64]:
    """Return how many levels of 255 the second result is above the first one, (N, 3, H, W)."""
    first, second = (np.rint(np.clip(run(feed), 0.0, 255.0)) for run in (full, rounded))
    difference: NDArray[np.float64] = second.astype(np.float64) - first
    return difference.transpose(0, 3, 1, 2) if channels_last else difference


def _inside(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    return difference[:, :, _BORDER:-_BORDER, _BORDER:-_BORDER]


def _step(difference: NDArray[np.float64]) -> float:
    """Return the largest step between the means of adjacent rows or columns of a difference (N, 3, H, W)."""
    inside = _inside(difference)
    if min(inside.shape[2:]) < 2:
        return 0.0
    return max(float(np.abs(np.diff(inside.mean(axis=axis), axis=2)).max()) for axis in (2, 3))
