"""Many pictures, one after another: decoding, inference and encoding overlap, failures are collected.

One thread reads ahead, this thread runs the network, two threads encode. At most :data:`_WAITING` results wait for
their encoder, so memory does not grow with the number of pictures.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from rlfn import catalog
from rlfn.errors import OptionError, OutputError, RlfnError
from rlfn.images.files import DEFAULT_MAX_PIXELS, Picture, check_writable_size, read_picture, write_picture
from rlfn.images.formats import format_for
from rlfn.images.resize import resize
from rlfn.inference.plan import Job
from rlfn.inference.sizing import Wanted
from rlfn.inference.upscaler import Upscaler

_WAITING = 2


@dataclass(frozen=True)
class Record:
    """What became of one picture.

    Attributes:
        status: ``"done"``, ``"skipped"`` (the output exists) or ``"failed"``.
        input_size, output_size: (width, height), None where unknown.
        seconds: from the start of its reading to the end of its writing.
        engine_seconds: of these, inference alone.
    """

    input: str
    output: str
    status: str
    input_size: tuple[int, int] | None = None
    output_size: tuple[int, int] | None = None
    seconds: float = 0.0
    engine_seconds: float = 0.0
    model: str | None = None
    engine: str | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Settings:
    """How every picture of a batch is treated. ``model`` None means the packaged model that fits."""

    wanted: Wanted = field(default_factory=Wanted)
    model: str | None = None
    engine: str = "auto"
    threads: int | None = None
    tile: Any = "auto"
    precision: str = "fp32"
    format: str | None = None
    quality: int | None = None
    self_ensemble: bool = False
    overwrite: bool = False
    max_pixels: int | None = DEFAULT_MAX_PIXELS


class Batch:
    """Runs jobs with one set of settings; models are loaded once.

    Args:
        settings: see :class:`Settings`.
        progress: called with the running job and its finished share.

    Raises:
        OptionError, ModelError, MissingExtraError: the model or the engine cannot be had.
    """

    def __init__(self, settings: Settings, progress: Callable[[Job, float], None] | None = None) -> None:
        self.settings = settings
        self._progress = progress
        self._upscalers: dict[str, Upscaler] = {}
        if settings.model in catalog.models():
            self.model_scale = catalog.get_model(str(settings.model)).scale
        elif settings.model is not None:
            self.model_scale = self._upscaler(settings.model).scale
        elif settings.wanted.scale is not None:
            self.model_scale = pick_model(settings.wanted.scale).scale
        else:
            self.model_scale = next(iter(catalog.models().values())).scale

    def run(self, jobs: list[Job]) -> Iterator[Record]:
        """Yield one record a job, in order. A failure is a record, never an exception."""
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(_WAITING) as writers:
            waiting: deque[Future[Record]] = deque()
            try:
                ahead = self._read_ahead(reader, jobs)
                for job, loaded in ahead:
                    while len(waiting) >= _WAITING or (waiting and waiting[0].done()):
                        yield waiting.popleft().result()
                    waiting.append(self._start(job, loaded, writers))
                while waiting:
                    yield waiting.popleft().result()
            finally:
                reader.shutdown(cancel_futures=True)
                writers.shutdown(cancel_futures=True)

    def _read_ahead(
        self, reader: ThreadPoolExecutor, jobs: list[Job]
    ) -> Iterator[tuple[Job, Future[tuple[float, Picture | None]]]]:
        """Yield each job with its decoded picture, the next one being decoded meanwhile."""
        queue = deque[tuple[Job, Future[tuple[float, Picture | None]]]]()
        for job in jobs:
            queue.append((job, reader.submit(self._read, job)))
            if len(queue) > 1:
                yield queue.popleft()
        while queue:
            yield queue.popleft()

    def _read(self, job: Job) -> tuple[float, Picture | None]:
        """Return when the work began and the picture; None where the output exists already."""
        began = time.perf_counter()
        if job.target is not None:
            name = self.settings.format or format_for(job.target).name
            if not self.settings.overwrite and job.target.exists():
                return began, None
            _check_target(job)
        else:
            name = self.settings.format or "png"
        source = sys.stdin.buffer.read() if job.source is None else job.source
        picture = read_picture(source, max_pixels=self.settings.max_pixels)
        height, width = picture.pixels.shape[:2]
        check_writable_size(name, *self.settings.wanted.size(width, height, self.model_scale))
        return began, picture

    def _start(
        self, job: Job, loaded: Future[tuple[float, Picture | None]], writers: ThreadPoolExecutor
    ) -> Future[Record]:
        """Upscale one picture here and hand it to an encoder."""
        record = Record(_name(job.source), _name(job.target), "failed")
        began = time.perf_counter()
        try:
            began, picture = loaded.result()
            if picture is None:
                return _finished(replace(record, status="skipped"))
            height, width = picture.pixels.shape[:2]
            record = replace(record, input_size=(width, height))
            upscaler = self._upscaler_for(width, height)
            started = time.perf_counter()
            result = self.enlarge(picture, upscaler, lambda share: self._report(job, share))
            record = replace(
                record,
                output_size=(result.pixels.shape[1], result.pixels.shape[0]),
                engine_seconds=time.perf_counter() - started,
                model=upscaler.model,
                engine=upscaler.engine,
            )
            return writers.submit(self._write, job, result, record, began)
        except (RlfnError, OSError, MemoryError) as error:
            return _finished(_failed(record, error, began))

    def enlarge(self, picture: Picture, upscaler: Upscaler, progress: Callable[[float], None] | None = None) -> Picture:
        """Return the picture in the wanted size, its metadata kept."""
        height, width = picture.pixels.shape[:2]
        pixels = upscaler(picture.pixels, self_ensemble=self.settings.self_ensemble, progress=progress)
        size = self.settings.wanted.size(width, height, upscaler.scale)
        if (pixels.shape[1], pixels.shape[0]) != size:
            pixels = resize(pixels, size=(size[1], size[0]))
        return replace(picture, pixels=pixels)

    def _write(self, job: Job, picture: Picture, record: Record, began: float) -> Record:
        try:
            target = sys.stdout.buffer if job.target is None else job.target
            if job.target is not None:
                job.target.parent.mkdir(parents=True, exist_ok=True)
            form = self.settings.format or ("png" if job.target is None else None)
            warnings = write_picture(picture, target, format=form, quality=self.settings.quality)
        except (RlfnError, OSError, MemoryError) as error:
            return _failed(record, error, began)
        return replace(
            record,
            status="done",
            seconds=time.perf_counter() - began,
            warnings=(*picture.warnings, *warnings),
        )

    def _upscaler_for(self, width: int, height: int) -> Upscaler:
        wanted = self.settings.wanted
        name = self.settings.model
        if name is None:
            name = pick_model(wanted.factor(width, height, self.model_scale)).name
        upscaler = self._upscaler(name)
        factor = wanted.factor(width, height, upscaler.scale)
        if factor > upscaler.scale + 1e-9:
            raise OptionError(
                f"A factor of {factor:.4g} was asked for, but {upscaler.model} upscales x{upscaler.scale}. "
                "Ask for a smaller size, or upscale the result once more."
            )
        return upscaler

    def _upscaler(self, name: str) -> Upscaler:
        if name not in self._upscalers:
            settings = self.settings
            self._upscalers[name] = Upscaler(
                name, settings.engine, settings.threads, settings.tile, precision=settings.precision
            )
        return self._upscalers[name]

    def _report(self, job: Job, share: float) -> None:
        if self._progress is not None:
            self._progress(job, share)


def pick_model(factor: float) -> catalog.Model:
    """Return the packaged model of the smallest scale that reaches ``factor``.

    Raises:
        OptionError: none does; the message says what there is.
    """
    scales = sorted({model.scale for model in catalog.models().values()})
    for scale in scales:
        if scale >= factor - 1e-9:
            return catalog.model_for_scale(scale)
    return catalog.model_for_scale(int(factor) if float(factor).is_integer() else int(factor) + 1)


def _check_target(job: Job) -> None:
    """Refuse a target that cannot become a picture, before the work."""
    if job.target is not None and job.target.is_dir():
        raise OutputError(f"{job.target} is a folder, not a file to write. Choose another name with -o.")


def _failed(record: Record, error: BaseException, began: float) -> Record:
    text = str(error) or type(error).__name__
    if isinstance(error, MemoryError):
        text = "The memory of this machine is not enough for this picture. Try --tile 128, or a smaller picture."
    return replace(record, status="failed", error=text, seconds=time.perf_counter() - began)


def _finished(record: Record) -> Future[Record]:
    future: Future[Record] = Future()
    future.set_result(record)
    return future


def _name(path: Any) -> str:
    return "-" if path is None else str(path)
