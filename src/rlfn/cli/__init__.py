"""The command line: thin modules that parse, call and print.

One module a group of commands; each imports what it needs when it runs, so that ``rlfn --help`` stays fast.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from io import TextIOWrapper
from typing import Annotated

import typer

from rlfn import __version__
from rlfn.cli import data, doctor, evaluate, models, profile, study, train, upscale

app = typer.Typer(
    name="rlfn",
    help="Upscale pictures with RLFN on any CPU; train, measure and export the network.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_UsageError = typer.BadParameter.__bases__[0]
"""What typer raises for every wrong use of the command line; its only public name is that of one kind."""

_INTERRUPTED = 130

for _module in (upscale, models, data, train, evaluate, profile, study, doctor):
    _module.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rlfn {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Upscale pictures with RLFN on any CPU; train, measure and export the network."""
    context.obj = debug


def main() -> None:
    """Run the command line and exit: 0 all is well, 1 a picture failed, 2 nothing was begun, 130 stopped by Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text
    # a terminated job tidies up as an interrupted one does
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _end)
    debug, arguments = _take_debug(sys.argv[1:])
    try:
        status = app(args=["--debug", *arguments] if debug else arguments, prog_name="rlfn", standalone_mode=False)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        if debug and not isinstance(error, KeyboardInterrupt | BrokenPipeError | _UsageError):
            import traceback

            traceback.print_exception(error)
        status = _explain(error)
    if status == _INTERRUPTED:
        typer.echo("rlfn: stopped.", err=True)
    sys.exit(status or 0)


def _end(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _take_debug(arguments: list[str]) -> tuple[bool, list[str]]:
    """Find --debug before and after the command's name; what follows ``--`` are names of files."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [argument for argument in arguments[:end] if argument != "--debug"]
    return len(options) < end, options + arguments[end:]


def _explain(error: BaseException) -> int:
    """Print one clear message on what ended the command; return the exit status."""
    from rlfn.errors import RlfnError

    if isinstance(error, KeyboardInterrupt):
        return _INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # nobody reads any more: what is left in the buffers must not raise again at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, _UsageError):
        text = error.format_message()  # type: ignore[attr-defined]
        context = getattr(error, "ctx", None)
        if text.startswith("Usage:"):  # a bare "rlfn" shows its help
            typer.echo(text, err=True)
            return 2
        command = context.command_path if context is not None else "rlfn"
        text = f"{text if text.endswith(('.', '?')) else text + '.'} See '{command} --help'."
    elif isinstance(error, RlfnError):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = "The memory of this machine is not enough. Use smaller pictures or --tile 128."
    elif isinstance(error, OSError):
        text = f"{str(error).rstrip('.')}. Run again with --debug for the details."
    else:
        text = f"Something went wrong inside ({type(error).__name__}: {error}). Run again with --debug for the details."
    typer.echo(f"rlfn: {text}", err=True)
    return 2
