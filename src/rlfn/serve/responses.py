"""Responses: results as pictures or as JSON with a picture, problems as JSON, job states as JSON and as events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from rlfn.images.formats import FORMATS
from rlfn.jobs.record import Details
from rlfn.serve.fields import as_field
from rlfn.serve.job import JobState, UpscaleJob
from rlfn.serve.job_queue import JobQueue
from rlfn.serve.media import MIXED
from rlfn.serve.problems import Problem
from rlfn.serve.work import JobResult
from rlfn.wording import worded

DETAILS = "Rlfn-Details"
"""Name of the header with the details of a result, as JSON."""

_HEADER_BYTES = 4000
_CHUNK = 1 << 18
_HEARTBEAT = 10.0
_EVENT_INTERVAL = 0.1


def details_as_json(details: Details, *, cached: bool) -> dict[str, Any]:
    """Return the details as JSON, with warnings worded."""
    facts = asdict(details)
    facts["warnings"] = [worded(text, as_field) for text in details.warnings]
    facts["seconds"] = round(details.seconds, 4)
    return facts | {"cached": cached}


def problem_response(found: Problem) -> Response:
    """Return the error response for a problem (RFC 9457)."""
    return JSONResponse(found.as_dict(), found.status, dict(found.headers), "application/problem+json")


def job_status(job: UpscaleJob, queue: JobQueue) -> dict[str, Any]:
    """Return the state of a job as JSON."""
    facts: dict[str, Any] = {"id": job.id, "status": job.state.value, "progress": round(job.progress, 4)}
    if job.state is JobState.WAITING:
        facts["jobs_ahead"] = queue.jobs_ahead(job)
    if job.result is not None:
        facts["details"] = details_as_json(job.result.details, cached=job.cached)
        facts["bytes"] = len(job.result.data)
    if job.problem is not None:
        facts["problem"] = job.problem.as_dict()
    return facts


async def events(job: UpscaleJob, queue: JobQueue) -> AsyncIterator[bytes]:
    """Yield the states of a job as server-sent events until it finishes, and comments as heartbeats."""
    last = ""
    async for changed in job.updates(_HEARTBEAT):
        text = json.dumps(job_status(job, queue))
        if changed and text != last:
            yield f"event: {job.state.value}\ndata: {text}\n\n".encode()
            last = text
            if not job.finished:
                await asyncio.sleep(_EVENT_INTERVAL)
        elif not changed:
            yield b": working\n\n"


class ResultResponse(Response):
    """Sends a result in chunks; gives up when the client receives nothing for ``patience`` seconds.

    Args:
        result: the result.
        mixed: send the details as JSON before the picture, in ``multipart/mixed``.
        cached: whether it came from the cache.
        patience: seconds.
        disconnected: tells whether the client has disconnected.
    """

    def __init__(
        self, result: JobResult, *, mixed: bool, cached: bool, patience: float, disconnected: Callable[[], bool]
    ) -> None:
        self._patience, self._disconnected = patience, disconnected
        self.background = None
        self.status_code = 200
        facts = json.dumps(details_as_json(result.details, cached=cached))
        assert result.details.format is not None  # the server's results are files
        kind = FORMATS[result.details.format].media_type
        self._parts: list[bytes] = [result.data]
        headers = {"Content-Type": kind, "Cache-Control": "no-store", "Vary": "Accept"}
        if mixed:
            boundary = secrets.token_hex(16)
            first = f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{facts}\r\n"
            second = f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n"
            self._parts = [f"{first}{second}".encode(), result.data, f"\r\n--{boundary}--\r\n".encode()]
            headers["Content-Type"] = f"{MIXED}; boundary={boundary}"
        elif len(facts) <= _HEADER_BYTES:
            headers[DETAILS] = facts
        else:
            count = len(result.details.warnings)
            headers[DETAILS] = json.dumps({"warnings": [f"{count} warnings; request {MIXED} to get them."]})
        headers["Content-Length"] = str(sum(map(len, self._parts)))
        self.init_headers(headers)
        self.complete = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the result; if the client stops receiving, return early, so that the connection is closed."""
        with contextlib.suppress(TimeoutError):
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            await self._send(send, start)
            for piece in self._pieces():
                await self._send(send, {"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(0)  # sending to a disconnected client neither fails nor blocks
                if self._disconnected():
                    return
            await self._send(send, {"type": "http.response.body", "body": b"", "more_body": False})
            self.complete = True

    async def _send(self, send: Send, message: Message) -> None:
        async with asyncio.timeout(self._patience):
            await send(message)

    def _pieces(self) -> Iterator[bytes]:
        for part in self._parts:
            for start in range(0, len(part), _CHUNK):
                yield part[start : start + _CHUNK]
