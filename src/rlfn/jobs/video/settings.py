"""Settings of video jobs, and what follows from them for one clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import inf

from rlfn.errors import OptionError
from rlfn.images.files import DEFAULT_MAX_PIXELS
from rlfn.images.formats import check_quality, format_for
from rlfn.images.reading import check_max_pixels
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.restore import AUTO
from rlfn.inference.restore_weights import is_photo
from rlfn.inference.sizing import Wanted, is_family_or_default, reaches
from rlfn.jobs.video.codecs import check_codec
from rlfn.models import catalog
from rlfn.models.source import ModelSource
from rlfn.numeric import is_real
from rlfn.wording import setting

SCALE = 2
"""What a video is enlarged by where nothing is asked for."""

CODEC_SETTINGS = ("codec", "crf", "preset")
"""The settings of a video's encoder."""

_SEGMENT_SECONDS, _MACS_A_SECOND = 6, 30e9
_SEGMENT_FRAMES = (12, 120)
_UNKNOWN_PARAMETERS = 500_000


@dataclass(frozen=True)
class TimeRange:
    """The part of a video to process: from ``start`` seconds on, for ``duration`` seconds, or to its end."""

    start: Fraction = Fraction(0)
    duration: Fraction | None = None

    @property
    def whole(self) -> bool:
        """Whether that is all of it."""
        return not self.start and self.duration is None


@dataclass(frozen=True)
class VideoSettings:
    """How every video of a job is treated.

    Attributes:
        enlarge: how its frames are enlarged.
        codec: a row of :data:`rlfn.jobs.video.codecs.CODECS`; None for the source's, where it can be written.
        crf: the quality, smaller is better; None for the codec's default.
        preset: the encoder's; None for the codec's default.
        start, duration: the time range to process, in seconds; None for the beginning and the end.
        frames_format: of pictures that are written in place of a video; None for a video.
        frames_quality: of these and of animated WebP, 1 to 100; None for the format's own.
        deinterlace: join the fields of interlaced frames; otherwise they are refused.
        reuse: take unchanged tiles from the frame before; the result is the same without it.
        overwrite: replace outputs that exist.
        keep_dates: give outputs the inputs' time of change.
        max_pixels: the largest frame accepted.

    Raises:
        OptionError: a value that is not allowed.
    """

    enlarge: EnlargeOptions = field(default_factory=EnlargeOptions)
    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    start: float | None = None
    duration: float | None = None
    frames_format: str | None = None
    frames_quality: int | None = None
    deinterlace: bool = False
    reuse: bool = True
    overwrite: bool = False
    keep_dates: bool = False
    max_pixels: int | None = DEFAULT_MAX_PIXELS

    def __post_init__(self) -> None:
        """Refuse what no video could be written with."""
        check_codec(self.codec, self.crf, self.preset)
        check_max_pixels(self.max_pixels)
        check_quality(self.frames_quality)
        if self.frames_format is not None:
            format_for(self.frames_format)
        for name, value, least in (("start", self.start, 0.0), ("duration", self.duration, 1e-6)):
            if value is not None and not (is_real(value) and least <= value < inf):
                allowed = "0 or more seconds" if name == "start" else "more than 0 seconds"
                raise OptionError(f"A {name} of {value!r} seconds was given. Allowed: {allowed}, a finite number.")

    def left_out(self, what: str, names: Sequence[str] = CODEC_SETTINGS) -> list[str]:
        """Return warnings for settings that were given and do not apply to ``what``."""
        given = {"codec": self.codec, "crf": self.crf, "preset": self.preset, "quality": self.frames_quality}
        return [
            f"{setting(name, given[name])} does not apply to {what} and was ignored"
            for name in names
            if given[name] is not None
        ]

    @property
    def time_range(self) -> TimeRange:
        """What to take of a video."""
        return TimeRange(
            Fraction(0) if self.start is None else Fraction(str(self.start)),
            None if self.duration is None else Fraction(str(self.duration)),
        )


def video_label(options: EnlargeOptions) -> str:
    """Return what names of outputs carry: ``x2``."""
    wanted = _wanted(options)
    if wanted.scale is None and wanted.width is None and wanted.height is None:
        assert options.model is not None
        packaged = ModelSource(options.model).packaged
        return wanted.label(packaged.scale if packaged is not None else SCALE)
    return wanted.label(SCALE)


def for_frames(options: EnlargeOptions, width: int, height: int) -> EnlargeOptions:
    """Fill in what was left open, for frames of ``width`` x ``height`` px: twice as large, by the fastest family."""
    options = replace(options, wanted=_wanted(options))
    if options.model is None and isinstance(options.engine, str):
        options = replace(options, model=_family(options.restore, options.wanted.factor(width, height, SCALE)))
    return options


def segment_frames(model: str, pixels: int) -> int:
    """Return how many frames a segment has: about six seconds of work, the same on every machine.

    Args:
        model: what frames are enlarged with.
        pixels: of a frame.
    """
    packaged = catalog.models().get(model)
    parameters = packaged.parameters if packaged is not None else _UNKNOWN_PARAMETERS
    low, high = _SEGMENT_FRAMES
    return max(low, min(high, round(_SEGMENT_SECONDS * _MACS_A_SECOND / (parameters * pixels))))


def _wanted(options: EnlargeOptions) -> Wanted:
    wanted = options.wanted
    if is_family_or_default(options.model) and wanted == Wanted():
        return Wanted(scale=SCALE)
    return wanted


def _family(restore: float | str, factor: float) -> str:
    """Return the fastest family that reaches ``factor``.

    Video is compressed, so it is one for photographs, or its partner for clean pictures where a strength is chosen.
    """
    partners = {photo: clean for clean, photo in catalog.photo_families().items()}
    found = [model for model in catalog.models().values() if is_photo(model)]
    found = [model for model in found if reaches(model.scale, factor)]
    if restore != AUTO:
        found = [model for model in found if model.family in partners]
    if not found:
        return next(iter(catalog.families()))
    best = min(found, key=lambda model: (model.scale, model.parameters))
    return partners.get(best.family, best.family)
