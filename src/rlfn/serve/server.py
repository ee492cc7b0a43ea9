"""Runs the application in uvicorn until a signal ends it, in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from rlfn.errors import OptionError, setting
from rlfn.serve.app import make_app
from rlfn.serve.settings import ServeSettings

_HEAD_SECONDS = 15.0
"""So long may a new connection take to send its first request's head."""


class PatientProtocol(H11Protocol):
    """Gives up connections that send no request, or one byte of it now and then."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._waiting = self.loop.call_later(_HEAD_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._waiting.cancel()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.abort()


class DrainingServer(uvicorn.Server):
    """Ends on SIGTERM and SIGINT when the work is done; a second signal ends it at once."""

    _draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and remember the loop: signals come between two steps of any code."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._draining is not None or not self.started:
            self.should_exit = self.force_exit = True
            return
        self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        app: Any = self.config.app
        await app.state.desk.drain()
        self.should_exit = True


def run(settings: ServeSettings, host: str, port: int, told: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: the operator's.
        host, port: where to listen; port 0 takes a free one.
        told: called with the server's address once it listens.

    Raises:
        OptionError: the address cannot be used.
    """
    listener = _listen(host, port)
    name = f"[{host}]" if ":" in host else host
    config = configuration(make_app(settings), settings)
    with contextlib.closing(listener):
        told(f"http://{name}:{listener.getsockname()[1]}/")
        DrainingServer(config).run([listener])


def configuration(app: Starlette, settings: ServeSettings, **more: Any) -> uvicorn.Config:
    """Return how uvicorn serves an application of :func:`rlfn.serve.app.make_app`."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of what clients send
    return uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.connections,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=max(int(settings.patience), 1),
        **more,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise OptionError(
            f"The server cannot listen at {host}, port {port}: {what}. Choose another with {setting('host')} or "
            f"{setting('port')}; port 0 takes a free one."
        ) from None
