"""Animated GIF, WebP and PNG to animations."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, islice, pairwise
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.atomic import check_path, make_folder
from rlfn.errors import StoppedError
from rlfn.images.animation import ANIMATION_SUFFIXES, Animation, open_animation, without_alpha, write_animation
from rlfn.images.apng import read_control
from rlfn.images.codecs import vips
from rlfn.images.coding import CodingInfo
from rlfn.images.picture import Metadata, fitting_profile
from rlfn.images.reading import explained_reading
from rlfn.inference.enlarge import EnlargePlan, Enlarger, UpscalerPool
from rlfn.inference.reuse import TileCache
from rlfn.jobs.video.color import ColorConverter
from rlfn.jobs.video.detection import is_animated_png, is_animation
from rlfn.jobs.video.frames import FrameSource, no_frames, source_warnings
from rlfn.jobs.video.probe import probe
from rlfn.jobs.video.progress import FrameReporter, VideoReport
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.settings import VideoSettings, for_frames
from rlfn.jobs.video.time_range import TimeRange
from rlfn.jobs.video.truncation import Truncation, check_png


def stays_animation(source: Path, target: Path) -> bool:
    """Tell whether a job is one for this module: an animation on both sides."""
    return target.suffix.lower() in ANIMATION_SUFFIXES and is_animation(source)


def open_any(path: Path) -> tuple[Animation, list[str]]:
    """Open an animated GIF, WebP or PNG; return it and what decoding lost.

    Raises:
        PictureError: it cannot be read.
        MissingExtraError: it is a PNG, and PyAV is not installed.
    """
    with explained_reading(path), path.open("rb") as stream:
        control = read_control(stream)
    if control is None:
        return open_animation(path), []
    clip = probe(path)
    decoder = FrameSource(clip, TimeRange(), False)
    frames = list(decoder)
    stamps = [*(frame.pts for frame in frames), frames[-1].pts + max(1, frames[-1].duration)]
    colors = ColorConverter(clip.color, clip.format, clip.format, (clip.width, clip.height))
    animation = Animation(
        clip.width,
        clip.height,
        tuple(round((after - before) * clip.time_base * 1000) for before, after in pairwise(stamps)),
        control[1],
        _png_profile(path),
        lossy=False,
        frames=lambda: (_with_color(colors.image(frame.frame)) for frame in frames),
    )
    return animation, source_warnings(decoder)


def _png_profile(path: Path) -> Metadata:
    try:
        return Metadata(icc=vips.metadata(vips.load("png", path.read_bytes())).icc)
    except (vips.Error, OSError):
        return Metadata()


def _cut(animation: Animation, time_range: TimeRange, source: Path) -> Animation:
    """Return the frames that begin within a time range.

    Raises:
        PictureError: there are none.
    """
    if time_range.whole:
        return animation
    begins = [Fraction(time, 1000) - time_range.start for time in accumulate(animation.delays, initial=0)][:-1]
    taken = [
        n for n, time in enumerate(begins) if time >= 0 and (time_range.duration is None or time < time_range.duration)
    ]
    if not taken:
        raise no_frames(source)
    first, end = taken[0], taken[-1] + 1
    return replace(animation, delays=animation.delays[first:end], frames=lambda: islice(animation.frames(), first, end))


def _fitted(animation: Animation, suffix: str) -> tuple[Animation, list[str]]:
    """Return an animation with a profile that can be written, or without one, and the warnings."""
    icc = animation.metadata.icc
    if icc is None:
        return animation, []
    fitting, problem = fitting_profile(icc, gray=False) if suffix != ".gif" else (None, "GIF holds none")
    told = [] if fitting is not None else [f"colour profile dropped: {problem}"]
    return replace(animation, metadata=replace(animation.metadata, icc=fitting)), told


def _with_color(image: NDArray[Any]) -> NDArray[Any]:
    return np.dstack([image] * 3) if image.ndim == 2 else without_alpha(image)


class AnimationRun:
    """Upscales one animation.

    Args:
        source, target: GIF, WebP or PNG.
        settings: those of codecs are left out, with a warning.
        pool: where loaded models are kept.

    Raises:
        RlfnError: it cannot be read or enlarged, or not written there.
    """

    def __init__(self, source: Path, target: Path, settings: VideoSettings, pool: UpscalerPool) -> None:
        check_path(target)
        self._source, self._target, self._settings = source, target, settings
        animation, damage = open_any(source)
        rate = Fraction(1000 * len(animation.delays), max(1, sum(animation.delays)))
        self._truncation = (
            check_png(source, rate) if settings.time_range.whole and is_animated_png(source) else Truncation()
        )
        animation = _cut(animation, settings.time_range, source)
        self._animation, self._warnings = _fitted(animation, target.suffix.lower())
        self._warnings += [*settings.left_out("an animation"), *self._truncation.warnings, *damage]
        size = (self._animation.width, self._animation.height)
        settings.check_frame_size(source, *size)
        self._enlarger = Enlarger(for_frames(settings.enlarge, *size), pool).with_auto_engine(None)
        self._plan: EnlargePlan | None = None
        self._cache = TileCache()
        self._engine_seconds = 0.0
        self._counts = {"frames": 0, "repeated": 0}

    def run(self, report: VideoReport | None, cancel: Event | None, record: VideoRecord) -> VideoRecord:
        """Do the work; return its record."""
        began = time.perf_counter()
        make_folder(self._target.parent)
        size = write_animation(
            self._enlarged(report, cancel), self._target, self._animation, self._settings.frames_quality
        )
        assert self._plan is not None
        seconds = time.perf_counter() - began
        return replace(
            record.made_by(self._plan),
            status="done",
            warnings=(*self._warnings, *self._plan.warnings),
            input_size=(self._animation.width, self._animation.height),
            output_size=size,
            seconds=seconds,
            engine_seconds=self._engine_seconds,
            reused=self._cache.reused_share,
            frames_per_second=self._counts["frames"] / seconds,
            codec=self._target.suffix.lower().removeprefix("."),
            frames=self._counts["frames"],
            missing=self._truncation.share,
            repeated=self._counts["repeated"],
        )

    def _enlarged(self, report: VideoReport | None, cancel: Event | None) -> Iterator[NDArray[Any]]:
        reporter, last, result = FrameReporter(report, len(self._animation.delays), self._cache), None, None
        for image in self._animation.frames():
            if cancel is not None and cancel.is_set():
                raise StoppedError(f"The work on '{self._source}' was cancelled. Nothing is written.")
            if self._plan is None:
                self._plan = self._enlarger.plan(image, CodingInfo(lossy=self._animation.lossy))
            if result is not None and last is not None and np.array_equal(image, last):
                self._counts["repeated"] += 1
            else:
                began = time.perf_counter()
                result = self._enlarger(image, plan=self._plan, cache=self._cache).image
                self._engine_seconds += time.perf_counter() - began
            last = image
            self._counts["frames"] += 1
            reporter.tick()
            yield result
