"""Options shared by several commands, and parameter types.

Names of models, engines, formats and so on come from the package's tables, which are read for shell completion and for
help. An invalid name is refused by the table's own check, which lists the valid names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

Decorator = Callable[[Any], Any]

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:  # generic for type checkers since click 8.5 alone
    ParamType = click.ParamType


class Number(ParamType):
    """A number, or an integer if ``whole``; ``least`` is the minimum."""

    def __init__(self, whole: bool = False, least: float | None = None) -> None:
        self.kind: type[int] | type[float] = int if whole else float
        self.least = least
        self.name = "integer" if whole else "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the number."""
        try:
            number = self.kind(value)
        except ValueError:
            self.fail(f"'{value}' is not a {'whole ' * (self.kind is int)}number.", param, ctx)
        if self.least is not None and self.kind is float and not math.isfinite(number):
            self.fail(f"'{value}' is not a finite number.", param, ctx)
        if self.least is not None and not number >= self.least:
            self.fail(f"{value} is too small. Allowed: {self.least:g} or more.", param, ctx)
        return number


class Place(ParamType):
    """A path with shell completion: a file or a folder. Its existence is not checked here."""

    def __init__(self, kind: str) -> None:
        self.name = {"file": "file", "dir": "folder"}[kind]
        self.completes = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Convert to a path."""
        return Path(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Use the shell's own completion."""
        return [CompletionItem(incomplete, type=self.completes)]


class TileSize(ParamType):
    """A number of pixels, or a word such as ``auto``, which the engine checks."""

    name = "pixels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Convert to a number if possible."""
        text = str(value)
        return int(text) if text.isdecimal() else text


class Names(ParamType):
    """A name from a table.

    Args:
        name: its metavar in help.
        names: reads the table.
        listed: whether help lists the names; false if the table is slow to read or too long.
        files: whether a file is accepted too.
    """

    def __init__(
        self, name: str, names: Callable[[], Iterable[str]], *, listed: bool = False, files: bool = False
    ) -> None:
        self.name = name
        self.names = names
        self.listed = listed
        self.files = files

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the names for help, or the metavar."""
        return f"[{'|'.join(self.names())}]" if self.listed else self.name.upper()

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that start with the word; if files are accepted, also use the shell's completion."""
        try:
            found = [CompletionItem(name) for name in self.names() if name.startswith(incomplete)]
        except ImportError:  # the table belongs to an extra that is not installed
            found = []
        return [*found, *([CompletionItem(incomplete, type="file")] if self.files else [])]


NUMBER = Number()
WHOLE = Number(whole=True)
COUNT = Number(whole=True, least=1)
FILE = Place("file")
FOLDER = Place("dir")


def _models() -> Iterable[str]:
    from rlfn.models import catalog

    return dict.fromkeys([*catalog.models(), *catalog.families()])


def _engines() -> Iterable[str]:
    from rlfn.inference.engines import ENGINES

    return ("auto", *ENGINES)


def _devices() -> Iterable[str]:
    from rlfn.inference.devices import GPU
    from rlfn.inference.engines import CPU

    return (CPU, GPU, f"{GPU}:0", f"{GPU}:1")


def _precisions() -> Iterable[str]:
    from rlfn.models.catalog import PRECISIONS

    return ("auto", *PRECISIONS)


def _writable() -> Iterable[str]:
    from rlfn.images.formats import WRITABLE

    return WRITABLE


def _exports() -> Iterable[str]:
    from rlfn.export.formats import FORMATS

    return FORMATS


def _export_precisions() -> Iterable[str]:
    from rlfn.export.formats import FORMATS

    return dict.fromkeys(precision for row in FORMATS.values() for precision in row.precisions)


def _sets() -> Iterable[str]:
    from rlfn.evaluation.sets import STANDARD

    return STANDARD


def _spoils() -> Iterable[str]:
    from rlfn.evaluation.spoil import USUAL

    return USUAL


def _metrics() -> Iterable[str]:
    from rlfn.evaluation.similarity import METRICS

    return METRICS


def _studies() -> Iterable[str]:
    from rlfn.studies.table import STUDIES

    return STUDIES


def _recipes() -> Iterable[str]:
    from rlfn.training.recipe_files import shipped_recipes

    return shipped_recipes()


def _degradations() -> Iterable[str]:
    from rlfn.data.degradations import DEGRADATIONS

    return DEGRADATIONS


def _downloads() -> Iterable[str]:
    from rlfn.data.downloads import DOWNLOADS

    return DOWNLOADS


def _codecs() -> Iterable[str]:
    from rlfn.jobs.video.codecs import CODECS

    return CODECS


MODEL = Names("model", _models, files=True)
MODEL_OR_SET = Names("model", lambda: (*_models(), *_sets(), *_spoils()), files=True)
ENGINE = Names("engine", _engines)
DEVICE = Names("device", _devices)
PRECISION = Names("precision", _precisions, listed=True)
FORMAT = Names("format", _writable)
CODEC = Names("codec", _codecs)
EXPORT = Names("format", _exports)
EXPORT_PRECISION = Names("precision", _export_precisions)
SET = Names("set", _sets, files=True)
SPOIL = Names("way", _spoils)
METRIC = Names("metric", _metrics)
STUDY = Names("study", _studies)
RECIPE = Names("recipe", _recipes, files=True)
DEGRADATION = Names("degradation", _degradations, listed=True)
DOWNLOAD = Names("set", _downloads)

SETS_DIR_VARIABLE = "RLFN_SETS_DIR"


def flag(*names: str, help: str) -> Decorator:
    """Declare an option without a value."""
    return click.option(*names, is_flag=True, help=help)


def option(*names: str, type: ParamType, help: str, **attributes: Any) -> Decorator:
    """Declare an option. Help shows its default, or the text ``show_default`` instead."""
    shown = attributes.pop("show_default", True)
    if isinstance(shown, str):
        help, shown = f"{help}  [default: {shown}]", False
    return click.option(*names, type=type, help=help, show_default=shown, **attributes)


def output(help: str, type: ParamType = FILE, **attributes: Any) -> Decorator:
    """Declare the option for a command's output."""
    return option("-o", "--output", type=type, help=help, **attributes)


def seed(help: str) -> Decorator:
    """Declare the option for the random seed."""
    return option("--seed", type=Number(whole=True, least=0), default=0, help=help)


def format(shown: str) -> Decorator:
    """Declare the option for the output format; ``shown`` describes the default."""
    return option("--format", type=FORMAT, help="Format; 'rlfn doctor' lists them.", show_default=shown)


scale = option("--scale", "-s", type=NUMBER, help="Scale factor; may be fractional.", show_default="the model's")
width = option("--width", type=WHOLE, help="Width of the result, in px.")
height = option("--height", type=WHOLE, help="Height of the result, in px.")
quality = option("--quality", type=WHOLE, help="Quality of lossy formats, 1 to 100.", show_default="the format's")
wrap = flag("--wrap", help="Pictures are tiles of seamless textures: borders continue on the opposite side.")
keep_hidden = flag("--keep-hidden", help="Keep the colours under transparent pixels.")
keep_suffix = flag("--keep-suffix", help="Keep the inputs' suffixes in the names: a.jpg.png.")
max_pixels = option("--max-pixels", type=COUNT, help="Largest number of pixels of an input.", show_default="64 million")
model = option(
    "--model",
    "-m",
    type=MODEL,
    help="A model or family that 'rlfn models' lists, or a model file.",
    show_default="the packaged model of the scale",
)
precision = option(
    "--precision",
    type=PRECISION,
    default="auto",
    help="Precision; auto: the fastest on this processor with almost no loss of quality.",
)
measured_precision = option(
    "--precision", type=PRECISION, default="fp32", help="Precision; fp32 by default, so that scores are comparable."
)
engine = option("--engine", type=ENGINE, default="auto", help="Inference engine; 'rlfn doctor' lists them.")
device = option(
    "--device",
    type=DEVICE,
    default="cpu",
    help="cpu; gpu: the first Vulkan GPU; gpu:1: a specific GPU; 'rlfn doctor' lists them.",
)
threads = option("--threads", type=WHOLE, help="CPU threads.", show_default="all cores")
tile = option(
    "--tile",
    type=TileSize(),
    default="auto",
    metavar="PIXELS",
    help="Largest side of an input tile; 0: the whole picture; auto: by free memory.",
)
self_ensemble = flag("--self-ensemble", help="Average the eight flips and rotations: slightly better, 8 times slower.")
restore = option(
    "--restore",
    type=click.STRING,
    default="auto",
    metavar="STRENGTH",
    help="Strength of removing noise and compression artifacts: off, 0 to 1, or auto: chosen for each picture.",
)
overwrite = flag("--overwrite", help="Replace existing files.")
as_json = flag("--json", "as_json", help="Print JSON.")
data = option("--data", type=FOLDER, metavar="PACK", help="The pack to train on, made by 'rlfn data pack'.")
sets = option(
    "--sets",
    type=SET,
    multiple=True,
    help="A standard set or a folder of pictures; may be repeated.",
    show_default="all standard sets found",
)
sets_dir = option(
    "--sets-dir",
    type=FOLDER,
    envvar=SETS_DIR_VARIABLE,
    show_envvar=True,
    help="The folder that contains the standard sets.",
    show_default="current directory",
)
workers = option("--workers", type=COUNT, help="Threads.", show_default="one per core")
processes = option("--workers", type=COUNT, help="Worker processes.", show_default="as many as fit on the cores")
worker_threads = option("--threads", type=WHOLE, default=1, help="CPU threads per worker, one core each.")
