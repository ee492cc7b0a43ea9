"""Animated GIF, WebP and PNG to animations."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, islice, pairwise
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.atomic import check_path, make_folder
from rlfn.errors import RlfnError
from rlfn.images.animation import ANIMATION_SUFFIXES, Animation, open_animation, without_alpha, write_animation
from rlfn.images.apng import read_control
from rlfn.images.carried import fate
from rlfn.images.codecs import vips
from rlfn.images.coding import CodingInfo
from rlfn.images.files import read_picture
from rlfn.images.formats import FORMATS
from rlfn.images.picture import Metadata
from rlfn.images.reading import FIRST_OF, explained_reading
from rlfn.images.stated import StatedColor
from rlfn.images.upright import upright
from rlfn.images.writing import fitting_metadata
from rlfn.inference.enlarge import Enlarger
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.video.color import ColorConverter
from rlfn.jobs.video.detection import is_animated_png, is_animation
from rlfn.jobs.video.frame_work import FrameWork
from rlfn.jobs.video.frames import FrameSource, no_frames, source_warnings
from rlfn.jobs.video.opening import check_frame_size
from rlfn.jobs.video.probe import probe
from rlfn.jobs.video.progress import VideoReport
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.settings import TimeRange, VideoSettings, for_frames
from rlfn.jobs.video.truncation import Truncation, check_png


def stays_animation(source: Path, target: Path) -> bool:
    """Tell whether a job is one for this module: an animation on both sides."""
    return target.suffix.lower() in ANIMATION_SUFFIXES and is_animation(source)


def open_any(path: Path, max_pixels: int | None = None) -> tuple[Animation, list[str]]:
    """Open an animated GIF, WebP or PNG, upright; return it and what reading lost.

    The frames of a PNG are decoded twice, first for their timestamps, so memory does not grow with their number.

    Args:
        path: the file.
        max_pixels: refuse larger frames, before any is decoded; None for no limit.

    Raises:
        PictureError: it cannot be read, or its frames are too large.
        MissingExtraError: it is a PNG, and PyAV is not installed.
    """
    with explained_reading(path), path.open("rb") as stream:
        control = read_control(stream)
    if control is None:
        animation = open_animation(path)
        check_frame_size(path, animation.width, animation.height, max_pixels)
        return _with_metadata(animation, path)
    clip = probe(path, max_pixels)
    decoder = FrameSource(clip, TimeRange(), False)
    times = [(frame.pts, frame.duration) for frame in decoder]
    stamps = [*(pts for pts, _ in times), times[-1][0] + max(1, times[-1][1])]
    colors = ColorConverter(clip.color, clip.format, clip.format, (clip.width, clip.height))
    bare = Animation(
        clip.width,
        clip.height,
        tuple(round((after - before) * clip.time_base * 1000) for before, after in pairwise(stamps)),
        control[1],
        Metadata(icc=_png_profile(path)),
        lossy=False,
        frames=lambda: (_with_color(colors.image(frame.frame)) for frame in FrameSource(clip, TimeRange(), False)),
        bits=16 if clip.format.deep else 8,
    )
    animation, lost = _with_metadata(bare, path)
    return animation, [*source_warnings(decoder), *lost]


def _png_profile(path: Path) -> bytes | None:
    try:
        return vips.metadata(vips.load("png", path.read_bytes())).icc
    except (vips.Error, OSError):
        return None


def _with_metadata(animation: Animation, path: Path) -> tuple[Animation, list[str]]:
    """Return an animation upright, with what its file carries beside frames and profile, and what reading that lost."""
    try:
        first = read_picture(path, max_pixels=None)
    except RlfnError:
        return animation, []
    lost = [text for text in first.warnings if not text.startswith(FIRST_OF)]
    metadata, turn = replace(first.metadata, icc=animation.metadata.icc), first.orientation
    if turn == 1:
        return replace(animation, metadata=metadata), lost
    width, height = (animation.width, animation.height)[:: -1 if turn >= 5 else 1]
    frames = animation.frames
    turned = replace(
        animation,
        width=width,
        height=height,
        metadata=metadata,
        frames=lambda: (upright(frame, turn) for frame in frames()),
    )
    return turned, lost


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


def _fitted(animation: Animation, suffix: str, size: tuple[int, int]) -> tuple[Animation, list[str]]:
    """Return an animation with the metadata that goes with frames of (width, height) in a format, and warnings."""
    row, metadata = FORMATS["png" if suffix == ".apng" else suffix[1:]], animation.metadata
    told: list[str] = []
    if row.depth_for(animation.bits) < animation.bits:
        told.append(f"{animation.bits} bit reduced to 8: {row.title} has no more")
    if metadata.color is not None and fate(row, "color") == "warned" and _is_srgb(metadata.color):
        metadata = replace(metadata, color=None)
    fitting = fitting_metadata(metadata, row, size, gray=False, warnings=told)
    return replace(animation, metadata=fitting), told


def _is_srgb(color: StatedColor) -> bool:
    try:
        return color.profile() is None
    except ValueError:
        return False


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
        self._target, self._settings = target, settings
        animation, damage = open_any(source, settings.max_pixels)
        rate = Fraction(1000 * len(animation.delays), max(1, sum(animation.delays)))
        self._truncation = (
            check_png(source, rate) if settings.time_range.whole and is_animated_png(source) else Truncation()
        )
        animation = _cut(animation, settings.time_range, source)
        self._size = (animation.width, animation.height)
        self._enlarger = Enlarger(for_frames(settings.enlarge, *self._size), pool).with_auto_engine(None)
        self._animation, warnings = _fitted(animation, target.suffix.lower(), self._enlarger.size(*self._size))
        coding = CodingInfo(lossy=animation.lossy)
        self._work = FrameWork(source, self._enlarger, coding, reuse=settings.reuse, after_cancel="Nothing is written.")
        self._work.warn([*warnings, *settings.left_out("an animation"), *self._truncation.warnings, *damage])
        if target.suffix.lower() != ".webp":
            self._work.warn(settings.left_out(target.suffix[1:].upper(), ["quality"]))

    def run(self, report: VideoReport | None = None, cancel: Event | None = None) -> None:
        """Write the animation.

        Args:
            report: called after each frame.
            cancel: ends the work after the frame at hand.

        Raises:
            StoppedError: it was cancelled; nothing is written.
            RlfnError: a frame cannot be enlarged, or the file not written.
        """
        make_folder(self._target.parent)
        animation = self._animation
        frames = self._work.watched(animation.frames(), report, cancel, len(animation.delays))
        results = (self._work.enlarge_changed(image) for image in frames)
        write_animation(results, self._target, animation, self._settings.frames_quality)

    def record(self, record: VideoRecord, seconds: float) -> VideoRecord:
        """Return the record of the work, which took ``seconds``."""
        return self._work.record(
            record,
            seconds,
            input_size=self._size,
            output_size=self._enlarger.size(*self._size),
            codec=self._target.suffix.lower().removeprefix("."),
            missing=self._truncation.share,
        )
