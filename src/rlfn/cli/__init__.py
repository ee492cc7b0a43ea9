"""The command line: thin modules that parse, call and print.

One module per group of commands; each imports what it needs when it runs, so that ``rlfn --help`` stays fast.
``options.py`` declares shared options, ``messages.py`` words and prints messages, ``progress.py`` shows progress.
Signals, threads and environment variables are set here, never below.
"""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from io import TextIOWrapper

import click

from rlfn import __version__
from rlfn.cli import bulk, completion, data, doctor, evaluate, models, profile, serve, study, train, upscale
from rlfn.cli.commands import Group, NothingAsked
from rlfn.cli.messages import Session, explain, printable_list, say_traceback
from rlfn.cli.signals import INTERRUPTED, Ending, ending_on_signals
from rlfn.cli.streams import keep_natives_quiet

_FAILED = 2


@click.group(
    "rlfn",
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=("rlfn upscale photo.jpg", "rlfn upscale --help", "rlfn models"),
)
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@click.version_option(__version__, message="%(prog)s %(version)s", help="Print the version and exit.")
def app() -> None:
    """Upscale pictures and videos with RLFN on any CPU; train, evaluate and export the network."""


for _command in (
    upscale.upscale,
    bulk.bulk,
    serve.serve,
    models.models,
    doctor.doctor,
    completion.completion,
    data.data,
    train.train,
    evaluate.evaluate,
    evaluate.compare,
    profile.profile,
    study.study,
    models.export,
    models.convert,
    models.fuse,
    models.prune,
):
    app.add_command(_command)


def program() -> None:
    """Run the command line as the program ``rlfn``, and end the process at once.

    Shutting down the interpreter, with everything that engines and codecs have loaded, takes a tenth of a second for no
    benefit. Registered exit handlers still run, and threads are waited for.
    """
    status = 1

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                with suppress(OSError, ValueError):
                    stream.flush()
        os._exit(status)

    atexit.register(leave)  # the first one registered is the last one called
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    except KeyboardInterrupt:
        status = INTERRUPTED
        raise


def main() -> None:
    """Run the command line and exit: 0 success, 1 something failed, 2 invalid call or input, 130 or 143 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text
    if completion.VARIABLE in os.environ:
        app.main(prog_name="rlfn", complete_var=completion.VARIABLE)
    debug, arguments = _take_debug(sys.argv[1:])
    session = Session(debug)
    if not debug:
        keep_natives_quiet()
    try:
        with ending_on_signals() as ending:
            status = _run(arguments, session, ending)
    except KeyboardInterrupt:  # in the last moment
        status = INTERRUPTED
    if session.unprintable is not None:
        _drop(sys.stdout)
        _tell(f"rlfn: The output cannot be printed: {explain(session.unprintable)}")
        status = status or 1
    if sys.stderr is not None:
        try:
            sys.stderr.flush()
        except OSError:
            _drop(sys.stderr)
    sys.exit(status)


def _run(arguments: list[str], session: Session, ending: Ending) -> int:
    """Run one command and return the exit status; print one message if it failed.

    After a signal any error counts as its effect: native code and imports turn the signal's exception into their own.
    """
    try:
        with app.make_context("rlfn", arguments, obj=session) as context:
            app.invoke(context)
            if sys.stdout is not None and session.unprintable is None:
                sys.stdout.flush()
        return 0
    except click.exceptions.Exit as end:
        status = end.exit_code
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        _drop(sys.stdout)  # the reader has closed it
        status = 1
    except NothingAsked as help:
        _tell(help.message)
        status = _FAILED
    except Exception as error:
        if ending.status is None:
            _explain(error, session)
        status = _FAILED
    if status and ending.status is not None:
        status = ending.status
    if status == INTERRUPTED:
        _tell("rlfn: stopped.")
    return status


def _explain(error: Exception, session: Session) -> None:
    if session.debug and not isinstance(error, click.UsageError):
        say_traceback(error)
    _tell(f"rlfn: {printable_list(explain(error, session.command))}")


def _tell(text: str) -> None:
    """Print the last message; if standard error cannot be written to, only the exit status remains."""
    with suppress(OSError):
        click.echo(text, err=True)


def _drop(stream: object) -> None:
    """Discard what is left in a stream's buffer, so that it does not raise again at exit."""
    if isinstance(stream, TextIOWrapper):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _take_debug(arguments: list[str]) -> tuple[bool, list[str]]:
    """Take --debug out of the arguments before ``--``, whether before or after the command's name."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    given = [argument for argument in arguments[:end] if argument != "--debug"]
    return len(given) < end, given + arguments[end:]
