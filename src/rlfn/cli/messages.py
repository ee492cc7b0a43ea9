"""What the command line prints: settings worded as flags, names of files made safe to show, errors in a sentence."""

from __future__ import annotations

import errno
import os
import unicodedata
from dataclasses import dataclass
from typing import Any

import click

from rlfn.errors import RlfnError, Wording, setting, worded

_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's control, formatting and surrogate characters and its breaks of lines: a terminal may act on them."""

_JOINERS = "\u200c\u200d"
"""Formatting characters that scripts and emoji need, and that change nothing but the letters beside them."""


@dataclass
class Session:
    """One call of the command: whether tracebacks are wanted, which command runs, and why nothing can be printed."""

    debug: bool = False
    command: click.Command | None = None
    unprintable: OSError | None = None


def session() -> Session:
    """Return the running call's session."""
    context = click.get_current_context(silent=True)
    found = context.find_object(Session) if context is not None else None
    return found if found is not None else Session()


def printable(text: str) -> str:
    r"""Escape what a terminal would act on, as file names can hold it: control characters, bytes that are no text.

    >>> print(printable("a\x1b[2J\n\udcff.png"))
    a\x1b[2J\n\udcff.png
    """
    return "".join(
        one.encode("unicode_escape").decode() if unicodedata.category(one) in _UNSAFE and one not in _JOINERS else one
        for one in text
    )


def printable_list(text: str) -> str:
    r"""Do as :func:`printable`, and keep the lines of a message that lists several things, each two spaces in.

    >>> print(printable_list("Two mistakes:\n  a: \x07\n  b"))
    Two mistakes:
      a: \x07
      b
    """
    return "\n  ".join(printable(line) for line in text.split("\n  "))


def flags(command: click.Command | None) -> Wording:
    """Return the wording of settings as flags of ``command``: ``--tile 128``; its arguments go by their metavar."""

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
    """Print lines, their settings as flags of the running command, and what a terminal would act on escaped.

    A stream that takes no more (a full disk) does not end the work: the call ends with an error when it is done.

    Raises:
        BrokenPipeError: nobody reads any more.
    """
    if lines:
        _print("\n".join(printable(worded(line, flags(session().command))) for line in lines), err)


def say_json(data: Any, *, indent: int | None = None, err: bool = False) -> None:
    """Print one JSON value; JSON escapes what has to be escaped."""
    import json

    _print(json.dumps(data, indent=indent), err)


def say_traceback(error: BaseException) -> None:
    """Print where an error came from."""
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
    """Say in a sentence what went wrong and what to do."""
    wording = flags(command if command is not None else session().command)
    if isinstance(error, RlfnError):
        return worded(error.template, wording)
    if isinstance(error, click.UsageError):
        return _misuse(error)
    if isinstance(error, MemoryError):
        small = setting("tile", 128)
        return worded(f"The memory of this machine is not enough. Use smaller pictures or {small}.", wording)
    if isinstance(error, FileNotFoundError) and not _has_folder():
        return "The current folder does not exist any more. Change to another one, and run again."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        return "No space is left where the output goes. Free some, or name another place."
    if isinstance(error, OSError):
        return f"{str(error).rstrip('.')}. Run again with --debug for the details."
    what = f"{type(error).__name__}: {error}".rstrip(": .")
    return f"Something went wrong inside ({what}). Run again with --debug for the details."


def _has_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _misuse(error: click.UsageError) -> str:
    """Word a wrong use of the command line, the same in every version of click."""
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
