"""How training makes low-resolution pictures from high-resolution ones: one class and one table row each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from rlfn.data.photo import Photo
from rlfn.data.second_order import SecondOrder
from rlfn.errors import OptionError, unknown
from rlfn.images.resize import resize


class Degradation(Protocol):
    """Makes a low-resolution picture."""

    @property
    def packed(self) -> bool:
        """Whether the low-resolution pictures of the pack are used as they are."""
        ...

    @property
    def clean(self) -> float:
        """The share of samples, in [0, 1], that are exactly the bicubic reduction, as the pack holds it."""
        ...

    @property
    def margin(self) -> int:
        """The context, in low-resolution pixels, that a crop needs on each side for its borders to be right."""
        ...

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

    def degrade(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Do what :meth:`apply` does with a sample that does not stay clean, whatever ``clean`` is."""
        ...


@dataclass(frozen=True)
class Bicubic:
    """The paper's: MATLAB's bicubic reduction with antialiasing; in training, the pictures that the pack holds."""

    packed: ClassVar[bool] = True
    clean: ClassVar[float] = 1.0
    margin: ClassVar[int] = 2

    def apply(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Reduce ``hr``, see :meth:`Degradation.apply`; nothing is random."""
        return resize(hr, scale=1 / scale)

    def degrade(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Do the same, see :meth:`Degradation.degrade`."""
        return self.apply(hr, scale, random)


DEGRADATIONS: dict[str, Callable[..., Degradation]] = {
    "bicubic": Bicubic,
    "photo": Photo,
    "real-esrgan": SecondOrder,
}
"""Every degradation by the name that recipes use; each is a dataclass whose fields are its settings."""


def make_degradation(name: str, settings: Mapping[str, Any] | None = None) -> Degradation:
    """Return the degradation of a row of ``DEGRADATIONS``, with ``settings`` for its fields (lists serve as tuples).

    Raises:
        OptionError: an unknown name or field, a value out of range.
    """
    if name not in DEGRADATIONS:
        raise unknown("degradation", name, DEGRADATIONS)
    kind = DEGRADATIONS[name]
    allowed = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in settings or {}:
        if not allowed:
            raise OptionError(f"The degradation {name} has no settings. Remove '{key}', or choose another degradation.")
        if key not in allowed:
            raise unknown(f"setting of the degradation {name}", key, allowed)
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in (settings or {}).items()}
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(f"The degradation {name} cannot be used: a setting has a value of another kind.") from error
