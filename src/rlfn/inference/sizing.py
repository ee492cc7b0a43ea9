"""What size is wanted: a factor, a width, a height; and which model can make it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from rlfn.errors import OptionError
from rlfn.models import catalog
from rlfn.numeric import is_real, is_whole
from rlfn.wording import setting

_SLACK = 1e-9
"""Tolerance of a factor above a model's scale: sides are divided, and 0.1 * 30 is not 3."""


@dataclass(frozen=True)
class Wanted:
    """The size asked for: a factor, or a width, or a height, or both of these.

    With one side given the other keeps the picture's proportions; with both the picture takes exactly that size.
    Nothing given means the model's own scale.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None

    def __post_init__(self) -> None:
        """Refuse contradictory or impossible sizes."""
        if self.scale is not None and (self.width is not None or self.height is not None):
            raise OptionError(
                "Both a scale and a width or height were given. "
                f"Give either {setting('scale')}, or {setting('width')} and {setting('height')}."
            )
        if self.scale is not None and not (is_real(self.scale) and 0 < self.scale < 1e9):
            raise OptionError(f"A scale of {self.scale!r} was asked for. Allowed: a number above 0, such as 2 or 2.5.")
        for name, side in (("width", self.width), ("height", self.height)):
            if side is not None and not (is_whole(side) and side >= 1):
                raise OptionError(f"A {name} of {side!r} px was asked for. Allowed: a whole number of at least 1.")

    def size(self, width: int, height: int, model_scale: int) -> tuple[int, int]:
        """Return the (width, height) to make of a picture of the given size."""
        if self.width is not None and self.height is not None:
            return self.width, self.height
        if self.width is not None:
            return self.width, max(1, _half_up(height * self.width / width))
        if self.height is not None:
            return max(1, _half_up(width * self.height / height)), self.height
        factor = self.scale if self.scale is not None else model_scale
        return max(1, _half_up(width * factor)), max(1, _half_up(height * factor))

    def factor(self, width: int, height: int, model_scale: int) -> float:
        """Return the factor that a picture of the given size needs: of the larger where its sides differ."""
        if self.width is None and self.height is None:
            return self.scale if self.scale is not None else model_scale
        # the side that was asked for counts, not the one that follows from it by rounding
        asked = ((self.width, width), (self.height, height))
        return max(side / have for side, have in asked if side is not None)

    def label(self, model_scale: int) -> str:
        """Return what output names carry: ``x4``, ``x2.5``, ``w1920``, ``h1080`` or ``1920x1080``."""
        if self.width is not None and self.height is not None:
            return f"{self.width}x{self.height}"
        if self.width is not None:
            return f"w{self.width}"
        if self.height is not None:
            return f"h{self.height}"
        return f"x{self.scale if self.scale is not None else model_scale:g}"


def reaches(scale: int, factor: float) -> bool:
    """Tell whether a model of ``scale`` can make a picture ``factor`` times as large."""
    return factor <= scale + _SLACK


def is_family_or_default(model: str | os.PathLike[str] | None) -> bool:
    """Tell whether what a user calls a model leaves the scale open: nothing, or a packaged family's name."""
    return model is None or model in catalog.families()


def pick_model(factor: float | None, family: str | None = None) -> catalog.Model:
    """Return the default model of the smallest scale that reaches ``factor``.

    Args:
        factor: the factor wanted; None for the first model.
        family: a packaged family's name, to choose among its models alone.

    Raises:
        OptionError: none does; the message lists what is available.
    """
    models = [model for model in catalog.models().values() if family in (None, model.family)]
    if factor is None:
        return models[0]
    for scale in sorted({model.scale for model in models}):
        if reaches(scale, factor):
            return catalog.model_for_scale(scale, family)
    most = max(model.scale for model in models)
    of = "" if family is None else f" of {family}"
    raise OptionError(
        f"No packaged model{of} upscales x{_above(factor, most)}. Ask for at most x{most}, or upscale "
        "the result once more."
    )


def check_reach(model: str, scale: int, factor: float) -> None:
    """Refuse a factor that a model does not reach.

    Raises:
        OptionError: ``factor`` is above ``scale``.
    """
    if not reaches(scale, factor):
        raise OptionError(
            f"A factor of {_above(factor, scale)} was asked for, but {model} upscales x{scale}. "
            "Ask for a smaller size, or upscale the result once more."
        )


def _above(factor: float, scale: int) -> str:
    """Return a factor above ``scale`` in as many digits as show that it is above, at least four."""
    return next(text for digits in range(4, 18) if float(text := f"{factor:.{digits}g}") > scale)


def _half_up(value: float) -> int:
    return math.floor(value + 0.5)
