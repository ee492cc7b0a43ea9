"""The errors that rlfn raises, and the warning that it issues.

A message has up to three sentences: what was given, what is allowed, what to do next. :mod:`rlfn.wording` words the
settings that it names.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from rlfn.wording import as_argument, listing, worded


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
        self.feature, self.extra, self.install = feature, extra, install

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments, from which the message is made again."""
        return partial(type(self), install=self.install), (self.feature, self.extra), self.__dict__


class PictureWarning(UserWarning):
    """A picture was processed, but something was changed, lost, or computed differently than requested."""


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
