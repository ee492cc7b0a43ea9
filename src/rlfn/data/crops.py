"""Random aligned crops from a pack, each a pure function of (seed, iteration, number in the batch).

The random generator is counter-based (Philox), so the samples do not depend on the number of workers or devices, and a
resumed run draws the same ones: no state is stored and nothing is replayed.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rlfn.data.degradations import Bicubic, Degradation
from rlfn.data.store import Indices, PictureStore
from rlfn.errors import OptionError

_Wanted = TypeVar("_Wanted")
_Drawn = TypeVar("_Drawn")

SampleBatch = tuple[NDArray[np.uint8], NDArray[np.uint8]]

FLAT = 4.0  # mean difference between neighbours, in levels of 255, below which a crop counts as flat
_AHEAD = 2  # number of batches to prefetch
REDRAWS = 4  # maximum number of redraws per sample
_BICUBIC = Bicubic()


@dataclass(frozen=True)
class SampleCrop:
    """The position of a crop in low-resolution pixels, and its orientation: mirrored first, then transposed."""

    picture: int
    top: int
    left: int
    mirror_rows: bool
    mirror_columns: bool
    turn: bool

    def turned(self, planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a view of (3, N, N) planes in this crop's orientation."""
        planes = planes[:, :: -1 if self.mirror_rows else 1, :: -1 if self.mirror_columns else 1]
        return planes.transpose(0, 2, 1) if self.turn else planes


def sample_stream(seed: int, iteration: int, sample: int) -> np.random.Generator:
    """Return the random generator of one sample: Philox with (seed, iteration) as key and the sample as counter.

    Args:
        seed, iteration, sample: whole numbers, 0 <= n < 2^64.
    """
    key = np.array((seed, iteration), np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array((0, 0, 0, sample), np.uint64)))


def sample_batch(
    pack: PictureStore,
    *,
    seed: int,
    iteration: int,
    first: int,
    count: int,
    scale: int,
    patch: int,
    pictures: Indices,
    degradation: Degradation,
    skip_flat: float = 0.0,
) -> SampleBatch:
    """Draw a batch of aligned crops, randomly mirrored and rotated by multiples of 90 degrees.

    Every picture is equally likely, as in the paper, then every position in it. Sample k depends only on ``seed``,
    ``iteration`` and ``first + k``.

    Args:
        pack: the pictures.
        seed, iteration: identify the batch.
        first: index of the first sample within the whole batch; above 0 on all devices but the first.
        count: number of samples to draw.
        scale: the downscaling factor, one of the pack's if the degradation is a packed one.
        patch: side of the low-resolution crop in pixels.
        pictures: the indices to draw from, see :meth:`PictureStore.split`.
        degradation: creates the low-resolution crop, a row of ``DEGRADATIONS``.
        skip_flat: probability, 0 to 1, of drawing again when a crop is nearly flat.

    Returns:
        lr (count, 3, patch, patch) and hr (count, 3, patch * scale, patch * scale), RGB uint8 0..255, contiguous.

    Raises:
        OptionError: a count, patch or probability out of range.
        DataError: a picture is smaller than the crop; the pack lacks the scale.
    """
    if count < 1 or patch < 1 or scale < 2 or not 0.0 <= skip_flat <= 1.0:
        raise OptionError(
            f"Cannot draw {count} crops of {patch} pixels at scale {scale} with skip_flat = {skip_flat}. "
            "Allowed: at least 1 crop, 1 pixel and scale 2; skip_flat from 0 to 1."
        )
    side = patch * scale
    pack.check_patch(side, pictures)
    lr = np.empty((count, 3, patch, patch), np.uint8)
    hr = np.empty((count, 3, side, side), np.uint8)
    for k in range(count):
        random = sample_stream(seed, iteration, first + k)
        crop = draw_crop(pack, random, pictures, patch, scale, skip_flat)
        planes = pack.planes(crop.picture)
        big = planes[:, crop.top * scale : crop.top * scale + side, crop.left * scale : crop.left * scale + side]
        clean = degradation.packed or random.random() < degradation.clean
        if degradation.packed or (clean and pack.offers(scale)):
            small = pack.planes(crop.picture, scale)[:, crop.top : crop.top + patch, crop.left : crop.left + patch]
        else:
            small = _degrade(planes, crop, patch, scale, _BICUBIC if clean else degradation, random)
        hr[k] = crop.turned(big)
        lr[k] = crop.turned(small)
    return lr, hr


def draw_crop(
    pack: PictureStore, random: np.random.Generator, pictures: Indices, patch: int, scale: int, skip_flat: float = 0.0
) -> SampleCrop:
    """Draw one crop; see :func:`sample_batch` for the arguments. The pictures must be large enough."""
    for _ in range(REDRAWS + 1):
        picture = pack.pick(random, pictures)
        planes = pack.planes(picture)
        top = int(random.integers(planes.shape[1] // scale - patch + 1))
        left = int(random.integers(planes.shape[2] // scale - patch + 1))
        if skip_flat == 0.0 or patch < 2 or random.random() >= skip_flat:
            break
        y, x, side = top * scale, left * scale, patch * scale
        if not is_flat(planes[:, y : y + side, x : x + side], scale):
            break
    mirror_rows, mirror_columns, turn = random.integers(0, 2, size=3)
    return SampleCrop(picture, top, left, bool(mirror_rows), bool(mirror_columns), bool(turn))


def batches(draw: Callable[[_Wanted], _Drawn], wanted: Iterable[_Wanted]) -> Iterator[tuple[_Wanted, _Drawn]]:
    """Draw batches in a background thread, two ahead, so that loading does not stall training.

    Args:
        draw: creates a batch; it runs in another thread and must not depend on mutable state.
        wanted: the arguments of ``draw``, in order; read in the caller's thread; may be infinite.

    Yields:
        (wanted, batch) in order; an exception of ``draw`` is raised in place of its batch.
    """
    pool = ThreadPoolExecutor(1, "batches")
    remaining = iter(wanted)
    queue: deque[tuple[_Wanted, Future[_Drawn]]] = deque()

    def refill() -> None:
        for each in itertools.islice(remaining, _AHEAD - len(queue)):
            queue.append((each, pool.submit(draw, each)))

    try:
        refill()
        while queue:
            each, future = queue.popleft()
            refill()
            yield each, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def is_flat(hr: NDArray[np.uint8], scale: int) -> bool:
    """Return whether a (3, H, W) crop is nearly flat: its green plane hardly changes at low resolution."""
    green = hr[1, ::scale, ::scale].astype(np.int16)
    steps = np.abs(np.diff(green, axis=0)).mean() + np.abs(np.diff(green, axis=1)).mean()
    return bool(steps < 2.0 * FLAT)


def _degrade(
    planes: NDArray[np.uint8],
    crop: SampleCrop,
    patch: int,
    scale: int,
    degradation: Degradation,
    random: np.random.Generator,
) -> NDArray[np.uint8]:
    """Create the low-resolution crop, using context around it as far as the picture has it."""
    spans = []
    for start, length in zip((crop.top, crop.left), planes.shape[1:], strict=True):
        # up to 7 more pixels before the crop: the 8-pixel grid of JPEG starts anywhere, as in a crop of a photograph
        low = max(0, start - degradation.margin - int(random.integers(8)))
        high = min(length // scale, start + patch + degradation.margin)
        spans.append((low, high))
    (top, bottom), (left, right) = spans
    around = planes[:, top * scale : bottom * scale, left * scale : right * scale].transpose(1, 2, 0)
    lr = degradation.degrade(np.ascontiguousarray(around), scale, random)
    y, x = crop.top - top, crop.left - left
    return lr[y : y + patch, x : x + patch].transpose(2, 0, 1)
