"""A folder of pictures as a source of training data, without a pack."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rlfn.data.pictures import find_pictures, picture_size, read_rgb
from rlfn.data.store import CheckProgress, PictureStore, reduce_bicubic
from rlfn.errors import DataError, PictureError
from rlfn.wording import counted, itemized

_Result = TypeVar("_Result")

_CACHE_BYTES = 1 << 30


class FolderPictures(PictureStore):
    """A folder of pictures without a pack: each is decoded when drawn, with a cache of up to 1 GiB.

    Downscaled pictures are computed with MATLAB's bicubic, as in packs. A crop may cost the decoding of a whole
    picture, so a pack is much faster; a folder is sufficient for a few pictures or a first try.

    Raises:
        DataError: the folder is missing or has no picture, or files are not pictures; the message names all of them.
    """

    def __init__(self, folder: Path) -> None:
        self.label = f"the folder {folder}"
        self.slow = True
        self.published = folder.resolve().name
        self._found = find_pictures([folder])
        self.names = tuple(picture.name for picture in self._found)
        sizes, problems = _each(picture_size, [picture.path for picture in self._found])
        self._refuse(problems)
        self.sides = np.array(sizes)
        self._kept: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()
        self._lock = threading.Lock()

    def planes(self, picture: int, scale: int = 1) -> NDArray[np.uint8]:
        """See :meth:`PictureStore.planes`."""
        key = (picture, scale)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        if scale == 1:
            image = read_rgb(self._found[picture].path)
        else:
            image = reduce_bicubic(self.planes(picture).transpose(1, 2, 0), scale)
        made = np.ascontiguousarray(image.transpose(2, 0, 1))
        with self._lock:
            self._kept[key] = made
            while sum(kept.nbytes for kept in self._kept.values()) > _CACHE_BYTES and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return made

    def check_decoding(self, progress: CheckProgress | None = None) -> None:
        """See :meth:`PictureStore.check_decoding`."""

        def decode(path: Path) -> None:
            read_rgb(path)

        _, problems = _each(decode, [picture.path for picture in self._found], progress)
        self._refuse(problems)

    def _refuse(self, problems: list[str]) -> None:
        if problems:
            raise DataError(
                f"{counted(len(problems), 'picture')} of {self.label} cannot be read. Remove or replace "
                f"{'it' if len(problems) == 1 else 'them'}:{itemized(problems)}"
            )

    def _contents(self, scale: int, unpacked: bool) -> list[Any]:
        return [picture.path.stat().st_size for picture in self._found]

    def offers(self, scale: int) -> bool:
        """See :meth:`PictureStore.offers`: any scale is available."""
        return True

    def check_scale(self, scale: int) -> None:
        """See :meth:`PictureStore.check_scale`."""


def _each(
    work: Callable[[Path], _Result], paths: Sequence[Path], progress: CheckProgress | None = None
) -> tuple[list[_Result], list[str]]:
    """Call ``work`` on every path in threads; return the results, and the messages of those that cannot be read."""
    results, problems = [], []

    def attempt(path: Path) -> _Result | PictureError:
        try:
            return work(path)
        except PictureError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count(), "pictures") as pool:
        try:
            for number, found in enumerate(pool.map(attempt, paths), 1):
                if isinstance(found, PictureError):
                    problems.append(found.template)
                else:
                    results.append(found)
                if progress:
                    progress(number, len(paths))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results, problems
