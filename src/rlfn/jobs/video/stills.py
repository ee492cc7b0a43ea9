"""A video's frames as pictures, one file each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

from rlfn.atomic import make_folder
from rlfn.errors import PictureError, StoppedError, setting
from rlfn.images.files import Picture, write_picture
from rlfn.inference.enlarge import EnlargePlan, Enlarger, UpscalerPool
from rlfn.inference.reuse import TileMemory
from rlfn.jobs.video.colour import ColourWay
from rlfn.jobs.video.frames import NO_ALPHA, FrameSource
from rlfn.jobs.video.probe import probe
from rlfn.jobs.video.progress import FrameClock, VideoProgress
from rlfn.jobs.video.record import VideoRecord
from rlfn.jobs.video.settings import VideoSettings, for_frames
from rlfn.jobs.video.turning import is_upright, turn
from rlfn.jobs.video.wholeness import check_whole

_DIGITS = 6
_WAITING = 4


def write_frames(
    source: Path,
    folder: Path,
    settings: VideoSettings,
    format: str,
    pool: UpscalerPool,
    report: Callable[[VideoProgress], None] | None,
    cancel: Event | None,
    record: VideoRecord,
) -> VideoRecord:
    """Write every frame, enlarged and upright, to ``folder`` as ``000001.png`` and so on; files that exist are left.

    Raises:
        RlfnError: the video cannot be read or enlarged, or a file not written.
    """
    clip, began, clock = probe(source), time.perf_counter(), FrameClock()
    lack = check_whole(clip, settings.stretch)
    turned = bool(clip.matrix) and is_upright(clip.matrix)
    swapped = turned and clip.matrix[0] == 0
    size = (clip.height, clip.width) if swapped else (clip.width, clip.height)
    enlarger = Enlarger(for_frames(settings.enlarge, *size), pool).suited(None)
    way = ColourWay(clip.colour, clip.format, clip.format, (clip.width, clip.height))
    plan: EnlargePlan | None = None
    memory, made = TileMemory(), 0
    make_folder(folder)
    write = partial(write_picture, quality=settings.frames_quality)
    writing: list[Future[tuple[str, ...]]] = []
    frames = FrameSource(clip, settings.stretch, settings.deinterlace)
    told = dict.fromkeys([*settings.left_out("pictures"), *lack.warnings, *(f"{what} dropped" for what in clip.lost)])
    with ThreadPoolExecutor(2) as writers:
        number = 0
        for number, timed in enumerate(frames, 1):
            if cancel is not None and cancel.is_set():
                raise StoppedError(f"The work on '{source}' was cancelled. Frames that are finished stay.")
            target = folder / f"{number:0{_DIGITS}}.{format}"
            write_it = settings.overwrite or not os.path.exists(target)
            if plan is None or write_it:
                image = turn(way.image(timed.frame), clip.matrix) if turned else way.image(timed.frame)
                plan = plan or enlarger.plan(image, clip.traces)
            if write_it:
                result = enlarger(image, plan=plan, memory=memory).image
                writing.append(writers.submit(write, Picture(result, bits=clip.format.bits), target))
                made += 1
                while len(writing) > _WAITING:
                    told |= dict.fromkeys(writing.pop(0).result())
            if report is not None:
                report(VideoProgress(number, max(clip.frames, number), clock.tick(), None, 0.0))
        for future in writing:
            told |= dict.fromkeys(future.result())
    if plan is None:
        raise PictureError(f"No frame of '{source}' lies in the stretch that was asked for.")
    seconds, tiles = time.perf_counter() - began, memory.computed + memory.reused
    if frames.opaque:
        told[f"{frames.opaque} {NO_ALPHA}"] = None
    made_record = record.made_by(plan)
    if left := number - made:
        told[f"{left} frames existed and were left as they are: {setting('overwrite')} writes them anew"] = None
    return replace(
        made_record,
        warnings=(*made_record.warnings, *told),
        status="done",
        input_size=(clip.width, clip.height),
        output_size=enlarger.size(*size),
        seconds=seconds,
        frames=number,
        missing=lack.share,
        reused=memory.reused / tiles if tiles else 0.0,
        frames_per_second=made / seconds,
        codec=format,
    )
