"""The part of a video to process."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class TimeRange:
    """The part of a video to process: from ``start`` seconds on, for ``duration`` seconds, or to its end."""

    start: Fraction = Fraction(0)
    duration: Fraction | None = None

    @property
    def whole(self) -> bool:
        """Whether that is all of it."""
        return not self.start and self.duration is None
