"""Degradations, which create low-resolution training pictures from high-resolution ones: one class and one row each."""

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
    """Creates a low-resolution picture."""

    @property
    def packed(self) -> bool:
        """Whether the low-resolution pictures of the pack are used unchanged."""
        ...

    @property
    def clean(self) -> float:
        """The fraction of samples, 0 to 1, that are exactly the bicubic reduction stored in the pack."""
        ...

    @property
    def margin(self) -> int:
        """The context, in low-resolution pixels, that a crop needs on each side for correct borders."""
        ...

    def apply(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Reduce ``hr`` by ``scale``.

        Args:
            hr: (H, W, 3) uint8, both sides multiples of ``scale``.
            scale: a whole number of at least 2.
            random: the source of all random choices.

        Returns:
            (H // scale, W // scale, 3) uint8.
        """
        ...

    def degrade(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Like :meth:`apply`, but never return a clean sample, regardless of ``clean``."""
        ...


@dataclass(frozen=True)
class Bicubic:
    """The paper's degradation: MATLAB's bicubic with antialiasing; training uses the pictures stored in the pack."""

    packed: ClassVar[bool] = True
    clean: ClassVar[float] = 1.0
    margin: ClassVar[int] = 2

    def apply(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Reduce ``hr``, see :meth:`Degradation.apply`; nothing is random."""
        return resize(hr, scale=1 / scale)

    def degrade(self, hr: NDArray[np.uint8], scale: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Same as :meth:`apply`, see :meth:`Degradation.degrade`."""
        return self.apply(hr, scale, random)


DEGRADATIONS: dict[str, Callable[..., Degradation]] = {
    "bicubic": Bicubic,
    "photo": Photo,
    "real-esrgan": SecondOrder,
}
"""Every degradation by the name that recipes use; each is a dataclass whose fields are its settings."""


def make_degradation(name: str, settings: Mapping[str, Any] | None = None) -> Degradation:
    """Create the degradation of a row of ``DEGRADATIONS`` with ``settings`` for its fields (lists become tuples).

    Raises:
        OptionError: an unknown name or field, or a value out of range.
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
