"""THE table of request fields: read from queries and forms, described in OpenAPI, worded in errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from rlfn.errors import OptionError, unknown
from rlfn.images.formats import WRITABLE, check_quality, format_for
from rlfn.inference.enlarge import Enlarger
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.sizing import Wanted
from rlfn.models import catalog
from rlfn.serve.settings import ServeSettings

PICTURE = "picture"
"""Name of the form field that holds the picture."""

_MAX_CHARACTERS = 60
"""Longest text of a field's name or value."""


def _model_names() -> tuple[str, ...]:
    return (*catalog.families(), *catalog.models())


def _number(text: str) -> float:
    return float(_without_underscore(text))


def _without_underscore(text: str) -> str:
    if "_" in text:  # Python reads 1_0 as 10
        raise ValueError
    return text


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError
    return int(text)


def _flag(text: str) -> bool:
    return {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}[text.lower()]


@dataclass(frozen=True)
class RequestField:
    """One field: its name, its parser, its JSON schema and its description."""

    name: str
    read: Callable[[str], Any]
    schema: dict[str, Any]
    about: str
    example: Any
    kind: str = ""
    names: Callable[[], Iterable[str]] | None = field(default=None)


_ROWS = (
    RequestField(
        "scale",
        _number,
        {"type": "number", "exclusiveMinimum": 0},
        "Any factor up to the model's; below it the result is reduced with bicubic.",
        2,
        "a number, such as 2 or 2.5",
    ),
    RequestField(
        "width",
        _whole,
        {"type": "integer", "minimum": 1},
        "Width wanted in px, in place of scale; alone it keeps the proportions.",
        1920,
        "a whole number of pixels",
    ),
    RequestField(
        "height",
        _whole,
        {"type": "integer", "minimum": 1},
        "Height wanted in px, in place of scale; alone it keeps the proportions.",
        1080,
        "a whole number of pixels",
    ),
    RequestField(
        "model",
        str,
        {"type": "string"},
        "A packaged model, or a family for its model that fits the size; GET v1/models lists them.",
        "rlfn-xs",
        names=_model_names,
    ),
    RequestField(
        "precision",
        str,
        {"type": "string"},
        "How the model is computed; auto: the fastest here that loses next to nothing.",
        "fp32",
        names=lambda: ("auto", *catalog.PRECISIONS),
    ),
    RequestField(
        "restore",
        _without_underscore,
        {"type": "string"},
        "How strongly noise and traces of lossy coding are removed: off, 0 to 1, or auto, by the picture.",
        "auto",
        "auto, off, or a number from 0 (off) to 1 (full)",
    ),
    RequestField(
        "self_ensemble",
        _flag,
        {"type": "boolean"},
        "Average over the eight flips and rotations: slightly better, 8 times slower.",
        False,
        "true or false",
    ),
    RequestField(
        "wrap",
        _flag,
        {"type": "boolean"},
        "The picture is a tile of a seamless texture: its borders continue on the opposite side.",
        False,
        "true or false",
    ),
    RequestField(
        "keep_hidden",
        _flag,
        {"type": "boolean"},
        "Colours under transparent pixels are enlarged as they are: alpha is a mask of another meaning.",
        False,
        "true or false",
    ),
    RequestField(
        "format",
        str,
        {"type": "string"},
        "Format of the result; by default what Accept names, otherwise the picture's own, otherwise png.",
        "webp",
        names=lambda: WRITABLE,
    ),
    RequestField(
        "quality",
        _whole,
        {"type": "integer", "minimum": 1, "maximum": 100},
        "1 to 100, of lossy formats.",
        90,
        "a whole number from 1 to 100",
    ),
)

FIELDS: dict[str, RequestField] = {row.name: row for row in _ROWS}
"""Every field except the picture, by name."""


@dataclass(frozen=True)
class RequestOptions:
    """A client's options, validated as far as possible without the picture."""

    enlarge: EnlargeOptions
    format: str | None
    quality: int | None


def read_fields(given: Iterable[tuple[str, str]], settings: ServeSettings) -> RequestOptions:
    """Read a client's fields.

    Args:
        given: (name, text) from the query and the form.
        settings: the operator's settings: engine, threads, tiles and device.

    Raises:
        OptionError: an unknown field, a repeated one, or a value that is not allowed.
    """
    found: dict[str, Any] = {}
    for name, text in given:
        if name == PICTURE:
            raise OptionError(
                f"'{PICTURE}' is not for the query. Send the picture as the body, or as a file in a form."
            )
        if name not in FIELDS:
            raise unknown("field", name[:_MAX_CHARACTERS], FIELDS)
        if name in found:
            raise OptionError(f"The field '{name}' was given twice. Give it once.")
        found[name] = _value(FIELDS[name], text)
    format, quality = found.pop("format", None), found.pop("quality", None)
    check_quality(quality)
    wanted = Wanted(found.pop("scale", None), found.pop("width", None), found.pop("height", None))
    options = EnlargeOptions(wanted, **settings.computing, **found)
    Enlarger(options)  # validates the options
    return RequestOptions(options, None if format is None else format_for(f".{format.removeprefix('.')}").name, quality)


def _value(row: RequestField, text: str) -> Any:
    text = text.strip()
    if len(text) > _MAX_CHARACTERS:
        raise OptionError(
            f"The field '{row.name}' has {len(text):,} characters ({text[:_MAX_CHARACTERS]!r}...). Allowed: "
            f"{row.kind or f'at most {_MAX_CHARACTERS} characters'}."
        )
    if row.name == "model" and text not in _model_names():  # clients must not name files of the server
        raise unknown("packaged model or family", text, _model_names())
    try:
        return row.read(text)
    except (ValueError, KeyError):
        raise OptionError(f"The field '{row.name}' was given as {text!r}. Allowed: {row.kind}.") from None


def as_field(name: str, value: str | None) -> str:
    """Word a setting for an HTTP client: request fields by name, the operator's settings as flags."""
    if name in FIELDS or name == PICTURE:
        return f"'{name}'" if value is None else f"{name}={value}"
    flag = f"the server's --{name.replace('_', '-')}"
    return flag if value is None else f"{flag} {value}"
