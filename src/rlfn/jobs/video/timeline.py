"""Times of frames and packets: growing ones made of those that jump back, and times of decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

_SURE, _LIKELY = Fraction(1), Fraction(1, 5)
_OVERLAP = Fraction(1, 2)
_FEW = 3
"""After so many times a jump is one, and no wrong time."""


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
        self._new = 0
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
            self._new = _FEW + 1
        elif self._new and self._was_alone(time, shifted, last):
            self.jumps.pop()
            self._offset = self._before
            shifted = time + self._offset
        self._new = max(0, self._new - 1)
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


def decode_times(order: Sequence[int], shown: Sequence[int]) -> Iterator[int]:
    """Yield when each frame is decoded: never after it is shown, and each later than the one before.

    Args:
        order: the timestamps in the order of decoding.
        shown: the same, sorted.

    >>> list(decode_times([0, 40, 20, 60], [0, 20, 40, 60]))
    [-20, 0, 20, 40]
    """
    rank = {pts: number for number, pts in enumerate(shown)}
    delay = max((number - rank[pts] for number, pts in enumerate(order)), default=0)
    step = shown[1] - shown[0] if len(shown) > 1 else 1
    for number in range(len(order)):
        yield shown[number - delay] if number >= delay else shown[0] - (delay - number) * step


def frame_durations(times: Sequence[tuple[int, int]], last: int) -> dict[int, int]:
    """Return how long each frame is shown, by its timestamp: until the next one, and the last one for ``last``."""
    stamps = [pts for pts, _ in times]
    return {pts: after - pts for pts, after in zip(stamps, [*stamps[1:], stamps[-1] + last], strict=True)}
