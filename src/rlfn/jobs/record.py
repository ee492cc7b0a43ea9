"""Settings of a batch, the record of each picture, and the details of a result."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from rlfn.errors import RlfnError
from rlfn.images.files import DEFAULT_MAX_PIXELS
from rlfn.images.formats import check_quality, format_for
from rlfn.images.reading import check_max_pixels
from rlfn.inference.enlarge import EnlargePlan
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.jobs.picture import UpscaledPicture
from rlfn.wording import Wording, as_argument, setting, with_kind, worded


@dataclass(frozen=True)
class Record:
    """The outcome of one picture.

    Attributes:
        status: ``"done"``, ``"skipped"`` (the output exists) or ``"failed"``.
        input_size, output_size: (width, height); None if unknown.
        seconds: time for reading, inference and writing, without the time spent waiting for other pictures.
        engine_seconds: the part of ``seconds`` that is inference.
        precision: the precision of the computation.
        restore, restore_reason: strength of the restoration, 0 to 1, and the reason for it; None if not upscaled.
        warnings, error: what was lost and why it failed, as templates for :func:`rlfn.wording.worded`.
        cause: the exception behind ``error``.
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
    precision: str | None = None
    restore: float | None = None
    restore_reason: str | None = None
    device: str | None = None
    error: str | None = None
    cause: BaseException | None = field(default=None, repr=False, compare=False)

    @property
    def note(self) -> str:
        """Additional text for a status line; empty for a picture."""
        return ""

    def as_dict(self, wording: Wording = as_argument) -> dict[str, Any]:
        """Return all fields but ``cause`` as data for JSON; times are rounded to 0.1 ms."""
        facts = {row.name: getattr(self, row.name) for row in fields(self) if row.name != "cause"}
        facts["warnings"] = [worded(text, wording) for text in self.warnings]
        facts["error"] = None if self.error is None else worded(self.error, wording)
        return {name: round(fact, 4) if isinstance(fact, float) else fact for name, fact in facts.items()}

    def made_by(self, plan: EnlargePlan) -> Self:
        """Return the record with the model, engine and restoration of a plan."""
        return replace(self, **_computation(plan))

    def failed(self, error: BaseException) -> Self:
        """Return the record of a failure."""
        return replace(self, status="failed", error=explain(error), cause=error)


def explain(error: BaseException) -> str:
    """Return one sentence on why a picture failed."""
    if isinstance(error, RlfnError):
        return error.template
    if isinstance(error, MemoryError):
        return f"This machine does not have enough memory. Try {setting('tile', 128)}, or a smaller picture."
    return f"The picture could not be upscaled ({with_kind(error)}). Run again with {setting('debug')} for the details."


@dataclass(frozen=True)
class Details:
    """Facts about a result, named as in a :class:`Record`; the picture itself goes elsewhere."""

    input_size: tuple[int, int]
    output_size: tuple[int, int]
    format: str | None
    model: str
    engine: str
    precision: str
    restore: float
    restore_reason: str
    device: str
    warnings: tuple[str, ...]
    seconds: float

    @classmethod
    def of(cls, made: UpscaledPicture, **more: Any) -> Self:
        """Return the details of a result; ``more`` are the fields that it does not have."""
        return cls(
            input_size=made.input_size,
            output_size=made.output_size,
            format=made.format,
            **_computation(made.plan),
            **more,
        )


def _computation(plan: EnlargePlan) -> dict[str, Any]:
    """Return the fields of a :class:`Record` and of :class:`Details` that follow from a plan."""
    upscaler = plan.upscaler
    return {
        "model": upscaler.model,
        "engine": upscaler.engine,
        "precision": upscaler.precision,
        "device": upscaler.device,
        "restore": plan.restore.strength,
        "restore_reason": plan.restore.reason,
    }


@dataclass(frozen=True)
class Settings:
    """Settings for every picture of a batch.

    Attributes:
        enlarge: options of the enlargement.
        format: output format, a key of :data:`rlfn.images.files.FORMATS`; None to take it from the output's name.
        quality: quality of lossy formats, 1 to 100; None for the format's default.
        overwrite: replace existing outputs.
        keep_dates: copy the modification time from input to output.
        max_pixels: largest accepted input in px; None for no limit.

    Raises:
        OptionError: a value that is not allowed.
    """

    enlarge: EnlargeOptions = field(default_factory=EnlargeOptions)
    format: str | None = None
    quality: int | None = None
    overwrite: bool = False
    keep_dates: bool = False
    max_pixels: int | None = DEFAULT_MAX_PIXELS

    def __post_init__(self) -> None:
        """Check the values."""
        check_quality(self.quality)
        if self.format is not None:
            format_for(self.format)
        check_max_pixels(self.max_pixels)
