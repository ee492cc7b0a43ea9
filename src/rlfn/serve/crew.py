"""The workers: processes that enlarge pictures, one each at a time, and that can be ended without loss."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from rlfn.errors import MissingExtraError, ModelError, OptionError, OutputError, PictureError, RlfnError
from rlfn.inference.enlarge import EnlargeOptions, Enlarger, UpscalerPool
from rlfn.jobs.record import explain
from rlfn.serve.settings import ServeSettings
from rlfn.serve.work import Commission, Delivery, TooLargeError, carry_out

ShareReport = Callable[[float], None]
"""Called with the finished share of a picture, 0 to 1."""

_END_PATIENCE = 3.0
"""Seconds in which a worker is to notice that its work is not wanted any more, before its process is ended."""

_REPORT_EVERY = 0.1

_RENEW_AFTER = 500
"""So many pictures does a process work on: engines and libraries never give back all memory that they once took."""


class CancelledWork(Exception):  # noqa: N818 - nobody's fault
    """The work was given up on request."""


class LostWorkerError(RlfnError):
    """A worker's process ended in the middle of its work."""


class BrokenWorkError(RlfnError):
    """The work failed in a way that nobody foresaw."""


_KINDS: dict[str, type[RlfnError]] = {
    kind.__name__: kind for kind in (TooLargeError, OptionError, PictureError, ModelError, OutputError)
}


class Hand(Protocol):
    """What does the work on one picture at a time."""

    async def start(self) -> None:
        """Make ready."""

    async def carry_out(self, commission: Commission, report: ShareReport, seconds: float) -> Delivery:
        """Do the work, within so many seconds."""

    def cancel(self) -> None:
        """Give up the work that is being done."""

    def close(self) -> None:
        """End."""


class ProcessHand:
    """A worker process, begun anew where it was lost.

    Args:
        settings: the operator's.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._context = multiprocessing.get_context("spawn")
        self._thread = ThreadPoolExecutor(1, "rlfn-hand")
        self._process: Any = None
        self._pipe: Any = None
        self._ends: Any = None
        self._number = 0
        self._begun_at = 0
        self._active = 0
        self._given_up = 0
        self._closed = False

    async def start(self) -> None:
        """Begin the process, which loads the first model."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._begin)

    async def carry_out(self, commission: Commission, report: ShareReport, seconds: float) -> Delivery:
        """Have the process do the work; what takes longer than ``seconds`` is ended.

        Raises:
            RlfnError: what the work raised; :class:`LostWorkerError` where the process ended.
            CancelledWork: :meth:`cancel` was called.
            TimeoutError: it took too long.
        """
        loop = asyncio.get_running_loop()
        self._number += 1

        def told(share: float) -> None:
            loop.call_soon_threadsafe(report, share)

        work = loop.run_in_executor(self._thread, self._do, self._number, commission, told)
        done, _ = await asyncio.wait([work], timeout=seconds)
        if done:
            return work.result()
        self.cancel()
        with contextlib.suppress(CancelledWork, RlfnError):
            await work
        raise TimeoutError

    def cancel(self) -> None:
        """Ask the process to give up; end it where it does not listen."""
        self._given_up = self._number
        with contextlib.suppress(OSError, ValueError):
            self._ends.send(self._number)
        asyncio.get_running_loop().call_later(_END_PATIENCE, self._enforce, self._number)

    def close(self) -> None:
        """End the process, and with it what it is doing."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        ended, self._ends = self._context.Pipe(duplex=False)
        self._process = self._context.Process(
            target=work_on_commissions, args=(theirs, ended, self._settings), name="rlfn-worker", daemon=True
        )
        self._process.start()
        theirs.close()
        ended.close()

    def _do(self, number: int, commission: Commission, report: ShareReport) -> Delivery:
        """Send the work and wait for what comes of it, in this hand's own thread."""
        if self._closed or self._given_up >= number:
            raise CancelledWork
        if number - self._begun_at > _RENEW_AFTER and self._process is not None:
            self._pipe.close()  # it ends by itself
            self._process = None
        if self._process is None or not self._process.is_alive():
            self._begun_at = number - 1
            self._begin()
        self._active = number
        try:
            self._pipe.send((number, commission))
            while True:
                kind, value = self._pipe.recv()
                if kind != "share":
                    return _outcome(kind, value)
                report(value)
        except (EOFError, OSError):
            self._process.join(_END_PATIENCE)
            self._process = None
            if self._closed or self._given_up >= number:
                raise CancelledWork from None
            raise LostWorkerError(
                "The worker ended while it worked on this picture. Send it again; if that does not help, it is too "
                "much for this server."
            ) from None
        finally:
            self._active = 0

    def _enforce(self, number: int) -> None:
        process = self._process
        if self._active == number and process is not None:
            process.kill()


def _outcome(kind: str, value: Any) -> Delivery:
    """Return what a worker made, or raise what it told."""
    if kind == "done":
        assert isinstance(value, Delivery)
        return value
    if kind == "cancelled":
        raise CancelledWork
    raise _KINDS.get(kind, BrokenWorkError)(value)


def work_on_commissions(pipe: Any, ended: Any, settings: ServeSettings) -> None:
    """Do what comes through ``pipe`` until it is closed: the whole life of a worker's process."""
    for name in ("SIGINT", "SIGTERM"):  # the server says when to end
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        os.nice(settings.nice)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("500")  # where memory runs out, a worker goes and not the server
    pool = UpscalerPool()
    with contextlib.suppress(RlfnError):
        options = EnlargeOptions(**settings.computing)
        Enlarger(options, pool).with_auto_engine(None).load()
    while True:
        try:
            number, commission = pipe.recv()
            answer = _attempt(commission, pool, _Progress(pipe, ended, number))
            pipe.send(answer)
        except (EOFError, OSError):  # the server is gone
            return


def _attempt(commission: Commission, pool: UpscalerPool, progress: ShareReport) -> tuple[str, Any]:
    """Do one work; return what to tell of it."""
    try:
        return "done", carry_out(commission, pool, progress)
    except CancelledWork:
        return "cancelled", None
    except MissingExtraError as error:
        return OptionError.__name__, error.template
    except RlfnError as error:
        return type(error).__name__, error.template
    except Exception as error:  # decoders and engines raise what they like
        return BrokenWorkError.__name__, explain(error)


class _Progress:
    """Tells the server how far a work is, and ends it where the server does not want it any more."""

    def __init__(self, pipe: Any, ended: Any, number: int) -> None:
        self._pipe, self._ended, self._number = pipe, ended, number
        self._told = 0.0

    def __call__(self, share: float) -> None:
        while self._ended.poll():
            if self._ended.recv() >= self._number:
                raise CancelledWork
        now = time.monotonic()
        if now - self._told >= _REPORT_EVERY:
            self._told = now
            self._pipe.send(("share", share))
