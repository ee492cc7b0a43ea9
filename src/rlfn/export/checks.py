"""The comparison that every export must pass in the target's own runtime before its file appears."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlfn.errors import ModelError
from rlfn.export.request import Agreement, Request
from rlfn.networks import ARCHITECTURES, Checkpoint
from rlfn.networks.graph import CHECKED_SIZES, allowed_by_rounding
from rlfn.networks.wrappers import to_bytes

Run = Callable[[NDArray[Any]], NDArray[Any]]
"""A loaded export. It takes and returns (N, 3, H, W) float32 in [0, 255], or with image_io (N, H, W, 3) uint8."""

PHOTOGRAPH = Path(__file__).parent / "photograph.png"
"""A public-domain photograph (NASA's portrait of Eileen Collins), 256x256 px."""


@dataclass(frozen=True)
class Tolerance:
    """The largest difference in levels of 255 that is allowed, the lowest PSNR in dB, and the kinds of picture checked.

    Results of 8 bit may differ by one level more and need ``psnr_8bit`` dB only: where torch lies between two levels,
    the smallest difference decides the rounding.
    """

    worst: float
    psnr: float
    psnr_8bit: float
    kinds: tuple[str, ...] = ("noise", "photograph")


TOLERANCES = {
    "fp32": Tolerance(0.05, 90.0, 70.0),
    "fp16": Tolerance(2.0, 60.0, 54.0),
    # noise is nothing that the ranges were measured for: whatever lies outside is clipped
    "int8": Tolerance(32.0, 40.0, 40.0, ("photograph",)),
}
"""By precision."""


def compare(
    run: Run, checkpoint: Checkpoint, request: Request, least: int = 1, batches: tuple[int, ...] = (1, 2)
) -> Agreement:
    """Compare a loaded export with torch in fp32 on noise and on a photograph, no side being below ``least`` px.

    ``batches`` are the numbers of pictures that are given at once where ``request`` fixes no shape.

    Raises:
        ModelError: they differ by more than the precision's row of :data:`TOLERANCES`, and by more than rounding
            explains (:func:`allowed_by_rounding`).
    """
    allowed = TOLERANCES[request.precision]
    worst, lowest, most = 0.0, float("inf"), allowed.worst
    sizes: dict[str, None] = {}
    for lr in _pictures(checkpoint, request, allowed.kinds, least, batches):
        sizes[f"{lr.shape[-1]}x{lr.shape[-2]}"] = None
        with torch.inference_mode():
            sr = checkpoint.network(torch.from_numpy(lr))
            wanted = (to_bytes(sr) if request.image_io else sr).numpy()
        found = run(np.ascontiguousarray(lr.transpose(0, 2, 3, 1)).astype(np.uint8) if request.image_io else lr)
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            raise ModelError(
                f"The export returns {found.dtype} {found.shape} where torch returns {wanted.dtype} {wanted.shape}. "
                "Nothing was written."
            )
        difference = found.astype(np.float64) - wanted
        farthest = float(np.abs(difference).max())
        if farthest > most + request.image_io:
            most = allowed_by_rounding(checkpoint, lr, most)
        worst = max(worst, farthest)
        lowest = min(lowest, _psnr(difference))
    needed = allowed.psnr_8bit if request.image_io else allowed.psnr
    if not (worst <= most + request.image_io and lowest >= needed):
        raise ModelError(
            f"The export differs from torch by up to {worst:.3g} levels of 255, PSNR {lowest:.1f} dB. For "
            f"{request.precision} at most {most + request.image_io:.3g} levels and at least {needed:g} dB are "
            "allowed. Nothing was written; please report this with the versions that 'rlfn doctor' prints."
        )
    return Agreement(worst, lowest, f"{' and '.join(allowed.kinds)} of {', '.join(sizes)} px")


@lru_cache(maxsize=1)
def photograph() -> NDArray[Any]:
    """Return :data:`PHOTOGRAPH` as (256, 256, 3) uint8."""
    from rlfn.images.files import read_picture

    return read_picture(PHOTOGRAPH).pixels


def _pictures(
    checkpoint: Checkpoint, request: Request, kinds: tuple[str, ...], least: int, batches: tuple[int, ...]
) -> Iterator[NDArray[np.float32]]:
    """Yield (N, 3, H, W) in [0, 255], whole levels where the export takes 8 bit."""
    least = max(least, ARCHITECTURES[checkpoint.variant.architecture].min_side)
    shapes = [(batch, max(height, least), max(width, least)) for height, width in CHECKED_SIZES for batch in batches]
    if request.shape is not None:
        batch, _, height, width = request.shape
        shapes = [(batch, height, width)]
    random = np.random.default_rng(0)
    for batch, height, width in dict.fromkeys(shapes):
        if "noise" in kinds:
            noise = random.uniform(0.0, 255.0, (batch, 3, height, width)).astype(np.float32)
            yield np.floor(noise) if request.image_io else noise
        if "photograph" in kinds:
            yield np.stack([_crop(height, width, 40 * number) for number in range(batch)])


def _crop(height: int, width: int, start: int) -> NDArray[np.float32]:
    """Return a part of the photograph (3, height, width), mirrored where it is too small."""
    pixels = photograph()[start:, start:]
    more = [(0, max(0, side - have)) for side, have in zip((height, width), pixels.shape[:2], strict=True)]
    pixels = np.pad(pixels, (*more, (0, 0)), mode="symmetric")[:height, :width]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)


def _psnr(difference: NDArray[np.float64]) -> float:
    error = float(np.mean(np.square(difference)))
    return float("inf") if error == 0.0 else 10.0 * float(np.log10(255.0**2 / error))
