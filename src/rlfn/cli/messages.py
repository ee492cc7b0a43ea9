"""The command line's messages: settings worded as flags, escaped file names, errors as sentences."""

from __future__ import annotations

import errno
import os
import unicodedata
from dataclasses import dataclass
from typing import Any

import click

from rlfn.errors import RlfnError
from rlfn.wording import Wording, setting, with_kind, worded

_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories that a terminal may act on: control, formatting, surrogates, line and paragraph separators."""

_JOINERS = "\u200c\u200d"
"""Formatting characters that scripts and emoji need, and that affect only adjacent letters."""


@dataclass
class Session:
    """One run of the program: whether to print tracebacks, the running command, and why printing failed."""

    debug: bool = False
    command: click.Command | None = None
    unprintable: OSError | None = None


def session() -> Session:
    """Return the session of the running program."""
    context = click.get_current_context(silent=True)
    found = context.find_object(Session) if context is not None else None
    return found if found is not None else Session()


def printable(text: str) -> str:
    r"""Escape what file names may contain and a terminal would act on: control characters, bytes that are not text.

    >>> print(printable("a\x1b[2J\n\udcff.png"))
    a\x1b[2J\n\udcff.png
    """
    return "".join(
        one.encode("unicode_escape").decode() if unicodedata.category(one) in _UNSAFE and one not in _JOINERS else one
        for one in text
    )


def printable_list(text: str) -> str:
    r"""Escape like :func:`printable`, but keep the indented lines of a message that is a list.

    >>> print(printable_list("Two mistakes:\n  a: \x07\n  b"))
    Two mistakes:
      a: \x07
      b
    """
    return "\n  ".join(printable(line) for line in text.split("\n  "))


def flags(command: click.Command | None) -> Wording:
    """Return the wording of settings as flags of ``command``: ``--tile 128``; arguments appear as their metavar."""

    def wording(name: str, value: str | None) -> str:
        for parameter in command.params if command is not None else ():
            if parameter.name not in (name, f"{name}s"):
                continue
            if isinstance(parameter, click.Argument):
                return value if value is not None else parameter.human_readable_name.strip("[].")
            flag = parameter.opts[0]
            return flag if value is None or getattr(parameter, "is_flag", False) else f"{flag} {value}"
        flag = f"--{name.replace('_', '-')}"
        return flag if value is None else f"{flag} {value}"

    return wording


def say(*lines: str, err: bool = False) -> None:
    """Print lines, with settings worded as flags of the running command and unsafe characters escaped.

    A stream that cannot be written to (a full disk) does not stop the work; the program reports it at the end.

    Raises:
        BrokenPipeError: the reader of the stream has closed it.
    """
    if lines:
        _print("\n".join(printable(worded(line, flags(session().command))) for line in lines), err)


def say_json(data: Any, *, indent: int | None = None, err: bool = False) -> None:
    """Print one JSON value; JSON does the escaping."""
    import json

    _print(json.dumps(data, indent=indent), err)


def say_traceback(error: BaseException) -> None:
    """Print an error's traceback."""
    import traceback

    for line in "".join(traceback.format_exception(error)).splitlines():
        _print(printable(line), err=True)


def warn(text: str) -> None:
    """Print a warning or a failure on standard error."""
    say(text, err=True)


def _print(text: str, err: bool) -> None:
    try:
        click.echo(text, err=err)
    except BrokenPipeError:
        raise
    except OSError as error:
        session().unprintable = error


def explain(error: BaseException, command: click.Command | None = None) -> str:
    """Return a sentence about what went wrong and what to do."""
    command = command if command is not None else session().command
    wording = flags(command)
    if isinstance(error, RlfnError):
        return worded(error.template, wording)
    if isinstance(error, click.UsageError):
        return _misuse(error)
    if isinstance(error, MemoryError):
        has_tile = command is not None and any(parameter.name == "tile" for parameter in command.params)
        tile = f" or {setting('tile', 128)}" if has_tile else ""
        return worded(f"There is not enough memory. Use smaller pictures{tile}.", wording)
    if isinstance(error, FileNotFoundError) and not _has_folder():
        return "The current folder no longer exists. Change to another one and run again."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        return "No space is left on the output's device. Free some space, or choose another place."
    if isinstance(error, OSError):
        return f"{str(error).rstrip('.')}. Run again with --debug for the details."
    return f"An internal error occurred ({with_kind(error)}). Run again with --debug for the details."


def _has_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _misuse(error: click.UsageError) -> str:
    """Word a usage error, the same in every version of click."""
    text = error.format_message()
    if isinstance(error, click.NoSuchOption):
        text = f"No such option: {error.option_name}.{_nearest(error)}"
    path = error.ctx.command_path if error.ctx is not None else "rlfn"
    return f"{text if text.endswith(('.', '?')) else text + '.'} See '{path} --help'."


def _nearest(error: click.NoSuchOption) -> str:
    import difflib

    params = error.ctx.command.params if error.ctx is not None else ()
    options = [name for parameter in params if isinstance(parameter, click.Option) for name in parameter.opts]
    near = difflib.get_close_matches(error.option_name, options, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
