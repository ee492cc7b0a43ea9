"""Runs the application in uvicorn and shuts it down gracefully on a signal."""

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

from rlfn.errors import OptionError
from rlfn.serve.app import make_app
from rlfn.serve.job_queue import JobQueue
from rlfn.serve.settings import ServeSettings
from rlfn.wording import setting

_HEAD_SECONDS = 15.0
"""Seconds in which a new connection has to send the head of its first request."""


_LAST_SECONDS = 1.0
"""Seconds that clients have to receive what is left when the grace period is over."""


class TimeoutProtocol(H11Protocol):
    """Closes connections that do not send a request in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(_HEAD_SECONDS, self._abort_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._head_timer.cancel()
        super().connection_lost(exc)

    def _unsupported_upgrade_warning(self) -> None:
        """Answer requests for another protocol, such as WebSockets, without a warning in the log."""

    def _abort_idle(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.abort()


class DrainingServer(uvicorn.Server):
    """Shuts down gracefully on SIGTERM and SIGINT; a second signal stops it at once."""

    _draining: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; keep the loop for signal handlers."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Schedule the shutdown."""
        self._loop.call_soon_threadsafe(self._begin_shutdown)

    def _begin_shutdown(self) -> None:
        if not self.started:
            self.should_exit = True
        elif self._draining is None:
            self._draining = asyncio.ensure_future(self._drain())
        else:
            self.queue.stop()
            self._disconnect()
            self.should_exit = True

    async def _drain(self) -> None:
        await self.queue.drain()
        self.should_exit = True
        asyncio.get_running_loop().call_later(_LAST_SECONDS, self._disconnect)

    def _disconnect(self) -> None:
        """Close all connections; the requests notice and end."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @property
    def queue(self) -> JobQueue:
        """The application's queue."""
        app: Any = self.config.app
        queue: JobQueue = app.state.queue
        return queue


def run(settings: ServeSettings, host: str, port: int, on_listening: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: the operator's settings.
        host, port: address to listen on; port 0 picks a free one.
        on_listening: called with the server's address once it listens.

    Raises:
        OptionError: the address cannot be used.
    """
    listener = _listen(host, port)
    name = f"[{host}]" if ":" in host else host
    config = configuration(make_app(settings), settings)
    with contextlib.closing(listener):
        on_listening(f"http://{name}:{listener.getsockname()[1]}/")
        server = DrainingServer(config)
        try:
            server.run([listener])
        finally:
            server.queue.kill_workers()


def configuration(app: Starlette, settings: ServeSettings, **more: Any) -> uvicorn.Config:
    """Return the uvicorn configuration for an application of :func:`rlfn.serve.app.make_app`."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it logs warnings about clients' input
    return uvicorn.Config(
        app,
        http=TimeoutProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.connections,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=5,  # never reached: connections are closed before
        **more,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OptionError(
            f"The server cannot listen on {host}, port {port}: {reason}. Choose another {setting('host')} or "
            f"{setting('port')}; port 0 picks a free one."
        ) from None
