"""Sources of training pictures: packs, folders, and mixtures of them, behind one interface."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import DataError, OptionError
from rlfn.images.resize import resize
from rlfn.wording import counted, listing, setting

PackPart = Literal["train", "held-out", "all"]
Indices = NDArray[np.intp]

CheckProgress = Callable[[int, int], None]  # pictures checked, pictures in all

_LISTED = 8  # names in a message


class PictureStore(ABC):
    """Pictures by index, as planes at full size and downscaled.

    Attributes:
        label: its name in messages.
        published: the names of its folders without their paths.
        names: the pictures' names.
        sides: (N, 2), height and width of each.
        slow: whether pictures are decoded on every draw.
    """

    label: str
    published: str
    names: tuple[str, ...]
    sides: NDArray[np.intp]
    slow = False

    @abstractmethod
    def planes(self, picture: int, scale: int = 1) -> NDArray[np.uint8]:
        """Return the picture at index ``picture``, reduced by ``scale``: (3, H // scale, W // scale) uint8.

        Raises:
            DataError: there are no pictures for that scale.
        """

    @abstractmethod
    def offers(self, scale: int) -> bool:
        """Return whether there are pictures reduced by ``scale``."""

    @abstractmethod
    def check_scale(self, scale: int) -> None:
        """Refuse a scale for which there are no reduced pictures.

        Raises:
            DataError: there are no such pictures; the message says how to create them.
        """

    @abstractmethod
    def check_decoding(self, progress: CheckProgress | None = None) -> None:
        """Decode every picture that is not stored decoded, to find damaged ones.

        Args:
            progress: called with the number of pictures checked and the number of pictures in all.

        Raises:
            DataError: some are damaged; the message has a line for each.
        """

    def fingerprint(self, scale: int, *, unpacked: bool = False) -> str:
        """Return a hash of the pictures, wherever they lie.

        It is equal for stores of the same kind (pack or folder) with the same names, sizes, weights and contents, as
        far as checksums or file sizes tell.

        Args:
            scale: the reduction that counts, besides the pictures at full size.
            unpacked: take every pack as the folder that it was made of, as far as one folder gives the same samples.
        """
        described = [self.names, self.sides.tolist(), self._contents(scale, unpacked)]
        return hashlib.sha256(json.dumps(described).encode()).hexdigest()

    def outline(self) -> str:
        """Return a hash of the names and dimensions of the pictures, which a pack shares with the folder it is of."""
        return hashlib.sha256(json.dumps([self.names, self.sides.tolist()]).encode()).hexdigest()

    def _contents(self, scale: int, unpacked: bool) -> list[Any]:
        """Return what tells these contents from others of the same names and sizes, without reading every picture."""
        return []

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.names)

    def hr(self, picture: int) -> NDArray[np.uint8]:
        """Return a view of a high-resolution picture, (H, W, 3) uint8."""
        return self.planes(picture).transpose(1, 2, 0)

    def lr(self, picture: int, scale: int) -> NDArray[np.uint8]:
        """Return a view of a low-resolution picture, (H // scale, W // scale, 3) uint8."""
        return self.planes(picture, scale).transpose(1, 2, 0)

    def pixels(self, pictures: Indices) -> int:
        """Return the total number of HR px of the given pictures."""
        return int(self.sides[pictures].prod(axis=1).sum())

    def pick(self, random: np.random.Generator, pictures: Indices) -> int:
        """Draw one of ``pictures`` uniformly."""
        return int(pictures[random.integers(len(pictures))])

    def split(self, held_out: float, part: PackPart) -> Indices:
        """Return the indices of a part of the pictures: ``train``, ``held-out`` or ``all``.

        A picture's part is determined by a hash of its name, so it does not change when others are added. A fraction
        above 0 holds out at least one picture.

        Args:
            held_out: the fraction of the pictures to hold out, 0 <= held_out < 1.
            part: the part to return.

        Raises:
            OptionError: a fraction outside [0, 1), or an unknown part.
            DataError: no pictures would be left for training.
        """
        if not 0.0 <= held_out < 1.0:
            raise OptionError(f"A share of {held_out} cannot be held out. Allowed: from 0 to below 1.")
        if part not in ("train", "held-out", "all"):
            raise OptionError(f"There is no part {part!r}. Allowed: train, held-out, all.")
        places = np.array([int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32 for name in self.names])
        chosen = places < held_out
        if held_out > 0 and not chosen.any():
            chosen[np.argmin(places)] = True
        if chosen.all():
            raise DataError(
                f"Holding out {held_out:.0%} of the {len(self)} pictures of {self.label} leaves none to train on. "
                "Hold out less or give more pictures."
            )
        kept = np.ones(len(self), bool) if part == "all" else chosen if part == "held-out" else ~chosen
        return np.flatnonzero(kept)

    def check_patch(self, side: int, pictures: Indices) -> None:
        """Refuse a crop size that exceeds some picture.

        Args:
            side: the crop's side in high-resolution pixels.
            pictures: indices of the pictures to draw from.

        Raises:
            DataError: there are no pictures, or some are smaller; the message names them.
        """
        if len(pictures) == 0:
            raise DataError(f"No pictures of {self.label} were chosen to draw from.")
        small = pictures[self.sides[pictures].min(axis=1) < side]
        if small.size:
            raise DataError(
                f"{counted(small.size, 'picture')} of {self.label} {'is' if small.size == 1 else 'are'} smaller than a "
                f"crop of {side}x{side}: "
                f"{shorten(self.names[picture] for picture in small)}. "
                f"Use a smaller patch, or leave such pictures out: rlfn data pack with {setting('min_side', side)} "
                f"and {setting('skip')}."
            )


class MixedPictures(PictureStore):
    """Several stores combined: a store is drawn with probability proportional to its weight, then one of its pictures.

    Args:
        stores: two or more stores.
        weights: one per store, above 0; only their ratios matter.
    """

    def __init__(self, stores: Sequence[PictureStore], weights: Sequence[float]) -> None:
        self.label = " and ".join(store.label for store in stores)
        self.published = " + ".join(
            f"{store.published} (weight {weight:g})" for store, weight in zip(stores, weights, strict=True)
        )
        self.names = tuple(name for store in stores for name in store.names)
        self.sides = np.concatenate([store.sides for store in stores])
        self.slow = any(store.slow for store in stores)
        self._stores = tuple(stores)
        self._starts = np.cumsum([0, *(len(store) for store in stores)])
        self._bounds = np.cumsum(weights) / np.sum(weights)

    def planes(self, picture: int, scale: int = 1) -> NDArray[np.uint8]:
        """See :meth:`PictureStore.planes`."""
        number = int(np.searchsorted(self._starts, picture, "right")) - 1
        return self._stores[number].planes(picture - int(self._starts[number]), scale)

    def check_decoding(self, progress: CheckProgress | None = None) -> None:
        """See :meth:`PictureStore.check_decoding`."""
        problems = []
        for store in self._stores:
            try:
                store.check_decoding(progress)
            except DataError as error:
                problems.append(error.template)
        if problems:
            raise DataError("\n".join(problems))

    def _contents(self, scale: int, unpacked: bool) -> list[Any]:
        return [self._bounds.tolist(), *(store._contents(scale, unpacked) for store in self._stores)]

    def offers(self, scale: int) -> bool:
        """See :meth:`PictureStore.offers`."""
        return all(store.offers(scale) for store in self._stores)

    def check_scale(self, scale: int) -> None:
        """See :meth:`PictureStore.check_scale`."""
        for store in self._stores:
            store.check_scale(scale)

    def pick(self, random: np.random.Generator, pictures: Indices) -> int:
        """Draw a store by its weight, then one of its ``pictures``, which are in ascending order."""
        number = min(int(np.searchsorted(self._bounds, random.random(), "right")), len(self._stores) - 1)
        first, last = np.searchsorted(pictures, self._starts[number : number + 2])
        return super().pick(random, pictures[first:last] if last > first else pictures)


@dataclass(frozen=True)
class DataSource:
    """A pack or a folder of pictures, and its weight among several sources."""

    path: Path
    weight: float = 1.0


def open_pictures(sources: Iterable[DataSource]) -> PictureStore:
    """Open packs and folders as one store.

    Raises:
        DataError: a source does not exist, or is neither a pack nor a folder of pictures.
    """
    from rlfn.data.folder import FolderPictures
    from rlfn.data.pack import INDEX, JOURNAL, Pack

    stores: list[PictureStore] = []
    weights = []
    for source in sources:
        path = source.path
        packed = (path / INDEX).is_file() or (path / JOURNAL).is_file() or not path.is_dir()
        stores.append(Pack.open(path) if packed else FolderPictures(path))
        weights.append(source.weight)
    if not stores:
        raise DataError("There is no training data. Name a pack or a folder of pictures.")
    return stores[0] if len(stores) == 1 else MixedPictures(stores, weights)


def reduce_bicubic(hr: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Downscale a (H, W, 3) picture in the standard way: crop it to a multiple of ``scale``, then MATLAB's bicubic."""
    height, width = hr.shape[0] // scale, hr.shape[1] // scale
    return resize(hr[: height * scale, : width * scale], scale=1 / scale)


def shorten(names: Iterable[object]) -> str:
    """Join the first few names for a message."""
    names = list(names)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return listing(names[:_LISTED]) + more
