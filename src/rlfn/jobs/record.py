"""What a batch is told, and what it tells of each picture."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from rlfn.errors import OptionError, RlfnError, Wording, as_argument, setting, worded
from rlfn.images.files import DEFAULT_MAX_PIXELS
from rlfn.images.formats import check_quality, format_for
from rlfn.inference.enlarge import Enlarged, EnlargeOptions, EnlargePlan


@dataclass(frozen=True)
class Record:
    """What became of one picture.

    Attributes:
        status: ``"done"``, ``"skipped"`` (the output exists) or ``"failed"``.
        input_size, output_size: (width, height), None where unknown.
        seconds: the work on it: reading, inference and writing, without the time for which it waited for others.
        engine_seconds: of these, inference alone.
        precision: how the model was computed.
        restore, restore_reason: how strongly the picture was restored, 0 to 1, and why; None where it was not upscaled.
        warnings, error: what was lost, and why it failed, in sentences whose settings a face words
            (:func:`rlfn.errors.worded`).
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
        """What a line says besides; nothing of a picture."""
        return ""

    def as_dict(self, wording: Wording = as_argument) -> dict[str, Any]:
        """Return everything but ``cause``, ready for JSON; times are rounded to a tenth of a millisecond."""
        facts = {row.name: getattr(self, row.name) for row in fields(self) if row.name != "cause"}
        facts["warnings"] = [worded(text, wording) for text in self.warnings]
        facts["error"] = None if self.error is None else worded(self.error, wording)
        return {name: round(fact, 4) if isinstance(fact, float) else fact for name, fact in facts.items()}

    def made_by(self, made: Enlarged | EnlargePlan) -> Self:
        """Return the record with what computed the picture, and what that says."""
        return replace(
            self,
            model=made.model,
            engine=made.engine,
            precision=made.precision,
            restore=made.restore.strength,
            restore_reason=made.restore.reason,
            device=made.device,
            warnings=(*self.warnings, *made.warnings),
        )

    def failed(self, error: BaseException) -> Self:
        """Return the record of a failure."""
        return replace(self, status="failed", error=explain(error), cause=error)


def explain(error: BaseException) -> str:
    """Say in a sentence why a picture failed."""
    if isinstance(error, RlfnError):
        return error.template
    if isinstance(error, MemoryError):
        return f"The memory of this machine is not enough. Try {setting('tile', 128)}, or a smaller picture."
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:300]
    what = f"{type(error).__name__}: {first}".rstrip(": .")
    return f"The picture could not be upscaled ({what}). Run again with {setting('debug')} for the details."


@dataclass(frozen=True)
class Settings:
    """How every picture of a batch is treated.

    Attributes:
        enlarge: how its pixels are enlarged.
        format: of the outputs, a key of :data:`rlfn.images.files.FORMATS`; None for what their names say.
        quality: 1 to 100, of lossy formats; None for the format's own.
        overwrite: replace outputs that exist.
        keep_dates: give outputs the inputs' time of change.
        max_pixels: the largest input accepted.

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
        """Refuse what no picture could be upscaled with."""
        check_quality(self.quality)
        if self.format is not None:
            format_for(self.format)
        if self.max_pixels is not None and self.max_pixels < 1:
            raise OptionError(f"A limit of {self.max_pixels} pixels was given. Allowed: 1 or more.")
