"""Progress of a video."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

_WINDOW = 64


@dataclass(frozen=True)
class VideoProgress:
    """Progress of a video.

    Attributes:
        frames: done so far, those of an earlier call included.
        total: approximate number of frames of the output; 0 where unknown.
        rate: frames a second over the last few; 0 at the start.
        seconds_left: estimated, until the last frame; None where unknown.
        reused: the share of tiles that were not computed again, 0 to 1.
    """

    frames: int
    total: int
    rate: float
    seconds_left: float | None
    reused: float


class FrameClock:
    """Measures the rate of frames."""

    def __init__(self) -> None:
        self._moments: deque[float] = deque([time.monotonic()], maxlen=_WINDOW)

    def tick(self) -> float:
        """Count a frame; return frames a second."""
        self._moments.append(time.monotonic())
        passed = self._moments[-1] - self._moments[0]
        return (len(self._moments) - 1) / passed if passed > 0 else 0.0
