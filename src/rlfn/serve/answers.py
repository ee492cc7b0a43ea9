"""Answers: results as pictures or as JSON with a picture, problems as JSON, states as JSON and as events."""

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

from rlfn.errors import worded
from rlfn.serve.desk import Desk
from rlfn.serve.fields import as_field
from rlfn.serve.media import MEDIA_TYPES, MIXED
from rlfn.serve.problems import Problem
from rlfn.serve.ticket import Ticket, TicketState
from rlfn.serve.work import Delivery, Details

DETAILS = "Rlfn-Details"
"""The header that says what computed a result and what was lost."""

_HEADER_BYTES = 4000
_CHUNK = 1 << 18
_HEARTBEAT = 10.0
_LEAST_APART = 0.1


def details_of(details: Details, *, cached: bool) -> dict[str, Any]:
    """Return the details for JSON, warnings worded."""
    facts = asdict(details)
    facts["warnings"] = [worded(text, as_field) for text in details.warnings]
    facts["seconds"] = round(details.seconds, 4)
    return facts | {"cached": cached}


def problem_answer(found: Problem) -> Response:
    """Return the answer to a request that cannot be served (RFC 9457)."""
    return JSONResponse(found.as_dict(), found.status, dict(found.headers), "application/problem+json")


def ticket_facts(ticket: Ticket, desk: Desk) -> dict[str, Any]:
    """Return what a job's client may know of it."""
    facts: dict[str, Any] = {"id": ticket.id, "status": ticket.stage.value, "progress": round(ticket.share, 4)}
    if ticket.stage is TicketState.WAITING:
        facts["ahead"] = desk.ahead(ticket)
    if ticket.delivery is not None:
        facts["details"] = details_of(ticket.delivery.details, cached=ticket.cached)
        facts["bytes"] = len(ticket.delivery.data)
    if ticket.problem is not None:
        facts["problem"] = ticket.problem.as_dict()
    return facts


async def events(ticket: Ticket, desk: Desk) -> AsyncIterator[bytes]:
    """Yield a job's states as server-sent events, the last one when it ends; a comment where nothing happens."""
    last = ""
    async for changed in desk.changes(ticket, _HEARTBEAT):
        text = json.dumps(ticket_facts(ticket, desk))
        if changed and text != last:
            yield f"event: {ticket.stage.value}\ndata: {text}\n\n".encode()
            last = text
            if not ticket.over:
                await asyncio.sleep(_LEAST_APART)
        elif not changed:
            yield b": working\n\n"


class Sent(Response):
    """A result on its way to a client, in pieces; one who takes none for ``patience`` seconds is given up.

    Args:
        delivery: the result.
        mixed: send the details as JSON before the picture, in ``multipart/mixed``.
        cached: whether it came from the cache.
        patience: seconds.
        left: tells whether the client has left.
    """

    def __init__(
        self, delivery: Delivery, *, mixed: bool, cached: bool, patience: float, left: Callable[[], bool]
    ) -> None:
        self._patience, self._left = patience, left
        self.background = None
        self.status_code = 200
        facts = json.dumps(details_of(delivery.details, cached=cached))
        kind = MEDIA_TYPES[delivery.details.format]
        self._parts: list[bytes] = [delivery.data]
        headers = {"Content-Type": kind, "Cache-Control": "no-store", "Vary": "Accept"}
        if mixed:
            boundary = secrets.token_hex(16)
            first = f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{facts}\r\n"
            second = f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n"
            self._parts = [f"{first}{second}".encode(), delivery.data, f"\r\n--{boundary}--\r\n".encode()]
            headers["Content-Type"] = f"{MIXED}; boundary={boundary}"
        elif len(facts) <= _HEADER_BYTES:
            headers[DETAILS] = facts
        else:
            count = len(delivery.details.warnings)
            headers[DETAILS] = json.dumps({"warnings": [f"There are {count} warnings. Accept {MIXED} to get them."]})
        headers["Content-Length"] = str(sum(map(len, self._parts)))
        self.init_headers(headers)
        self.sent = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; where the client takes no more, return without the end, so that the connection is closed."""
        with contextlib.suppress(TimeoutError):
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            await self._send(send, start)
            for piece in self._pieces():
                await self._send(send, {"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(0)  # sending to a client who has left is no error, and takes no time
                if self._left():
                    return
            await self._send(send, {"type": "http.response.body", "body": b"", "more_body": False})
            self.sent = True

    async def _send(self, send: Send, message: Message) -> None:
        async with asyncio.timeout(self._patience):
            await send(message)

    def _pieces(self) -> Iterator[bytes]:
        for part in self._parts:
            for start in range(0, len(part), _CHUNK):
                yield part[start : start + _CHUNK]
