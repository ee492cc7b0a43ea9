"""The check that every exported file must pass: in its target runtime its output agrees with torch's."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rlfn.errors import ModelError
from rlfn.images.photograph import photograph
from rlfn.networks.build import ARCHITECTURES
from rlfn.networks.checkpoints import Checkpoint
from rlfn.networks.wrappers import grown, to_bytes

LoadedExport = Callable[[NDArray[Any]], NDArray[Any]]
"""A loaded file. It takes and returns (N, 3, H, W) float32 in [0, 255], or with image_io (N, H, W, 3) uint8."""

Shape = tuple[int, int, int, int]
"""Batch, channels, height, width."""


@dataclass(frozen=True)
class Tolerance:
    """The largest allowed difference in levels of 255, the lowest allowed PSNR in dB, and the kinds of picture checked.

    8-bit results may differ by one more level and need only ``psnr_8bit`` dB: if torch's value lies between two
    levels, the smallest difference decides the rounding.
    """

    worst: float
    psnr: float
    psnr_8bit: float
    kinds: tuple[str, ...] = ("noise", "photograph")


TOLERANCES = {
    "fp32": Tolerance(0.05, 90.0, 70.0),
    "fp16": Tolerance(2.0, 60.0, 54.0),
    # the ranges were not measured on noise, so values outside of them are clipped
    "int8": Tolerance(32.0, 40.0, 40.0, ("photograph",)),
}
"""By precision."""

CHECKED_SIZES = ((1, 1), (8, 10), (15, 15), (16, 16), (17, 17), (64, 97))
"""Heights and widths at which a file without a fixed size is compared with torch, if it supports them."""

_ROUNDINGS = 4.0
"""Allowed difference as a multiple of torch's own rounding error: two summation orders in fp32 differ by their sum."""

_MOST_ROUNDING = 0.5
"""Largest difference in levels that is attributed to rounding."""


@dataclass(frozen=True)
class Agreement:
    """The difference between a file's output and torch's.

    Attributes:
        worst: the largest difference in levels of 255.
        psnr: the lowest PSNR between the two, over the pictures, in dB.
        on: description of the pictures compared.
    """

    worst: float
    psnr: float
    on: str


def compare(
    run: LoadedExport,
    checkpoint: Checkpoint,
    *,
    precision: str = "fp32",
    shape: Shape | None = None,
    image_io: bool = False,
    least: int = 1,
    batches: tuple[int, ...] = (1, 2),
) -> Agreement:
    """Compare a loaded file with torch in fp32 on noise and on a photograph.

    Pictures below the network's smallest size are padded for torch as in :class:`rlfn.networks.wrappers.AnySize`.

    Args:
        run: the file in its runtime.
        checkpoint: the network that was exported.
        precision: a key of :data:`TOLERANCES`.
        shape: the fixed input shape of the file, or None for any: :data:`CHECKED_SIZES`.
        image_io: whether it takes and returns 8-bit pictures.
        least: the smallest side in px that it supports.
        batches: the batch sizes to check if no shape is fixed.

    Raises:
        ModelError: they differ by more than the precision's row allows, and by more than rounding explains
            (:func:`allowed_by_rounding`).
    """
    allowed = TOLERANCES[precision]
    worst, lowest, most = 0.0, float("inf"), allowed.worst + image_io
    network, sizes = _grown(checkpoint), []
    for lr in _pictures(_shapes(shape, least, batches), allowed.kinds, whole_levels=image_io):
        sizes.append(f"{lr.shape[-1]}x{lr.shape[-2]}")
        difference = _difference(run, network, lr, image_io)
        farthest = float(np.abs(difference).max())
        if not farthest <= most:
            most = allowed_by_rounding(network, lr, allowed.worst) + image_io
        worst = float(np.maximum(worst, farthest))  # propagates NaN
        lowest = min(lowest, psnr(difference))
    needed = allowed.psnr_8bit if image_io else allowed.psnr
    if not (worst <= most and lowest >= needed):
        raise ModelError(
            f"The export differs from torch by up to {worst:.3g} levels of 255, PSNR {lowest:.1f} dB. For "
            f"{precision} at most {most:.3g} levels and at least {needed:g} dB are "
            "allowed. Nothing was written; please report this with the versions that 'rlfn doctor' prints."
        )
    return Agreement(worst, lowest, f"{' and '.join(allowed.kinds)} of {', '.join(dict.fromkeys(sizes))} px")


def distance(
    run: LoadedExport, checkpoint: Checkpoint, *, shape: Shape | None = None, image_io: bool = False
) -> Agreement:
    """Return the difference between a loaded file and torch in fp32 on a crop of the photograph, without a limit.

    Args:
        run: the file in its runtime.
        checkpoint: the network that was exported.
        shape: the fixed input shape of the file; None for one picture of the last of :data:`CHECKED_SIZES`.
        image_io: whether it takes and returns 8-bit pictures.
    """
    given = shape or (1, 3, *CHECKED_SIZES[-1])
    (lr,) = _pictures(_shapes(given, 1, ()), ("photograph",), whole_levels=image_io)
    difference = _difference(run, _grown(checkpoint), lr, image_io)
    return Agreement(float(np.abs(difference).max()), psnr(difference), f"a photograph of {given[3]}x{given[2]} px")


def _grown(checkpoint: Checkpoint) -> nn.Module:
    return grown(checkpoint.network, ARCHITECTURES[checkpoint.variant.architecture].min_side)


def _difference(run: LoadedExport, network: nn.Module, lr: NDArray[np.float32], image_io: bool) -> NDArray[np.float64]:
    """Return a file's output for ``lr`` (N, 3, H, W) minus torch's, in levels of 255."""
    with torch.inference_mode():
        sr = network(torch.from_numpy(lr))
        wanted = (to_bytes(sr) if image_io else sr).numpy()
    found = run(np.ascontiguousarray(lr.transpose(0, 2, 3, 1)).astype(np.uint8) if image_io else lr)
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise ModelError(
            f"The export returns {found.dtype} {found.shape} where torch returns {wanted.dtype} {wanted.shape}. "
            "Nothing was written."
        )
    difference: NDArray[np.float64] = found.astype(np.float64) - wanted
    return difference


def allowed_by_rounding(network: nn.Module, lr: NDArray[np.float32], worst: float) -> float:
    """Return how many levels of 255 an fp32 file may differ from torch on ``lr`` (N, 3, H, W): at least ``worst``.

    A network whose output is far outside [0, 255] for some pictures, such as a SPAN's for noise, has larger rounding
    errors in fp32. They are estimated by the difference between torch in fp32 and torch in float64.

    >>> allowed_by_rounding(nn.Identity(), np.zeros((1, 3, 4, 4), np.float32), 0.05)
    0.05
    """
    with torch.inference_mode():
        single = network(torch.from_numpy(lr))
        double = copy.deepcopy(network).double()(torch.from_numpy(lr).double())
        rounding = float((single - double).abs().max())
    return max(worst, min(_ROUNDINGS * rounding, _MOST_ROUNDING))


def psnr(difference: NDArray[np.float64]) -> float:
    """Return the PSNR in dB of a difference in levels of 255; infinity if it is zero."""
    error = float(np.mean(np.square(difference)))
    return float("inf") if error == 0.0 else 10.0 * float(np.log10(255.0**2 / error))


def _shapes(shape: Shape | None, least: int, batches: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Return the (batch, height, width) triples to compare."""
    if shape is not None:
        return [(shape[0], *shape[2:])]
    found = [(batch, max(height, least), max(width, least)) for height, width in CHECKED_SIZES for batch in batches]
    return list(dict.fromkeys(found))


def _pictures(
    shapes: list[tuple[int, int, int]], kinds: tuple[str, ...], *, whole_levels: bool
) -> Iterator[NDArray[np.float32]]:
    """Yield (N, 3, H, W) in [0, 255]."""
    random = np.random.default_rng(0)
    for batch, height, width in shapes:
        if "noise" in kinds:
            noise = random.uniform(0.0, 255.0, (batch, 3, height, width)).astype(np.float32)
            yield np.floor(noise) if whole_levels else noise
        if "photograph" in kinds:
            yield np.stack([_crop(height, width, 40 * number) for number in range(batch)])


def _crop(height: int, width: int, start: int) -> NDArray[np.float32]:
    """Return a crop of the photograph (3, height, width), mirrored if the photograph is too small."""
    pixels = photograph()[start:, start:]
    more = [(0, max(0, side - have)) for side, have in zip((height, width), pixels.shape[:2], strict=True)]
    pixels = np.pad(pixels, (*more, (0, 0)), mode="symmetric")[:height, :width]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)
