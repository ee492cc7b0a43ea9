"""``rlfn.upscale_video``: one call for a video file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from threading import Event
from typing import Literal

from rlfn.api import pool
from rlfn.api.arguments import check_not_replaced, check_progress, checked_path
from rlfn.errors import OptionError, PictureWarning
from rlfn.images.files import DEFAULT_MAX_PIXELS
from rlfn.inference.engines import AUTO, CPU, Engine
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.sizing import Wanted
from rlfn.jobs.video.batch import upscale_one
from rlfn.jobs.video.progress import VideoProgress
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.settings import VideoSettings
from rlfn.wording import as_argument, setting, worded


def upscale_video(
    video: str | os.PathLike[str],
    output: str | os.PathLike[str],
    scale: float | None = None,
    *,
    width: int | None = None,
    height: int | None = None,
    model: str | os.PathLike[str] | None = None,
    engine: str | Engine = AUTO,
    precision: str = AUTO,
    threads: int | None = None,
    tile: int | Literal["auto"] = "auto",
    self_ensemble: bool = False,
    restore: float | str = AUTO,
    device: str = CPU,
    codec: str | None = None,
    crf: int | None = None,
    preset: str | None = None,
    start: float | None = None,
    duration: float | None = None,
    deinterlace: bool = False,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    progress: Callable[[VideoProgress], None] | None = None,
    cancel: Event | None = None,
) -> VideoRecord:
    """Upscale a video file: every frame keeps its time, every other stream is copied.

    An interrupted call resumes when repeated; finished segments are kept in a hidden folder beside the output. What
    was changed, lost, or computed differently than requested is reported as a :class:`rlfn.PictureWarning` and in the
    record.

    Args:
        video: the path of a video.
        output: the path to write; its suffix chooses the container (``.mp4``, ``.mkv``, ...). An existing file is
            replaced.
        scale: any factor up to the model's; None for 2.
        width, height: the output size in px, instead of ``scale``; with only one of them the aspect ratio is kept.
        model: a packaged model, a family, or the path of a model file; None for the fastest family for photographs.
        engine, precision, threads, device: see :class:`rlfn.Upscaler`.
        tile: the largest tile side in px; ``"auto"`` chooses by the free memory.
        self_ensemble: average over the eight flips and rotations.
        restore: how strongly noise and compression artefacts are removed, see :func:`rlfn.upscale`; chosen once per
            video.
        codec: ``"h264"``, ``"hevc"``, ``"av1"``, ``"vp9"``, ``"ffv1"`` or ``"prores"``; None for the source's if it
            can be written. The AV1 encoder prints on standard error unless ``SVT_LOG=1`` is in the environment.
        crf: the quality, lower is better; None for the codec's default.
        preset: the encoder's speed preset; None for the codec's default.
        start, duration: the part to upscale, in seconds.
        deinterlace: combine the fields of interlaced frames, which are refused otherwise.
        max_pixels: refuse larger frames; None for no limit.
        progress: called after each frame; an exception that it raises ends the work.
        cancel: an event that ends the work when it is set.

    Raises:
        OptionError: an argument is not allowed, or no model reaches the size.
        PictureError, ModelError, OutputError: the video, the model or the output cannot be used.
        StoppedError: ``cancel`` was set.
        MissingExtraError: PyAV is not installed.
    """
    source = checked_path("video", video, "Videos are read from files; write other data to a file first.")
    target = checked_path("output", output, f"The second argument is the output; {setting('scale')} is the third.")
    check_not_replaced(source, target)
    check_progress(progress)
    if cancel is not None and not hasattr(cancel, "is_set"):
        raise OptionError(f"{setting('cancel')} was given as {cancel!r}. Allowed: a threading.Event, or None.")
    settings = VideoSettings(
        EnlargeOptions(
            Wanted(scale, width, height),
            model,
            engine,
            precision,
            threads,
            tile,
            self_ensemble,
            restore=restore,
            device=device,
        ),
        codec=codec,
        crf=crf,
        preset=preset,
        start=start,
        duration=duration,
        deinterlace=deinterlace,
        overwrite=True,
        max_pixels=max_pixels,
    )
    record = upscale_one(
        source, target, settings, pool.POOL, progress, cancel, VideoRecord(str(source), str(target), "failed")
    )
    for text in record.warnings:
        warnings.warn(worded(text, as_argument), PictureWarning, stacklevel=2)
    return record
