"""The few kinds of error that rlfn raises on purpose.

Every message has up to three sentences: what was given, what is allowed, what to do next. The command line prints the
message alone; a traceback appears only with ``--debug``.
"""

from __future__ import annotations

from collections.abc import Iterable


class RlfnError(Exception):
    """The base of every error that rlfn raises on purpose."""


class OptionError(RlfnError, ValueError):
    """An argument, flag or recipe key has a value that is not allowed."""


class PictureError(RlfnError):
    """A picture cannot be read, is not a picture, or is of a kind that cannot be handled."""


class OutputError(RlfnError):
    """A result cannot be written."""


class ModelError(RlfnError):
    """A model file is missing, damaged or not a network that rlfn knows."""


class DataError(RlfnError):
    """A folder, pack or set of pictures is missing, incomplete or contradictory."""


class TrainingError(RlfnError):
    """A training run cannot go on."""


class MissingExtraError(RlfnError, ImportError):
    """A feature needs packages that the base install leaves out."""

    def __init__(self, feature: str, extra: str) -> None:
        """Name the ``feature`` (a noun phrase) and the pip ``extra`` that brings it."""
        super().__init__(
            f"{feature} needs packages that are not installed. Install them with: pip install 'rlfn[{extra}]'"
        )


def listing(names: Iterable[object]) -> str:
    """Join ``names`` for an error message: ``a, b, c``."""
    return ", ".join(str(name) for name in names)


def unknown(kind: str, given: object, allowed: Iterable[object]) -> OptionError:
    """Make the error for a name that is not in a list, with the nearest valid name first.

    >>> str(unknown("engine", "openvno", ["onnxruntime", "openvino"]))
    "There is no engine 'openvno'. Allowed: onnxruntime, openvino. Did you mean 'openvino'?"
    """
    import difflib

    names = [str(name) for name in allowed]
    near = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return OptionError(f"There is no {kind} '{given}'. Allowed: {listing(names)}.{hint}")
