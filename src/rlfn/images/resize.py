"""MATLAB's ``imresize(..., 'bicubic')``, bit for bit, in NumPy.

The field's low-resolution pictures are made by it, so scores can only be compared when the kernel, the antialiasing,
the borders and the rounding are MATLAB's:

- cubic convolution kernel with a = -0.5 (Keys, 1981), widened by the reduction factor when a picture shrinks;
- symmetric borders (the edge pixel is repeated);
- the axis with the smaller scale factor is resized first, rows first when the factors are equal;
- integer pictures are rounded after **each** of the two passes, halves upwards, and clipped to their type's range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import OptionError

_KERNEL_WIDTH = 4.0
_KINDS = (np.uint8, np.uint16, np.float32, np.float64)
_BAND = 1 << 17  # samples in flight: a megabyte of float64


@dataclass(frozen=True)
class Taps:
    """The source samples of each output sample along one axis: ``index`` and ``weight``, both (taps, output)."""

    index: NDArray[np.intp]
    weight: NDArray[np.float64]


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate the cubic convolution kernel with a = -0.5 (Keys, 1981, equation 15)."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1.0, near, np.where(x <= 2.0, far, 0.0))


def axis_taps(length: int, out_length: int, scale: float, antialias: bool = True, wrap: bool = False) -> Taps:
    """Return the samples and weights with which ``length`` samples become ``out_length`` at ``scale``.

    Beyond the ends the samples are mirrored, or, with ``wrap``, continued from the other end.
    """
    shrink = min(scale, 1.0) if antialias else 1.0
    width = _KERNEL_WIDTH / shrink
    centre = (np.arange(out_length) + 0.5) / scale - 0.5
    index = np.floor(centre - width / 2.0) + np.arange(math.ceil(width) + 2)[:, None]
    weight = shrink * cubic(shrink * (centre - index))
    weight /= weight.sum(axis=0)
    folded = np.mod(index.astype(np.intp), length if wrap else 2 * length)
    if not wrap:  # symmetric borders: ... 1 0 | 0 1 ... n-1 | n-1 n-2 ...
        folded = np.where(folded < length, folded, 2 * length - 1 - folded)
    used = np.any(weight != 0.0, axis=1)
    return Taps(folded[used], weight[used])


def resize(
    image: NDArray[Any],
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    antialias: bool = True,
    wrap: bool = False,
) -> NDArray[Any]:
    """Resize a picture exactly as MATLAB's ``imresize`` with its default bicubic kernel.

    Args:
        image: (H, W) or (H, W, C); uint8, uint16, float32 or float64.
        scale: the factor for both sides; a side of n becomes ``ceil(n * scale)``.
        size: instead of ``scale``, the (height, width) wanted.
        antialias: widen the kernel when a side shrinks, as MATLAB does by default.
        wrap: the picture is a tile of a seamless texture: each border continues at the opposite side. MATLAB has no
            such borders.

    Returns:
        The resized picture, of the same kind. Integers are rounded half up after each pass and clipped to their range;
        floats keep overshoots.

    Raises:
        OptionError: neither or both of ``scale`` and ``size``, a factor or a side that is not positive, a kind of array
            that is not listed above.

    >>> import numpy as np
    >>> resize(np.arange(16, dtype=np.uint8).reshape(4, 4) * 16, scale=0.5)
    array([[ 37,  71],
           [170, 204]], dtype=uint8)
    """
    if image.ndim not in (2, 3) or 0 in image.shape or image.dtype not in _KINDS:
        raise OptionError(
            f"Cannot resize an array of shape {image.shape} and type {image.dtype}. "
            f"Allowed: (H, W) or (H, W, C), of {', '.join(np.dtype(kind).name for kind in _KINDS)}."
        )
    out_sides, factors = _target(image.shape[:2], scale, size)
    order = (0, 1) if factors[0] <= factors[1] else (1, 0)
    for axis in order:
        taps = axis_taps(image.shape[axis], out_sides[axis], factors[axis], antialias, wrap)
        image = _apply(image, taps, axis)
    return image


def _target(
    sides: tuple[int, ...], scale: float | None, size: tuple[int, int] | None
) -> tuple[tuple[int, int], tuple[float, float]]:
    """Return the (height, width) to make and the factor of each side."""
    height, width = sides
    if scale is not None and size is None:
        if not (math.isfinite(scale) and scale > 0):
            raise OptionError(f"A picture cannot be resized by a factor of {scale}. The factor must be above 0.")
        # the guard keeps 0.1 * 30 = 3.0000000000000004 from becoming 4
        return (math.ceil(height * scale - 1e-9), math.ceil(width * scale - 1e-9)), (float(scale), float(scale))
    if size is not None and scale is None:
        if min(size) < 1:
            raise OptionError(f"A picture cannot be resized to {size[1]}x{size[0]}. Both sides must be at least 1.")
        return size, (size[0] / height, size[1] / width)
    raise OptionError("Give either scale or size to resize a picture, not both and not neither.")


def _apply(image: NDArray[Any], taps: Taps, axis: int) -> NDArray[Any]:
    """Resize ``axis`` (0 or 1), in bands of lines so that the work stays in the cache."""
    kind = image.dtype
    lines = np.ascontiguousarray(np.moveaxis(image, axis, 0))
    flat = lines.reshape(lines.shape[0], -1)
    outputs = taps.index.shape[1]
    out = np.empty((outputs, flat.shape[1]), kind)
    step = max(1, _BAND // max(1, outputs + flat.shape[0]))
    for start in range(0, flat.shape[1], step):
        band = flat[:, start : start + step].astype(np.float64)
        total = band[taps.index[0]]
        total *= taps.weight[0][:, None]
        for index, weight in zip(taps.index[1:], taps.weight[1:], strict=True):
            part = band[index]
            part *= weight[:, None]
            total += part
        out[:, start : start + step] = _to_kind(total, kind)
    return np.ascontiguousarray(np.moveaxis(out.reshape(outputs, *lines.shape[1:]), 0, axis))


def _to_kind(values: NDArray[np.float64], kind: np.dtype[Any]) -> NDArray[Any]:
    if kind.kind == "f":
        return values.astype(kind)
    values += 0.5
    np.floor(values, out=values)
    np.clip(values, 0, np.iinfo(kind).max, out=values)
    return values.astype(kind)
