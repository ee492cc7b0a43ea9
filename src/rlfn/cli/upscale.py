"""``rlfn upscale``: pictures and videos, the main command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from rlfn.cli import options
from rlfn.cli.commands import argument, command
from rlfn.cli.messages import explain, warn
from rlfn.cli.records import Shown
from rlfn.errors import OptionError, PictureError, RlfnError
from rlfn.wording import setting

if TYPE_CHECKING:
    from rlfn.jobs.batch import Settings
    from rlfn.jobs.mixed import MixedBatch
    from rlfn.jobs.plan import Naming, Plan
    from rlfn.jobs.video.batch import VideoBatch
    from rlfn.jobs.video.settings import VideoSettings
    from rlfn.jobs.watch import OwnOutputs


_OF_VIDEOS = ("codec", "crf", "preset", "start", "duration", "deinterlace", "to_frames")


@command(
    "upscale",
    section="Use",
    examples=(
        "rlfn upscale photo.jpg",
        "rlfn upscale photo.jpg -o large.png --width 3840",
        "rlfn upscale holiday/ -r -m rlfn-xs --format jpg --quality 90",
        "rlfn upscale incoming/ --watch -o large/",
        "rlfn upscale clip.mp4 --crf 20 --preset veryfast",
        "rlfn upscale photo.jpg --device gpu",
        "cat photo.jpg | rlfn upscale - -o - > large.png",
    ),
)
@argument(
    "inputs", "Pictures, videos, folders, patterns, or - (standard input).", nargs=-1, required=True, metavar="INPUT..."
)
@options.output(
    "File, folder, or - (standard output).", click.STRING, metavar="PATH", show_default="the input's folder"
)
@options.scale
@options.width
@options.height
@options.model
@options.engine
@options.device
@options.precision
@options.threads
@options.tile
@options.format("the output's name, or png")
@options.quality
@options.restore
@options.self_ensemble
@options.wrap
@options.keep_hidden
@options.flag("--recursive", "-r", help="Include sub-folders.")
@options.overwrite
@options.keep_suffix
@options.flag("--keep-dates", help="Give outputs the modification times of their inputs.")
@options.flag("--watch", help="Also upscale pictures that arrive in the folder, until Ctrl-C.")
@options.option("--codec", type=options.CODEC, help="Videos: the codec to write.", show_default="the source's")
@options.option("--crf", type=options.WHOLE, help="Videos: the quality, lower is better.", show_default="the codec's")
@options.option(
    "--preset",
    type=click.STRING,
    metavar="NAME",
    help="Videos: the encoder's speed preset.",
    show_default="the codec's",
)
@options.option("--start", type=options.NUMBER, metavar="SECONDS", help="Videos: where to start.")
@options.option("--duration", type=options.NUMBER, metavar="SECONDS", help="Videos: length of the part to upscale.")
@options.flag("--deinterlace", help="Videos: combine the fields of interlaced frames, which are refused otherwise.")
@options.option("--to-frames", type=options.FOLDER, help="Videos: write the frames to this folder, as pictures.")
@options.max_pixels
@options.as_json
def upscale(
    inputs: tuple[str, ...],
    output: str | None,
    recursive: bool,
    keep_suffix: bool,
    watch: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Upscale pictures and videos.

    With --json, one record is printed for each picture or video.
    """
    from rlfn.inference.upscaler_pool import UpscalerPool
    from rlfn.jobs.batch import Batch
    from rlfn.jobs.mixed import MixedBatch
    from rlfn.jobs.plan import Naming, make_plan
    from rlfn.jobs.video.settings import video_label

    of_videos = {name: asked.pop(name) for name in _OF_VIDEOS}
    settings = settings_of(**asked)
    videos = _video_settings(settings, **of_videos)
    shown, pool = Shown(as_json), UpscalerPool()
    pictures = Batch(settings, shown.progress, pool)

    def video_batch() -> VideoBatch:
        from rlfn.jobs.video.batch import VideoBatch

        return VideoBatch(videos, shown.video_progress, pool)

    batch = MixedBatch(pictures, video_batch)
    naming = Naming(
        settings.enlarge.wanted.label(pictures.model_scale),
        settings.format,
        recursive,
        keep_suffix,
        video_label(settings.enlarge),
    )
    if watch:
        _watch(batch, inputs, output, naming, shown)
    else:
        plan = make_plan(inputs, output, naming)
        _check_streams(plan)
        _check_videos(plan, {name: value for name, value in of_videos.items() if value})
        if of_videos["to_frames"] is not None:
            if output is not None and all(job.video for job in plan.jobs):
                raise OptionError(
                    f"{setting('output')} and {setting('to_frames')} both name where a video's results go. "
                    "Leave out one of them."
                )
            _to_folders(plan, of_videos["to_frames"])
        if not _run(batch, plan, shown):
            raise click.exceptions.Exit(1)


def settings_of(
    scale: float | None,
    width: int | None,
    height: int | None,
    tile: int | Literal["auto"],
    format: str | None,
    quality: int | None,
    overwrite: bool,
    max_pixels: int | None,
    keep_dates: bool = False,
    **how: Any,
) -> Settings:
    """Return the settings of a batch from the values of the options for pictures."""
    from rlfn.images.files import DEFAULT_MAX_PIXELS, format_for
    from rlfn.inference.enlarge_options import EnlargeOptions
    from rlfn.inference.sizing import Wanted
    from rlfn.jobs.batch import Settings

    return Settings(
        EnlargeOptions(Wanted(scale, width, height), tile=tile, **how),
        format=format_for(f".{format.removeprefix('.')}").name if format is not None else None,
        quality=quality,
        overwrite=overwrite,
        keep_dates=keep_dates,
        max_pixels=DEFAULT_MAX_PIXELS if max_pixels is None else max_pixels,
    )


def _video_settings(
    pictures: Settings, to_frames: Path | None, codec: str | None, crf: int | None, preset: str | None, **how: Any
) -> VideoSettings:
    from rlfn.images.formats import result_format
    from rlfn.jobs.video.settings import VideoSettings

    return VideoSettings(
        pictures.enlarge,
        codec,
        crf,
        preset,
        frames_format=result_format(pictures.format) if to_frames is not None else None,
        frames_quality=pictures.quality,
        overwrite=pictures.overwrite,
        keep_dates=pictures.keep_dates,
        max_pixels=pictures.max_pixels,
        **how,
    )


def _check_videos(plan: Plan, given: dict[str, Any]) -> None:
    """Refuse video options without a video, and videos without PyAV, before any work."""
    from rlfn.jobs.video.detection import is_animation
    from rlfn.jobs.video.library import import_av

    videos = [job for job in plan.jobs if job.video]
    if any(job.source is not None and not is_animation(job.source) for job in videos):
        import_av()
    elif given and not videos:
        raise OptionError(f"{setting(next(iter(given)))} applies to videos, but no input is a video. Leave it out.")


def _to_folders(plan: Plan, folder: Path) -> None:
    """Write a video's frames to ``folder``, or those of several videos to one sub-folder each."""
    videos = [job for job in plan.jobs if job.video]
    for number, job in enumerate(plan.jobs):
        if job.video and job.target is not None:
            plan.jobs[number] = replace(job, target=folder if len(videos) == 1 else folder / job.target.stem)


def _check_streams(plan: Plan) -> None:
    """Refuse terminals and closed streams where a picture would be read or written."""
    if any(job.source is None for job in plan.jobs) and (sys.stdin is None or sys.stdin.isatty()):
        state = "closed" if sys.stdin is None else "a terminal"
        raise OptionError(f"Standard input is {state}. Pipe a picture into it, or name a file.")
    if any(job.target is None for job in plan.jobs) and (sys.stdout is None or sys.stdout.isatty()):
        state = "closed" if sys.stdout is None else "a terminal, which cannot show a picture"
        raise OptionError(f"Standard output is {state}. Name a file with {setting('output')}, or pipe the output.")


def _run(batch: MixedBatch, plan: Plan, shown: Shown, own: OwnOutputs | None = None) -> bool:
    """Run the plan and print its records; return whether everything succeeded. ``own`` notes what was written."""
    try:
        with shown.running(plan), closing(batch.run(plan.jobs)) as run:
            for job, record in zip(plan.jobs, run, strict=True):
                if own is not None:
                    own.note(job, record)
                shown.record(record)
    except KeyboardInterrupt:
        if len(plan.jobs) > 1 or any(job.video for job in plan.jobs):
            warn("Finished work is kept; run the same command to resume.")
        raise
    return shown.summary()


def _watch(batch: MixedBatch, inputs: Sequence[str], output: str | None, naming: Naming, shown: Shown) -> None:
    """Upscale the pictures in a folder and those that arrive there, until a signal ends it.

    Raises:
        Exit: the folder was removed or cannot be read.
    """
    from rlfn.jobs.conflicts import conflict_error
    from rlfn.jobs.plan import Plan, make_plan
    from rlfn.jobs.watch import OwnOutputs, Waiting, arrivals

    if len(inputs) != 1 or not Path(inputs[0]).is_dir():
        raise OptionError(f"{setting('watch')} takes exactly one folder as its input.")
    with suppress(PictureError):  # there may be no picture yet; a wrong output is reported at once
        make_plan(inputs, output, naming, set_aside=True)
    waiting, own, reported = Waiting(), OwnOutputs(), ""
    warn(f"Watching {inputs[0]}. Stop with Ctrl-C.")
    try:
        for arrived in arrivals(Path(inputs[0]), recursive=naming.recursive, waiting=waiting.pictures):
            if not waiting.add(arrived):
                continue
            try:
                plan = make_plan(inputs, output, naming, set_aside=True)
            except RlfnError as error:
                if explain(error) != reported:
                    warn(f"rlfn: {explain(error)}")
                reported = explain(error)
                continue
            reported = ""
            jobs, conflicts = waiting.take(plan)
            for conflict, held in conflicts:
                shown.refused(held, conflict_error([conflict], keep_suffix=naming.keep_suffix))
            if jobs:
                _run(batch, Plan([own.job(job) for job in jobs]), shown, own)
    except PictureError as error:  # of the folder itself
        warn(f"rlfn: {explain(error)}")
        raise click.exceptions.Exit(1) from error
