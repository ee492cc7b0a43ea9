"""What tests of the server share: a worker in a thread that can be held back, pictures, and waiting."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from starlette.applications import Starlette

from rlfn.images.files import Picture, read_picture, write_picture
from rlfn.inference.enlarge import UpscalerPool
from rlfn.serve.app import make_app
from rlfn.serve.crew import CancelledWork, ShareReport
from rlfn.serve.settings import ServeSettings
from rlfn.serve.work import Commission, Delivery, carry_out


class ThreadHand:
    """Does the work in a thread of this process; a test can hold it back at ``gate``."""

    def __init__(self, gate: threading.Event) -> None:
        self.pool = UpscalerPool()
        self.gate = gate
        self.cancelled = False
        self.done = 0

    async def start(self) -> None:
        """There is nothing to start."""

    async def carry_out(self, commission: Commission, report: ShareReport, seconds: float) -> Delivery:
        self.cancelled = False
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + seconds

        def progress(share: float) -> None:
            loop.call_soon_threadsafe(report, share)
            while not self.gate.wait(0.01):
                if self.cancelled:
                    raise CancelledWork
                if time.monotonic() > deadline:
                    raise TimeoutError
            if self.cancelled:
                raise CancelledWork

        made = await asyncio.to_thread(carry_out, commission, self.pool, progress)
        self.done += 1
        return made

    def cancel(self) -> None:
        self.cancelled = True

    def close(self) -> None:
        self.cancelled = True


@dataclass
class Workshop:
    """Makes applications whose workers are held back while ``gate`` is clear."""

    gate: threading.Event
    hands: list[ThreadHand] = field(default_factory=list)
    servers: list[Any] = field(default_factory=list)

    def app(self, settings: ServeSettings) -> Starlette:
        def hands(given: ServeSettings) -> list[ThreadHand]:
            self.hands = [ThreadHand(self.gate) for _ in range(given.workers)]
            return self.hands

        return make_app(settings, hands)

    @property
    def done(self) -> int:
        """How many pictures were worked on."""
        return sum(hand.done for hand in self.hands)


def until(true: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until something is true; fail where it does not become so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def picture_bytes(width: int = 20, height: int = 16, format: str = "png", **kept: Any) -> bytes:
    """Return a file with a ramp of colours."""
    ramp = np.add.outer(np.arange(height) * 5, np.arange(width) * 7) % 256
    stream = io.BytesIO()
    write_picture(Picture(np.dstack([ramp, ramp[::-1], ramp[:, ::-1]]).astype(np.uint8), **kept), stream, format=format)
    return stream.getvalue()


def size_of(data: bytes) -> tuple[int, int]:
    """Return the (width, height) of a picture file."""
    found = read_picture(data)
    return found.width, found.height


def numbers(answer: httpx.Response) -> dict[str, float]:
    """Return what Prometheus' text says, by name with labels."""
    rows = [line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in rows}
