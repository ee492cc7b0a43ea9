"""What size is wanted: a factor, a width, a height; and which model can make it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rlfn.errors import OptionError


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
            raise OptionError("Both a scale and a width or height were given. Give either --scale or --width/--height.")
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            raise OptionError(f"A picture cannot be upscaled by {self.scale}. The scale must be above 0.")
        for name, side in (("width", self.width), ("height", self.height)):
            if side is not None and side < 1:
                raise OptionError(f"A {name} of {side} px was asked for. It must be at least 1.")

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
        """Return the larger of the two sides' factors."""
        wide, high = self.size(width, height, model_scale)
        if self.width is None and self.height is None:
            return self.scale if self.scale is not None else model_scale
        return max(wide / width, high / height)

    def label(self, model_scale: int) -> str:
        """Return what output names carry: ``x4``, ``x2.5``, ``w1920``, ``h1080`` or ``1920x1080``."""
        if self.width is not None and self.height is not None:
            return f"{self.width}x{self.height}"
        if self.width is not None:
            return f"w{self.width}"
        if self.height is not None:
            return f"h{self.height}"
        return f"x{self.scale if self.scale is not None else model_scale:g}"


def _half_up(value: float) -> int:
    return math.floor(value + 0.5)
