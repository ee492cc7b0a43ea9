"""Signals that end a command: once, without a traceback, and also while native code runs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from rlfn.atomic import drop_unfinished

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")

_GRACE = 3.0
"""Seconds for which a command may tidy up. Python sees a signal only between two calls of native code."""

INTERRUPTED = 130
"""The exit status after Ctrl-C."""


def status_after(number: int | None) -> int:
    """Return the exit status of a command that a signal ended; without a signal, that after Ctrl-C."""
    return INTERRUPTED if number is None else 128 + number


class Ending:
    """The handler of all signals that end a command. The first one raises; the others find it ending already.

    Attributes:
        status: the exit status that the first signal asks for; None if none came.
    """

    def __init__(self) -> None:
        self.status: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise for the first signal."""
        if self.status is not None:
            return
        self.status = status_after(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(self.status)


@contextlib.contextmanager
def ending_on_signals() -> Iterator[Ending]:
    """Let SIGINT, SIGTERM and SIGHUP end what runs inside, each as it would by default, but in order.

    What does not end within :data:`_GRACE` is ended here, its unfinished files removed. A command that takes signals
    itself, as training does, is left alone. Afterwards the signals end the process at once, without a word.
    """
    ending, mine = Ending(), list[int]()
    if threading.current_thread() is not threading.main_thread():
        yield ending
        return
    for name in _ENDING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, ending)
            mine.append(number)
    told, tell = socket.socketpair()
    tell.setblocking(False)
    before = signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_enforce, args=(told, ending), name="rlfn-signals", daemon=True).start()
    try:
        with _without_remarks():
            yield ending
    finally:
        for number in mine:
            if signal.getsignal(number) is ending:
                signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(before)
        tell.close()


def _enforce(told: socket.socket, ending: Ending) -> None:
    """End the process when a signal came and the main thread did not end by itself."""
    with told:
        while came := told.recv(1):
            number = came[0]
            if signal.getsignal(number) is not ending:
                continue
            time.sleep(_GRACE)
            if signal.getsignal(number) is not ending:
                continue
            drop_unfinished()
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.write(sys.stderr.fileno(), b"rlfn: stopped.\n")
            os._exit(status_after(number))


@contextlib.contextmanager
def _without_remarks() -> Iterator[None]:
    """Drop Python's remark on an ending that struck where no exception can rise, such as a destructor."""
    hook = sys.unraisablehook

    def remark(found: Any) -> None:
        if not isinstance(found.exc_value, KeyboardInterrupt | SystemExit):
            hook(found)

    sys.unraisablehook = remark
    try:
        yield
    finally:
        sys.unraisablehook = hook
