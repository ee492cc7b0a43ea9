"""What a batch is told, and what it tells of each picture."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from rlfn.errors import OptionError, RlfnError
from rlfn.images.files import DEFAULT_MAX_PIXELS
from rlfn.images.formats import check_quality, format_for
from rlfn.inference.engines import check_engine
from rlfn.inference.sizing import Wanted
from rlfn.inference.tiling import check_tile


@dataclass(frozen=True)
class Record:
    """What became of one picture.

    Attributes:
        status: ``"done"``, ``"skipped"`` (the output exists) or ``"failed"``.
        input_size, output_size: (width, height), None where unknown.
        seconds: the work on it: reading, inference and writing, without the time for which it waited for others.
        engine_seconds: of these, inference alone.
        error: why it failed, in a sentence.
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
    error: str | None = None
    cause: BaseException | None = field(default=None, repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return everything but ``cause``, ready for JSON; times are rounded to a tenth of a millisecond."""
        facts = {row.name: getattr(self, row.name) for row in fields(self) if row.name != "cause"}
        return {name: round(fact, 4) if isinstance(fact, float) else fact for name, fact in facts.items()}

    def failed(self, error: BaseException) -> Record:
        """Return the record of a failure."""
        return replace(self, status="failed", error=explain(error), cause=error)


def explain(error: BaseException) -> str:
    """Say in a sentence why a picture failed."""
    if isinstance(error, RlfnError):
        return str(error)
    if isinstance(error, MemoryError):
        return "The memory of this machine is not enough for this picture. Try --tile 128, or a smaller picture."
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:300]
    what = f"{type(error).__name__}: {first}".rstrip(": .")
    return f"The picture could not be upscaled ({what}). Run again with --debug for the details."


@dataclass(frozen=True)
class Settings:
    """How every picture of a batch is treated. ``model`` None means the packaged model that fits.

    Raises:
        OptionError, MissingExtraError: a value that is not allowed, or an engine that is not installed.
    """

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

    def __post_init__(self) -> None:
        """Refuse what no picture could be upscaled with."""
        check_engine(self.engine, self.threads)
        check_tile(self.tile)
        check_quality(self.quality)
        if self.format is not None:
            format_for(self.format)
        if self.max_pixels is not None and self.max_pixels < 1:
            raise OptionError(f"A limit of {self.max_pixels} pixels was given. Allowed: 1 or more.")
