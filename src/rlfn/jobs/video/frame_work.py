"""The work on the frames of one output, the same for videos, animations and pictures."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import StoppedError
from rlfn.images.coding import CodingInfo
from rlfn.inference.enlarge import EnlargePlan, Enlarger
from rlfn.inference.reuse import TileCache
from rlfn.jobs.video.progress import FrameReporter, VideoReport
from rlfn.jobs.video.record import VideoRecord

_Frame = TypeVar("_Frame")


class FrameWork:
    """Enlarges the frames of one source in order, counts them, reports the progress and makes the record.

    Args:
        source: the source, for messages.
        enlarger: makes the images larger.
        coding: how the frames were coded.
        reuse: take what is unchanged from the frame before; the result is the same without it.
        after_cancel: a sentence on what is left after it was cancelled.

    Attributes:
        cache: the tiles of the last frame, and their counts.
        frames: number of frames, so far.
        kept: of these, those that an earlier call finished.
        repeated: of these, those that :meth:`enlarge_changed` found to be the same as the one before.
        warnings: what is lost or changed, each once and in order.
    """

    def __init__(self, source: Path, enlarger: Enlarger, coding: CodingInfo, *, reuse: bool, after_cancel: str) -> None:
        self._source, self._enlarger, self._coding = source, enlarger, coding
        self._reuse, self._after_cancel = reuse, after_cancel
        self._plan: EnlargePlan | None = None
        self._last: tuple[NDArray[Any], NDArray[Any]] | None = None
        self._engine_seconds = 0.0
        self.cache = TileCache()
        self.frames = self.kept = self.repeated = 0
        self.warnings: dict[str, None] = {}

    @property
    def plan(self) -> EnlargePlan:
        """What every frame is enlarged with; it is there after :meth:`decide`."""
        assert self._plan is not None
        return self._plan

    @property
    def decided(self) -> bool:
        """Whether there was a frame that the plan was made for."""
        return self._plan is not None

    def decide(self, image: NDArray[Any]) -> None:
        """Choose what every frame is enlarged with, by the first one."""
        if self._plan is None:
            self._plan = self._enlarger.plan(image, self._coding)

    def warn(self, warnings: Iterable[str]) -> None:
        """Add warnings that are not there yet."""
        self.warnings |= dict.fromkeys(warnings)

    def watched(
        self, frames: Iterable[_Frame], report: VideoReport | None, cancel: Event | None, total: int, done: int = 0
    ) -> Iterator[_Frame]:
        """Yield frames; count and report each when the next one is requested.

        Args:
            frames: the frames of this call.
            report: called after each frame.
            cancel: ends the work before the next frame.
            total: approximate number of frames of the output; 0 where unknown.
            done: number of frames of an earlier call.

        Raises:
            StoppedError: it was cancelled.
        """
        reporter = FrameReporter(report, total, self.cache, done)
        for frame in frames:
            if cancel is not None and cancel.is_set():
                raise StoppedError(f"The work on '{self._source}' was cancelled. {self._after_cancel}")
            yield frame
            self.frames += 1
            reporter.tick()

    def enlarge(self, image: NDArray[Any]) -> NDArray[Any]:
        """Enlarge the image of a frame."""
        self.decide(image)
        began = time.perf_counter()
        made = self._enlarger(image, plan=self.plan, cache=self.cache if self._reuse else None)
        self._engine_seconds += time.perf_counter() - began
        self.warn(made.warnings)
        return made.image

    def enlarge_changed(self, image: NDArray[Any]) -> NDArray[Any]:
        """Enlarge the image of a frame, or return the last result for an image that is the same as the last one."""
        if self._reuse and self._last is not None and np.array_equal(image, self._last[0]):
            self.repeated += 1
            return self._last[1]
        result = self.enlarge(image)
        self._last = image, result
        return result

    def record(self, record: VideoRecord, seconds: float, **more: Any) -> VideoRecord:
        """Return the record of the work, which took ``seconds``; ``more`` are its other fields."""
        facts = {"frames": self.frames, "repeated": self.repeated, "reused": self.cache.reused_share, **more}
        return replace(
            record.made_by(self.plan),
            status="done",
            warnings=tuple(dict.fromkeys([*self.warnings, *self.plan.warnings])),
            seconds=seconds,
            engine_seconds=self._engine_seconds,
            frames_per_second=(self.frames - self.kept) / seconds if seconds else 0.0,
            **facts,
        )
