"""What signals do to a command: the first ends it tidily, a storm of them leaves no tracebacks."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

_CALM = 1.0
"""A further signal counts once none came for so many seconds: tidying up is not interrupted by a key that repeats."""


class _End:
    """Ends the command at the first of several signals in a row."""

    def __init__(self) -> None:
        self._last = -_CALM

    def __call__(self, number: int, frame: FrameType | None) -> None:
        before, self._last = self._last, time.monotonic()
        if self._last - before >= _CALM:
            _raise(number)


def _raise(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def tidy_up_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the command as tidily as Ctrl-C does; who set handlers before keeps them."""
    if threading.current_thread() is threading.main_thread():
        for number in _numbers():
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, _End())


def end_on_signals() -> None:
    """Let a further signal end the process at once and in silence: all is tidied up."""
    if threading.current_thread() is threading.main_thread():
        for number in _numbers():
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)


def _numbers() -> list[signal.Signals]:
    return [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
