"""Times that are to grow: where a stream's jump back, as in joined recordings, what follows goes on behind it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

_SURE, _LIKELY = Fraction(1), Fraction(1, 5)
_OVERLAP = Fraction(1, 2)


class Timeline:
    """The times of one stream, each later than the one before; times that grow stay as they are.

    Args:
        base: the unit of the times in seconds.
        known: the jumps of the stream that the others follow, as in ``jumps``; None where this is that one.

    Attributes:
        jumps: what was added to all times after each jump back, in seconds.
        moved: times that did not grow and were set.

    >>> timeline = Timeline(Fraction(1, 10))
    >>> [timeline(time, 1) for time in (40, 41, 41, 43, 0, 1, 2)]
    [40, 41, 42, 43, 44, 45, 46]
    """

    def __init__(self, base: Fraction, known: Sequence[Fraction] | None = None) -> None:
        self._base, self._known = base, known
        self._offset = 0
        self._last: int | None = None
        self.jumps: list[Fraction] = []
        self.moved = 0

    @property
    def offset(self) -> int:
        """What is added now."""
        return self._offset

    def __call__(self, time: int, step: int, *, sure: bool = False, least: int = 1) -> int:
        """Return when it is.

        Args:
            time: what the stream says.
            step: how long the one before lasts.
            sure: whether something else tells that a jump is one; then it may be shorter.
            least: how much later than the one before it has to be.
        """
        last = self._last
        if last is None:
            self._last = time
            return time
        shifted = time + self._offset
        follows = sure or self._known is None or len(self.jumps) < len(self._known)
        if follows and (last - shifted) * self._base > (_LIKELY if sure else _SURE):
            shifted = time + self._jump(last + step - time)
        elif self.jumps and self._was_alone(time, shifted, last):
            self.jumps.pop()
            self._offset = self._before
            shifted = time + self._offset
        if shifted < last + least:
            self.moved += 1
            shifted = last + least
        self._last = shifted
        return shifted

    @property
    def _before(self) -> int:
        return round(self.jumps[-2] / self._base) if len(self.jumps) > 1 else 0

    def _jump(self, own: int) -> int:
        """Note a jump; return what is added from now on: what the leading stream adds, where it fits."""
        if self._known is not None:
            added = self._known[len(self.jumps)] if len(self.jumps) < len(self._known) else None
            if added is not None and added > own * self._base - _OVERLAP:
                own = round(added / self._base)
        self.jumps.append(own * self._base)
        self._offset = own
        return own

    def _was_alone(self, time: int, shifted: int, last: int) -> bool:
        """Tell whether only the time before was wrong, and no jump."""
        return (shifted - last) * self._base > _SURE and 0 < (time + self._before - last) * self._base <= _SURE
