"""Display matrices: images turned as a player would show them. Source: ISO/IEC 14496-12, 8.3.2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rlfn.jobs.video.probe import Clip

_ONE = 65536


def is_upright(matrix: Sequence[int]) -> bool:
    """Tell whether a matrix turns by right angles and mirrors, and does nothing else; False for an empty one."""
    if not matrix:
        return False
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    return sorted(map(abs, (a, b))) == [0, _ONE] and (abs(c), abs(d)) == (abs(b), abs(a))


def swaps_sides(matrix: Sequence[int]) -> bool:
    """Tell whether a matrix that :func:`is_upright` turns by a quarter, so that width and height change places."""
    return matrix[0] == 0


def upright_size(clip: Clip) -> tuple[int, int]:
    """Return the (width, height) of a clip's frames after :func:`turn`, where its matrix :func:`is_upright`."""
    swapped = is_upright(clip.matrix) and swaps_sides(clip.matrix)
    return (clip.height, clip.width) if swapped else (clip.width, clip.height)


def turn(image: NDArray[Any], matrix: Sequence[int]) -> NDArray[Any]:
    """Turn an image (H, W, ...) by a matrix that :func:`is_upright`.

    >>> turn(np.array([[1, 2], [3, 4]]), (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)).tolist()
    [[3, 1], [4, 2]]
    """
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if swaps_sides(matrix):
        image = image.swapaxes(0, 1)
        across, down = c, b
    else:
        across, down = a, d
    image = image[:: 1 if down > 0 else -1, :: 1 if across > 0 else -1]
    return np.ascontiguousarray(image)
