"""The errors that rlfn raises, and the warning that it issues.

A message has up to three sentences: what was given, what is allowed, what to do next. A message names a setting of the
caller's with :func:`setting`, and each interface words it in its own way: ``str(error)`` as a Python argument
(``tile=128``), the command line as a flag (``--tile 128``), the server as a field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

Wording = Callable[[str, str | None], str]
"""Words a setting, given its name and its value; the value is None where only the setting is named."""

_MARKED = re.compile("\ue000([a-z_0-9]+)(?:=([^\ue001]*))?\ue001")
"""A setting in a message, delimited by two code points of Unicode's private use area."""


def setting(name: str, value: object = None) -> str:
    """Return the marker for a setting of the caller's in a message, optionally with a value to set.

    >>> str(OptionError(f"Too large. Use {setting('tile', 128)}."))
    'Too large. Use tile=128.'
    """
    return f"\ue000{name}\ue001" if value is None else f"\ue000{name}={value}\ue001"


def worded(text: str, wording: Wording) -> str:
    """Return a message with its settings worded by ``wording``.

    >>> worded(f"Use {setting('tile', 128)}.", lambda name, value: f"--{name} {value}")
    'Use --tile 128.'
    """
    return _MARKED.sub(lambda found: wording(found[1], found[2]), text)


def as_argument(name: str, value: str | None) -> str:
    """Word a setting as a Python argument: ``tile=128``, or ``tile`` without a value."""
    return name if value is None else f"{name}={value}"


class RlfnError(Exception):
    """The base class of the errors that rlfn raises."""

    @property
    def template(self) -> str:
        """The message before its settings are worded."""
        return super().__str__()

    def __str__(self) -> str:
        """Return the message with its settings as Python arguments."""
        return worded(self.template, as_argument)


class OptionError(RlfnError, ValueError):
    """An argument, flag or recipe key has a value that is not allowed."""


class PictureError(RlfnError):
    """A picture cannot be read, is not a picture, or is of an unsupported kind."""


class OutputError(RlfnError):
    """A result cannot be written."""


class ModelError(RlfnError):
    """A model file is missing, damaged, or not a network that rlfn supports; or the engine failed on it."""


class StoppedError(RlfnError):
    """The caller cancelled the work."""


class DataError(RlfnError):
    """A folder, pack or set of pictures is missing, incomplete or contradictory."""


class TrainingError(RlfnError):
    """A training run cannot continue."""


class ForkedError(RlfnError):
    """A forked process cannot use a library that had already started threads in its parent."""


class MissingExtraError(RlfnError, ImportError):
    """A feature needs packages that are not part of the base install."""

    def __init__(self, feature: str, extra: str = "", *, install: str = "") -> None:
        """Name the ``feature`` (a noun phrase) and the pip ``extra`` for it, or how else to ``install`` it."""
        how = install or f"pip install 'rlfn[{extra}]'"
        super().__init__(f"{feature} needs packages that are not installed. Install them with: {how}")


class PictureWarning(UserWarning):
    """A picture was processed, but something was changed, lost, or computed differently than requested."""


def listing(names: Iterable[object]) -> str:
    """Join ``names`` for an error message: ``a, b, c``."""
    return ", ".join(str(name) for name in names)


def unknown(kind: str, given: object, allowed: Iterable[object]) -> OptionError:
    """Return the error for a name that is not in a list, with the nearest valid name as a suggestion.

    >>> str(unknown("engine", "openvno", ["onnxruntime", "openvino"]))
    "There is no engine 'openvno'. Allowed: onnxruntime, openvino. Did you mean 'openvino'?"
    """
    import difflib

    names = [str(name) for name in allowed]
    near = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return OptionError(f"There is no {kind} '{given}'. Allowed: {listing(names)}.{hint}")
