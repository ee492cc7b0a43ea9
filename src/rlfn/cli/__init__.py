"""The command line: thin modules that parse, call and print.

One module a group of commands; each imports what it needs when it runs, so that ``rlfn --help`` stays fast.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from rlfn import __version__
from rlfn.cli import data, doctor, evaluate, models, profile, train, upscale

app = typer.Typer(
    name="rlfn",
    help="Upscale pictures with RLFN on any CPU; train, measure and export the network.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _module in (upscale, models, data, train, evaluate, profile, doctor):
    _module.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rlfn {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Upscale pictures with RLFN on any CPU; train, measure and export the network."""


def main() -> None:
    """Run the command line; errors end it with one clear message and a non-zero status."""
    from rlfn.errors import RlfnError

    # --debug works before and after the command's name
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(args=arguments, prog_name="rlfn")
    except RlfnError as error:
        if debug:
            raise
        typer.echo(f"rlfn: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("rlfn: stopped.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError:
        if debug:
            raise
        typer.echo("rlfn: The memory of this machine is not enough. Use smaller pictures or --tile 128.", err=True)
        sys.exit(2)
    except OSError as error:
        if debug:
            raise
        typer.echo(f"rlfn: {error}. Run again with --debug for the details.", err=True)
        sys.exit(2)
