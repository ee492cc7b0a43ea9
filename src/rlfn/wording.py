"""How messages name the caller's settings, worded by each interface in its own way.

A message marks a setting with :func:`setting`. ``str(error)`` words it as a Python argument (``tile=128``), the command
line as a flag (``--tile 128``), the server as a field.
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

    >>> worded(f"Too large. Use {setting('tile', 128)}.", as_argument)
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


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "picture"), counted(1200, "picture")
    ('1 picture', '1,200 pictures')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listing(names: Iterable[object]) -> str:
    """Join ``names`` for an error message: ``a, b, c``."""
    return ", ".join(str(name) for name in names)


def duration(seconds: float) -> str:
    """Write a time for people.

    >>> duration(75), duration(4000)
    ('1m15s', '1h06m')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m{rest:02d}s"


def itemized(problems: Iterable[str]) -> str:
    """Return the problems for the end of a message, each on an indented line, or several, of its own."""
    return "".join("\n  " + problem.replace("\n", "\n  ") for problem in problems)


def one_line(error: BaseException) -> str:
    """Return what another library's exception says, for the middle of a message: one line, at most 200 characters.

    >>> one_line(OSError("No route\\nto host.")), one_line(TimeoutError())
    ('No route to host', 'TimeoutError')
    """
    return " ".join(str(error).split())[:200].rstrip(". ") or type(error).__name__


def with_kind(error: BaseException) -> str:
    """Return the same after the exception's kind, where that is not all there is.

    >>> with_kind(OSError("No route to host.")), with_kind(TimeoutError())
    ('OSError: No route to host', 'TimeoutError')
    """
    kind, text = type(error).__name__, one_line(error)
    return kind if text == kind else f"{kind}: {text}"
