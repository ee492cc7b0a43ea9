"""A request to stop, which the loop reads between two steps, and the signals that make one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether the training was asked to stop; progress is saved first."""

    asked = False


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Give a request that the first SIGINT or SIGTERM makes; a second SIGINT interrupts at once, as usual.

    Signals belong to the whole process, so this is for programs, not for libraries. Call it in the main thread.
    """
    request = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        if request.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.asked = True

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
