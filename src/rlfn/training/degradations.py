"""How training makes low-resolution pictures from high-resolution ones: one class and one table row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from rlfn.images.resize import resize


class Degradation(Protocol):
    """Makes a low-resolution picture.

    Attributes:
        packed: the pack's own low-resolution pictures are what this degradation makes, so nothing is left to do.
        margin: the context, in low-resolution pixels, that a crop needs on each side for its borders to be right.
    """

    packed: ClassVar[bool]
    margin: ClassVar[int]

    def apply(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Reduce ``hr`` by ``scale``.

        Args:
            hr: (H, W, 3) uint8, both sides multiples of ``scale``.
            scale: a whole number from 2 up.
            random: where every random choice comes from.

        Returns:
            (H // scale, W // scale, 3) uint8.
        """
        ...


@dataclass(frozen=True)
class Bicubic:
    """The paper's: MATLAB's bicubic reduction with antialiasing, as the pack was made."""

    packed: ClassVar[bool] = True
    margin: ClassVar[int] = 0

    def apply(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Reduce ``hr``, see :meth:`Degradation.apply`; nothing is random."""
        return resize(hr, scale=1 / scale)


DEGRADATIONS: dict[str, type[Degradation]] = {"bicubic": Bicubic}
