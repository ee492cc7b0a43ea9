"""The border around an image that the network sees.

A network pads its convolutions with zeros, which is black. Photographs stand that, since networks learn it; a flat,
bright colour answers with rings of up to 46 levels along its border. Where a border is flat and bright, the image is
continued by its mirror image, and what belongs to that is cut off again. Everywhere it would cost 0.04 dB on Set5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIRRORED = 12
"""Width in px of the mirror image around an image with flat borders."""

WRAPPED = 36
"""Width in px of the opposite side around the tile of a seamless texture."""

_DEPTH = 4
_LENGTH = 16
_FLAT_SHARE = 2 / 255
_BRIGHT_SHARE = 64 / 255


@dataclass(frozen=True)
class Bordered:
    """An image with a border: the original lies ``top`` and ``left`` px inside of ``image``."""

    image: NDArray[Any]
    top: int
    left: int


def add_border(image: NDArray[Any], *, wrap: bool = False) -> Bordered:
    """Surround (H, W, 3) uint8 or uint16 with what continues it, if its borders are flat or it wraps.

    Args:
        image: the image.
        wrap: the image is a tile of a seamless texture, so its opposite side continues it.
    """
    if wrap:
        return _padded(image, WRAPPED, "wrap")
    return _padded(image, MIRRORED, "symmetric") if has_flat_border(image) else Bordered(image, 0, 0)


def has_flat_border(image: NDArray[Any]) -> bool:
    """Tell whether a stretch of an image's border is flat and bright.

    Such a stretch is 16 px long and 4 deep, differs by at most 2 levels of 255 in each channel, and reaches 64 in one.
    """
    return any(_is_flat(side) for side in (image, image[::-1], image.swapaxes(0, 1), image[:, ::-1].swapaxes(0, 1)))


def _is_flat(image: NDArray[Any]) -> bool:
    """Look along the first rows of an image."""
    band = image[:_DEPTH]
    low, high = band.min(axis=0), band.max(axis=0)
    length = min(_LENGTH, low.shape[0])
    top = _along(np.maximum, high, length)
    spread = (top - _along(np.minimum, low, length)).max(axis=-1)  # unsigned, and the highest is never below the lowest
    most = np.iinfo(image.dtype).max
    return bool(((spread <= _FLAT_SHARE * most) & (top.max(axis=-1) >= _BRIGHT_SHARE * most)).any())


def _along(extreme: np.ufunc, values: NDArray[Any], length: int) -> NDArray[Any]:
    """Return the extreme of every ``length`` consecutive values: of twice as many in each step."""
    reached = 1
    while reached < length:
        step = min(reached, length - reached)
        values = extreme(values[:-step], values[step:])
        reached += step
    return values


def _padded(image: NDArray[Any], width: int, mode: Any) -> Bordered:
    return Bordered(np.pad(image, ((width, width), (width, width), (0, 0)), mode=mode), width, width)
