"""The command ``rlfn``, also as ``python -m rlfn``."""

from __future__ import annotations

import signal


def program() -> None:
    """Run the command line; until it takes signals itself, Ctrl-C ends the process at once, without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from rlfn.cli import program as run

    run()


if __name__ == "__main__":
    program()
