"""Helpers for tests of the server: workers in threads that can be held back, requests, and pictures."""

from __future__ import annotations

import asyncio
import functools
import io
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2
import numpy as np
from starlette.applications import Starlette

from rlfn.images.files import Picture, read_picture, write_picture
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.serve.app import make_app
from rlfn.serve.settings import ServeSettings
from rlfn.serve.work import JobResult, WorkItem, run_item
from rlfn.serve.workers import JobCancelled, ProgressCallback
from waiting import PATIENCE

get = functools.partial(httpx2.get, timeout=PATIENCE)
post = functools.partial(httpx2.post, timeout=PATIENCE)


class ThreadWorker:
    """Runs jobs in a thread of this process; a test can hold it back with ``gate``."""

    def __init__(self, gate: threading.Event) -> None:
        self.pool = UpscalerPool()
        self.gate = gate
        self.cancelled = False
        self.started = 0
        self.done = 0

    async def start(self) -> None:
        """Nothing to start."""

    async def run(self, item: WorkItem, report: ProgressCallback, seconds: float) -> JobResult:
        self.cancelled = False
        self.started += 1
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + seconds

        def progress(share: float) -> None:
            loop.call_soon_threadsafe(report, share)
            while not self.gate.wait(0.01):
                if self.cancelled:
                    raise JobCancelled
                if time.monotonic() > deadline:
                    raise TimeoutError
            if self.cancelled:
                raise JobCancelled

        made = await asyncio.to_thread(run_item, item, self.pool, progress)
        self.done += 1
        return made

    def cancel(self) -> None:
        self.cancelled = True

    def close(self) -> None:
        self.cancelled = True


@dataclass
class GatedWorkers:
    """Makes applications whose workers are held back while ``gate`` is clear."""

    gate: threading.Event
    workers: list[ThreadWorker] = field(default_factory=list)
    servers: list[Any] = field(default_factory=list)

    def app(self, settings: ServeSettings) -> Starlette:
        def make_workers(given: ServeSettings) -> list[ThreadWorker]:
            self.workers = [ThreadWorker(self.gate) for _ in range(given.workers)]
            return self.workers

        return make_app(settings, make_workers)

    @property
    def started(self) -> int:
        """Number of jobs that a worker took up."""
        return sum(worker.started for worker in self.workers)

    @property
    def done(self) -> int:
        """Number of finished jobs."""
        return sum(worker.done for worker in self.workers)


class PrefixProxy(ThreadingHTTPServer):
    """A reverse proxy that removes the prefix ``/sr`` and forwards to a server; ``strays`` are requests without it."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.upstream = urlsplit(upstream)
        self.strays: list[str] = []
        self.address = f"http://127.0.0.1:{self.server_port}/sr/"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()


class _ProxyHandler(BaseHTTPRequestHandler):
    server: PrefixProxy

    def _forward(self) -> None:
        if not self.path.startswith("/sr/"):
            self.server.strays.append(self.path)
            self.send_error(404)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        upstream = HTTPConnection(self.server.upstream.netloc, timeout=PATIENCE)
        upstream.request(self.command, self.path.removeprefix("/sr"), body, dict(self.headers.items()))
        answer = upstream.getresponse()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        while data := answer.read1(1 << 16):
            self.wfile.write(data)
            self.wfile.flush()
        upstream.close()

    do_GET = do_POST = do_DELETE = do_HEAD = _forward  # noqa: N815

    def log_message(self, *given: object) -> None:
        """Log nothing."""


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


def metric_values(answer: httpx2.Response) -> dict[str, float]:
    """Return the values of a Prometheus response, by name with labels."""
    rows = [line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in rows}
