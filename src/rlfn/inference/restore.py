"""How strongly a picture is restored: chosen from its file and its pixels, by tables.

Strength 0 is the weights for clean pictures, 1 those for photographs; between them the weights are blended. The tables'
thresholds were chosen with ``benchmarks/restore.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import OptionError
from rlfn.images.coding import UNKNOWN_CODING, CodingInfo
from rlfn.images.color import luminance
from rlfn.wording import setting

AUTO, OFF = "auto", "off"
"""Values besides a strength: the picture decides, or nothing is restored."""

STEP = 0.25
"""Strengths are multiples of it, so that few models are loaded."""

Rows = tuple[tuple[float, float], ...]
"""Pairs of a limit and a strength. The first limit that holds gives the strength."""

JPEG_QUALITY: Rows = ((85, 1.0), (92, 0.5), (95, 0.25))
"""A JPEG file of at most this quality."""

BLOCKS: Rows = ((0.2, 1.0), (0.04, 0.5))
"""JPEG blocking in the pixels of at least this strength."""

NOISE: Rows = ((3.5, 1.0), (2.4, 0.5))
"""Chroma noise of at least so many levels of 255."""

GRAIN: Rows = ((5.5, 1.0), (4.2, 0.5))
"""Luma noise of at least so many levels; texture can look like it, so the limits are higher."""

CODED = 0.5
"""A file of another lossy format, which states no quality that could be compared."""

_WINDOW, _WINDOWS = 128, 4
_LEAST = 24


@dataclass(frozen=True)
class PixelEvidence:
    """What pixels show.

    Attributes:
        noise: the standard deviation of the chroma noise, in levels of 255.
        grain: that of the luma noise, where the picture is flattest.
        blocks: 0 to 1, how much more often than elsewhere fine detail is missing inside a grid of 8 px.
    """

    noise: float = 0.0
    grain: float = 0.0
    blocks: float = 0.0


@dataclass(frozen=True)
class RestoreStrength:
    """A strength from 0 to 1, and why, in a few words.

    ``shortfall`` is empty, or a sentence on why a picture does not get the strength that it calls for.
    """

    strength: float
    reason: str
    shortfall: str = ""

    def at_an_end(self) -> RestoreStrength:
        """Return the nearer of 0 and 1, for the same reason."""
        return RestoreStrength(float(self.strength >= 0.5), self.reason)


NO_RESTORE = RestoreStrength(0.0, "")
"""No restoration was asked for."""


def check_restore(value: float | str) -> float | str:
    """Return what was asked for: ``"auto"``, or a strength that is a multiple of :data:`STEP`.

    Raises:
        OptionError: it is neither ``"auto"``, ``"off"`` nor a number from 0 to 1.
    """
    if isinstance(value, str) and value in (AUTO, OFF):
        return AUTO if value == AUTO else 0.0
    try:
        strength = float(value)
    except (TypeError, ValueError):
        strength = -1.0
    if isinstance(value, bool) or not 0.0 <= strength <= 1.0:
        raise OptionError(
            f"{setting('restore')} was given as {value!r}. Allowed: auto, off, or a number from 0 (off) to 1 (full)."
        )
    return round(strength / STEP) * STEP


def choose_strength(
    image: NDArray[Any], coding: CodingInfo = UNKNOWN_CODING, full_quality: int | None = None
) -> RestoreStrength:
    """Return how strongly to restore an image.

    Args:
        image: uint8 or uint16; gray (H, W), RGB (H, W, 3) or RGBA (H, W, 4).
        coding: what its file says.
        full_quality: see :func:`strength_for`.
    """
    return strength_for(coding, measure(image), full_quality)


def strength_for(coding: CodingInfo, evidence: PixelEvidence, full_quality: int | None = None) -> RestoreStrength:
    """Return the strength that the facts call for: the largest that any of them does.

    Args:
        coding: what the picture's file says.
        evidence: what its pixels show.
        full_quality: where blends do not help, the highest quality of a JPEG file that calls for full strength. The
            strength is 0 or 1 then, and faint blocks do not count beside a quality that is known.
    """
    jpeg, blocks = JPEG_QUALITY, BLOCKS
    if full_quality is not None:
        jpeg, blocks = ((full_quality, 1.0),), BLOCKS if coding.quality is None else BLOCKS[:1]
    chroma = ", subsampled chroma" if coding.halved else ""
    found = []
    if coding.quality is not None:
        found.append(RestoreStrength(_up_to(jpeg, coding.quality), f"JPEG of quality {coding.quality}{chroma}"))
    elif coding.lossy:
        found.append(RestoreStrength(CODED, f"lossy coding{chroma}"))
    found += [
        RestoreStrength(_from(blocks, evidence.blocks), "JPEG blocking in the pixels"),
        RestoreStrength(_from(NOISE, evidence.noise), f"chroma noise of {evidence.noise:.1f} levels"),
        RestoreStrength(_from(GRAIN, evidence.grain), f"luma noise of {evidence.grain:.1f} levels"),
    ]
    strongest = max(found, key=lambda choice: choice.strength)
    if strongest.strength == 0.0:
        return RestoreStrength(0.0, found[0].reason if coding.quality is not None else "no traces of coding or noise")
    return strongest if full_quality is None else strongest.at_an_end()


def measure(image: NDArray[Any]) -> PixelEvidence:
    """Return what the pixels of an image show; of a large one, those of a few windows."""
    windows = list(_windows(image))
    if not windows:
        return PixelEvidence()
    bright = [window if window.ndim == 2 else np.asarray(luminance(window)) for window in windows]
    grain = _percentile([_rough(plane) for plane in bright], 2)
    noise = 0.0
    if windows[0].ndim == 3:
        # detail is alike in all colours, noise is not: a difference of colours shows noise and little else
        colors = [(window @ (-0.5, 1.0, -0.5)) / np.sqrt(1.5) for window in windows]
        # of noise alone, the 25th percentile of the blocks shows nine tenths
        noise = _percentile([_rough(plane) for plane in colors], 25) / 0.9
    return PixelEvidence(float(noise), float(grain), _blocks(bright))


def _windows(image: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    """Yield parts of an image as gray or RGB in levels of 255, where nothing is transparent.

    They begin at multiples of 8 px, so that JPEG's blocks lie alike in all.
    """
    levels = 255.0 / np.iinfo(image.dtype).max
    starts = []
    for side in image.shape[:2]:
        count = min(_WINDOWS, max(side // _WINDOW, 1))
        room = side - min(side, _WINDOW)
        starts.append({round(room * i / max(count - 1, 1)) // 8 * 8 for i in range(count)})
    for top in sorted(starts[0]):
        for left in sorted(starts[1]):
            window = image[top : top + _WINDOW, left : left + _WINDOW]
            if min(window.shape[:2]) < _LEAST:
                continue
            if window.ndim == 3 and window.shape[2] == 4:
                if window[..., 3].min() < np.iinfo(image.dtype).max:
                    continue
                window = window[..., :3]
            yield window * levels


def _percentile(parts: list[NDArray[np.float64]], percent: float) -> float:
    """Return what NumPy's ``percentile`` does, which loads ``numpy.ma`` on its first call, as ``median`` does.

    >>> _percentile([np.array([3.0, 1.0]), np.array([2.0])], 25)
    1.5
    """
    values = np.sort(np.concatenate(parts))
    below, share = divmod((len(values) - 1) * percent / 100.0, 1.0)
    low = values[int(below)]
    return float(low + share * (values[min(int(below) + 1, len(values) - 1)] - low))


def _rough(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the noise of each 8x8 block, by a mask that edges and slopes hardly move (Immerkaer, 1996)."""
    bent = plane[:-2] - 2 * plane[1:-1] + plane[2:]
    bent = bent[:, :-2] - 2 * bent[:, 1:-1] + bent[:, 2:]
    height, width = (side // 8 for side in bent.shape)
    blocks = bent[: 8 * height, : 8 * width].reshape(height, 8, width, 8)
    noise: NDArray[np.float64] = np.sqrt((blocks**2).mean(axis=(1, 3))).ravel() / 6
    return noise


_K, _N = np.mgrid[4:8, 0:8]
_FINE = 0.5 * np.cos((2 * _N + 1) * _K * np.pi / 16)
"""The upper half of the DCT of 8 samples."""

_STILL = 0.6
"""A coefficient below so many levels counts as missing: what rounding to whole levels leaves of none."""


def _blocks(planes: list[NDArray[np.float64]]) -> float:
    """Return how much more often fine detail is missing on one grid of 8 px than on the others, down and across."""
    return min(_grid(planes), _grid([plane.T for plane in planes]))


def _grid(planes: list[NDArray[np.float64]]) -> float:
    missing = np.zeros(8)
    for offset in range(8):
        still = total = 0
        for plane in planes:
            width = (plane.shape[1] - offset) // 8 * 8
            fine = plane[:, offset : offset + width].reshape(-1, 8) @ _FINE.T
            still, total = still + int((np.abs(fine) < _STILL).sum()), total + fine.size
        missing[offset] = still / total
    usual = _percentile([missing], 50)
    # 1.02: flat pictures have nothing to miss anywhere
    return float(missing.max() - usual) / (1.02 - usual)


def _up_to(rows: Rows, value: float) -> float:
    return next((strength for limit, strength in rows if value <= limit), 0.0)


def _from(rows: Rows, value: float) -> float:
    return next((strength for limit, strength in rows if value >= limit), 0.0)
