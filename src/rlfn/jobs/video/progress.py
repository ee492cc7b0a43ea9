"""Progress of a video."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rlfn.inference.reuse import TileCache

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


VideoReport = Callable[[VideoProgress], None]
"""Called with the progress after each frame."""


class FrameReporter:
    """Counts frames and reports the progress.

    Args:
        report: called after each frame.
        total: approximate number of frames of the output; 0 where unknown.
        cache: counts the tiles.
        done: number of frames of an earlier call.
    """

    def __init__(self, report: VideoReport | None, total: int, cache: TileCache, done: int = 0) -> None:
        self._report, self._total, self._cache, self._done = report, total, cache, done
        self._moments: deque[float] = deque([time.monotonic()], maxlen=_WINDOW)

    def tick(self) -> None:
        """Count a frame and report it."""
        self._done += 1
        self._moments.append(time.monotonic())
        if self._report is None:
            return
        passed = self._moments[-1] - self._moments[0]
        rate = (len(self._moments) - 1) / passed if passed > 0 else 0.0
        left = (self._total - self._done) / rate if rate and self._total >= self._done else None
        total = max(self._total, self._done) if self._total else 0
        self._report(VideoProgress(self._done, total, rate, left, self._cache.reused_share))
