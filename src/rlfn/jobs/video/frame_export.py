"""A video's frames as pictures, one file each."""

from __future__ import annotations

import os
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

from numpy.typing import NDArray

from rlfn.atomic import make_folder
from rlfn.images.codecs.codec import tell_aspect
from rlfn.images.files import Picture, check_writable_size, write_picture
from rlfn.images.picture import Metadata
from rlfn.inference.enlarge import Enlarger
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.jobs.files import copy_dates
from rlfn.jobs.video.color import ColorConverter, picture_color
from rlfn.jobs.video.display_matrix import is_upright, turn, upright_size
from rlfn.jobs.video.frame_work import FrameWork
from rlfn.jobs.video.frames import FrameSource, no_frames, source_warnings
from rlfn.jobs.video.probe import Clip, HdrFacts, probe
from rlfn.jobs.video.progress import VideoReport
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.settings import VideoSettings, for_frames
from rlfn.jobs.video.truncation import check_truncation
from rlfn.wording import setting

_DIGITS = 6

_MAX_PENDING = 4
"""Number of pictures that may wait to be written."""


class FramesRun:
    """Writes a video's frames to a folder as pictures, ``000001.png`` and so on, enlarged and upright.

    Args:
        source: the video.
        folder: where to write; existing files are kept unless ``settings.overwrite`` is set.
        settings: see :class:`~rlfn.jobs.video.settings.VideoSettings`; ``frames_format`` is set, and settings of codecs
            are left out with a warning.
        pool: where loaded models are kept.

    Raises:
        RlfnError: the video cannot be read or enlarged.
    """

    def __init__(self, source: Path, folder: Path, settings: VideoSettings, pool: UpscalerPool) -> None:
        assert settings.frames_format is not None
        clip = self._clip = probe(source, settings.max_pixels)
        self._folder, self._settings, self._format = folder, settings, settings.frames_format
        self._truncation = check_truncation(clip, settings.time_range)
        self._turned = is_upright(clip.matrix)
        size = upright_size(clip)
        enlarger = Enlarger(for_frames(settings.enlarge, *size), pool).with_auto_engine(None)
        self._size = enlarger.size(*size)
        check_writable_size(self._format, *self._size)
        self._colors = ColorConverter(clip.color, clip.format, clip.format, (clip.width, clip.height))
        self._frames = FrameSource(clip, settings.time_range, settings.deinterlace)
        self._work = FrameWork(
            source, enlarger, clip.coding, reuse=settings.reuse, after_cancel="Frames that are finished stay."
        )
        self._work.warn([*settings.left_out("pictures"), *self._truncation.warnings])
        self._work.warn(_lost(clip, self._turned))
        self._metadata = Metadata(color=picture_color(clip.color))

    def run(self, report: VideoReport | None = None, cancel: Event | None = None) -> None:
        """Write the pictures.

        Args:
            report: called after each frame.
            cancel: ends the work after the frame at hand.

        Raises:
            StoppedError: it was cancelled; finished pictures stay.
            RlfnError: a frame cannot be enlarged, or a file not written.
        """
        make_folder(self._folder)
        work, total = self._work, self._clip.frames_in(self._settings.time_range)
        pending: list[Future[tuple[str, ...]]] = []
        with ThreadPoolExecutor(2) as writers:
            for timed in work.watched(self._frames, report, cancel, total):
                self._export(timed.frame, writers, pending)
                while len(pending) > _MAX_PENDING:
                    work.warn(pending.pop(0).result())
            for future in pending:
                work.warn(future.result())
        if not work.decided:
            raise no_frames(self._clip.path)
        work.warn(source_warnings(self._frames))
        if work.kept:
            work.warn([f"{work.kept} existing frames were kept: {setting('overwrite')} replaces them"])

    def record(self, record: VideoRecord, seconds: float) -> VideoRecord:
        """Return the record of the work, which took ``seconds``."""
        return self._work.record(
            record,
            seconds,
            input_size=(self._clip.width, self._clip.height),
            output_size=self._size,
            codec=self._format,
            missing=self._truncation.share,
        )

    def _export(self, frame: Any, writers: Executor, pending: list[Future[tuple[str, ...]]]) -> None:
        """Enlarge a frame and have it written, unless its picture exists and is kept."""
        target = self._folder / f"{self._work.frames + 1:0{_DIGITS}}.{self._format}"
        if not self._settings.overwrite and os.path.exists(target):
            self._work.kept += 1
            if not self._work.decided:
                self._work.decide(self._upright(frame))
            return
        result = self._work.enlarge_changed(self._upright(frame))
        pending.append(writers.submit(self._write, self._picture(result), target))

    def _picture(self, image: NDArray[Any]) -> Picture:
        return Picture(image, self._metadata, bits=self._clip.format.bits)

    def _write(self, picture: Picture, target: Path) -> tuple[str, ...]:
        warnings = write_picture(picture, target, quality=self._settings.frames_quality)
        if self._settings.keep_dates:
            copy_dates(self._clip.path, target)
        return warnings

    def _upright(self, frame: Any) -> NDArray[Any]:
        image = self._colors.image(frame)
        return turn(image, self._clip.matrix) if self._turned else image


def _lost(clip: Clip, turned: bool) -> list[str]:
    """Return what a clip states and pictures of its frames do not."""
    lost = [f"{what} dropped" for what in clip.lost]
    if clip.matrix and not turned:
        lost.append("the display matrix is dropped")
    if clip.hdr != HdrFacts():
        lost.append("the mastering display and light levels dropped")
    if clip.aspect is not None:
        tell_aspect((clip.aspect.numerator, clip.aspect.denominator) if clip.aspect != 1 else None, lost)
    return lost
