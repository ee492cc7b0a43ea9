"""A request to stop, which the loop reads between two steps, and the signals that make one."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from rlfn.training.reporting import silence

_HANGUP = getattr(signal, "SIGHUP", None)
"""What a closed terminal or a lost connection sends; Windows has no such signal."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([] if _HANGUP is None else [_HANGUP]))

_SEEN = b"Stopping after this step; everything is saved first. The same signal again ends the command at once.\n"


class StopRequest:
    """Whether the training was asked to stop; progress is saved first.

    Attributes:
        asked: whether it was.
        number: the signal that asked; None if it was something else, or another process of the run got the signal.
    """

    asked = False
    number: int | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Mark the time in which a training reads the request and can save."""
        yield


class SignalStop(StopRequest):
    """A request that the first SIGINT, SIGTERM or SIGHUP makes while a training can save; a repeated one acts as usual.

    SIGHUP means that the terminal is gone, so nothing more is written to it; it may come twice. A signal that the
    process ignores stays ignored, as SIGHUP does under ``nohup``. At all other times signals act as usual. They belong
    to the whole process, so this is for programs, not for libraries. Train in the main thread.
    """

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Catch the signals; say on standard error that one was seen."""
        seen: set[int] = set()
        terminals = [number for number in (1, 2) if os.isatty(number)]

        def note(number: int, frame: FrameType | None) -> None:
            if number == _HANGUP and number in seen:
                return  # the system sends one, and the shell another
            # torchrun passes Ctrl-C on as another signal, which must not end what is being saved
            if number in seen or (seen and number == signal.SIGINT):
                give_back()
                signal.raise_signal(number)
                return
            seen.add(number)
            if number == _HANGUP:
                silence(*terminals)
            if not self.asked:
                self.asked, self.number = True, number
                with suppress(OSError, ValueError, AttributeError):
                    os.write(sys.stderr.fileno(), _SEEN)

        def give_back() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, note) for number in heeded}
        try:
            yield
        finally:
            give_back()
