"""Requests with a picture in them, read within limits of bytes and of patience, in memory alone."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from rlfn.serve.desk import Desk
from rlfn.serve.fields import FIELDS, PICTURE, Asked, read_fields
from rlfn.serve.media import accepted_format
from rlfn.serve.problems import Problem, problem
from rlfn.serve.settings import MEGABYTE

_FORM = "multipart/form-data"
_FIELD_BYTES = 1024
_LEAST_RATE = 10_000
"""Bytes a second: a body may take so long, and ``patience`` longer."""

_IDEMPOTENCY = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True)
class Order:
    """What a client sent: the bytes of a picture, what to do with it, and its idempotency key."""

    picture: bytes
    asked: Asked
    idempotency: str | None


class _InMemoryParser(MultiPartParser):
    """Writes no file, however large a part is; the body itself is limited."""

    spool_max_size = 1 << 62


async def read_order(request: Request, desk: Desk) -> Order:
    """Read a request that brings a picture: as the body itself, or in a form under ``picture``.

    Raises:
        Problem: too large, too slow, no picture in it, or a field that is not allowed.
        OptionError: a field has a value that is not allowed.
        ClientDisconnect: the client has gone.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY.fullmatch(key):
        raise problem("bad_request", "An Idempotency-Key has 1 to 200 visible ASCII characters.")
    length = _stated_length(request, desk)
    desk.check_room(length)
    given = list(request.query_params.multi_items())
    desk.uploads += length
    try:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM:
            picture, more = await _from_form(request, desk)
            given += more
        else:
            _check_media_type(request)
            picture = b"".join([chunk async for chunk in _chunks(request, desk)])
    finally:
        desk.uploads -= length
    if not picture:
        raise problem("bad_request", f"There is no picture in the request. Send it as the body, or as '{PICTURE}'.")
    if not any(name == "format" for name, _ in given):
        named = accepted_format(request.headers.get("accept", ""))
        given += [("format", named)] if named else []
    return Order(picture, read_fields(given, desk.settings), None if key is None else f"{_who(request)} {key}")


def _who(request: Request) -> str:
    """Return what tells the holder of one key from another's: their idempotency keys may be alike."""
    given = request.headers.get("authorization", "") + request.headers.get("x-api-key", "")
    return hashlib.sha256(given.encode()).hexdigest()


def _stated_length(request: Request, desk: Desk) -> int:
    """Return the bytes that are to come; where the client does not say, the most that it may send."""
    most = desk.settings.max_body
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > most:
        raise _too_large(most, {})
    return int(stated) if stated.isdecimal() else most


def _check_media_type(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # the second is what curl says of any --data-binary
    if kind in ("", "application/x-www-form-urlencoded", "application/octet-stream") or kind.startswith("image/"):
        return
    raise problem(
        "media_type", f"The Content-Type is {kind[:60]}. Allowed: {_FORM}, application/octet-stream, or a picture's."
    )


async def _from_form(request: Request, desk: Desk) -> tuple[bytes, list[tuple[str, str]]]:
    """Return the picture of a form, and its other fields."""
    parser = _InMemoryParser(
        request.headers, _chunks(request, desk), max_files=1, max_fields=len(FIELDS) + 2, max_part_size=_FIELD_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise problem("bad_request", f"The form cannot be read: {error.message.rstrip('.')}.") from None
    picture, given = b"", []
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != PICTURE:
                    raise problem("option", f"The form has a file '{name[:60]}'. Send the picture as '{PICTURE}'.")
                picture = value.file.read()
            elif value != "":  # what a form of a page leaves open
                given.append((name, value))
    finally:
        await form.close()
    return picture, given


async def _chunks(request: Request, desk: Desk) -> AsyncGenerator[bytes, None]:
    """Yield a body as it comes; refuse one that is too long or too slow."""
    settings = desk.settings
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.patience + settings.max_body / _LEAST_RATE
    stream: Any = request.stream()
    size = 0
    while True:
        try:
            async with asyncio.timeout_at(min(loop.time() + settings.patience, deadline)):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise problem("timeout", "The picture came too slowly. Send it again.", {"Connection": "close"}) from None
        if chunk is None:
            return
        size += len(chunk)
        if size > settings.max_body:
            raise _too_large(settings.max_body, {"Connection": "close"})
        if chunk:
            yield chunk


def _too_large(most: int, headers: dict[str, str]) -> Problem:
    return problem(
        "too_large",
        f"The request is larger than the {most / MEGABYTE:g} MB that this server takes. Send a smaller file.",
        headers,
    )
