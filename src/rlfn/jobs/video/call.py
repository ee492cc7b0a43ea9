"""``rlfn.upscale_video``: one call for a video file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Literal

from rlfn.errors import OptionError, PictureWarning, as_argument, worded
from rlfn.images.files import DEFAULT_MAX_PIXELS
from rlfn.inference.engines import AUTO, CPU, Engine
from rlfn.inference.enlarge import EnlargeOptions, UpscalerPool
from rlfn.inference.sizing import Wanted
from rlfn.jobs.video.batch import upscale_one
from rlfn.jobs.video.progress import VideoProgress
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.settings import VideoSettings

_POOL = UpscalerPool()
"""The models that calls of this module have loaded."""


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
    """Upscale a video file: every frame at its time, every other stream as it is.

    An interrupted call is continued by the same call: finished segments lie in a hidden folder next to the output
    until it is complete. What was changed or lost on the way is a :class:`rlfn.PictureWarning`, and in
    the record.

    Args:
        video: the path of a video.
        output: the path to write; its suffix says the container (``.mp4``, ``.mkv``, ...). An existing file is
            replaced.
        scale: any factor up to the model's; None for 2.
        width, height: the size wanted in px, in place of ``scale``; one side keeps the proportions.
        model: a packaged model, a family, or the path of a model file; None for the fastest family for photographs.
        engine, precision, threads, device: see :class:`rlfn.Upscaler`.
        tile: the largest tile side in px; ``"auto"`` chooses by the free memory.
        self_ensemble: average over the eight flips and rotations.
        restore: how strongly traces of lossy coding are removed, see :func:`rlfn.upscale`; chosen once for a video.
        codec: ``"h264"``, ``"hevc"``, ``"av1"``, ``"vp9"``, ``"ffv1"`` or ``"prores"``; None for the source's where it
            can be written. The encoder of AV1 prints on standard error unless ``SVT_LOG=1`` is in the environment.
        crf: the quality, smaller is better; None for the codec's default.
        preset: the encoder's; None for the codec's default.
        start, duration: the time range to process, in seconds.
        deinterlace: deinterlace; interlaced input is otherwise refused.
        max_pixels: larger frames are refused; None for no limit.
        progress: called after each frame; what it raises ends the work.
        cancel: an event that ends the work when it is set.

    Raises:
        OptionError: an argument that is not allowed, or a size that no model reaches.
        PictureError, ModelError, OutputError: the video, the model or the output.
        StoppedError: it was cancelled.
        MissingExtraError: PyAV is not installed.
    """
    source, target = Path(video), Path(output)
    if source.exists() and target.exists() and source.samefile(target):
        raise OptionError(f"{source} would be replaced by its own result. Inputs are never overwritten.")
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
        source, target, settings, _POOL, progress, cancel, VideoRecord(str(source), str(target), "failed")
    )
    for text in record.warnings:
        warnings.warn(worded(text, as_argument), PictureWarning, stacklevel=2)
    return record
