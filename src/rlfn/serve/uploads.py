"""Reads uploads into memory, within limits of size and time."""

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

from rlfn.serve.fields import FIELDS, PICTURE, RequestOptions, read_fields
from rlfn.serve.job_queue import JobQueue
from rlfn.serve.media import accepted_format
from rlfn.serve.problems import Problem, problem, shutting_down
from rlfn.serve.settings import MEGABYTE

_FORM = "multipart/form-data"
_FIELD_BYTES = 1024
_MIN_BYTES_PER_SECOND = 10_000
"""Slowest accepted upload of a body of the largest size; ``patience`` is added."""

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True)
class UploadRequest:
    """An upload: the bytes of a picture, the options for it, and its idempotency key."""

    picture: bytes
    options: RequestOptions
    idempotency: str | None


class _InMemoryParser(MultiPartParser):
    """A parser that never spools to disk; the size of the body is limited elsewhere."""

    spool_max_size = 1 << 62

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Refuse a text that is too long with a message about it; only parts with file names are files."""
        part = self._current_part
        if part.file is None and len(part.data) + end - start > self.max_part_size:
            if part.field_name == PICTURE:
                raise _not_a_file()
            raise problem(
                "bad_request",
                f"The field '{part.field_name[:60]}' has more than {self.max_part_size:,} bytes. Send a shorter value.",
            )
        super().on_part_data(data, start, end)


async def read_upload(request: Request, queue: JobQueue) -> UploadRequest:
    """Read an upload: the picture is the body itself, or the form field ``picture``.

    Raises:
        Problem: the upload is too large or too slow, lacks a picture, or has an unknown field.
        OptionError: a field has a value that is not allowed.
        ClientDisconnect: the client disconnected.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise problem("bad_request", "An Idempotency-Key has 1 to 200 visible ASCII characters.")
    length = _stated_length(request, queue)
    queue.check_capacity(length)
    values = list(request.query_params.multi_items())
    queue.upload_bytes += length
    try:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM:
            picture, others = await _from_form(request, queue)
            values += others
        else:
            _check_media_type(request)
            picture = b"".join([chunk async for chunk in _chunks(request, queue)])
    finally:
        queue.upload_bytes -= length
    if not picture:
        raise problem("bad_request", f"There is no picture in the request. Send it as the body, or as '{PICTURE}'.")
    if not any(name == "format" for name, _ in values):
        named = accepted_format(request.headers.get("accept", ""))
        values += [("format", named)] if named else []
    return UploadRequest(
        picture, read_fields(values, queue.settings), None if key is None else f"{_client_digest(request)} {key}"
    )


def _client_digest(request: Request) -> str:
    """Return a digest of the client's API key, so that idempotency keys of different clients do not clash."""
    values = request.headers.get("authorization", "") + request.headers.get("x-api-key", "")
    return hashlib.sha256(values.encode()).hexdigest()


def _stated_length(request: Request, queue: JobQueue) -> int:
    """Return the size of the body; if the client does not state it, the largest allowed size."""
    max_bytes = queue.settings.max_body
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > max_bytes:
        raise _too_large(max_bytes, {})
    return int(stated) if stated.isdecimal() else max_bytes


def _check_media_type(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # curl --data-binary sends application/x-www-form-urlencoded
    if kind in ("", "application/x-www-form-urlencoded", "application/octet-stream") or kind.startswith("image/"):
        return
    raise problem(
        "unsupported_media_type",
        f"The Content-Type is {kind[:60]}. Allowed: {_FORM}, application/octet-stream, or a picture's.",
    )


async def _from_form(request: Request, queue: JobQueue) -> tuple[bytes, list[tuple[str, str]]]:
    """Return the picture and the other fields of a form."""
    parser = _InMemoryParser(
        request.headers, _chunks(request, queue), max_files=1, max_fields=len(FIELDS) + 2, max_part_size=_FIELD_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise problem("bad_request", f"The form cannot be read: {error.message.rstrip('.')}.") from None
    picture, values = b"", []
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != PICTURE:
                    raise problem(
                        "invalid_option", f"The form has a file '{name[:60]}'. Send the picture as '{PICTURE}'."
                    )
                picture = value.file.read()
            elif name == PICTURE and value != "":
                raise _not_a_file()
            elif value != "":  # browsers send empty fields
                values.append((name, value))
    finally:
        await form.close()
    return picture, values


async def _chunks(request: Request, queue: JobQueue) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of a body; refuse one that is too large or too slow."""
    settings = queue.settings
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.patience + settings.max_body / _MIN_BYTES_PER_SECOND
    stream: Any = request.stream()
    size = 0
    while True:
        if queue.draining:  # a chunk may arrive while the timer is rescheduled
            raise shutting_down({"Connection": "close"})
        try:
            async with asyncio.timeout_at(min(loop.time() + settings.patience, deadline)) as timer:
                queue.upload_timers.add(timer)
                chunk = await anext(stream, None)
        except TimeoutError:
            if queue.draining:
                raise shutting_down({"Connection": "close"}) from None
            raise problem(
                "request_timeout", "The upload was too slow. Send the picture again.", {"Connection": "close"}
            ) from None
        finally:
            queue.upload_timers.discard(timer)
        if chunk is None:
            return
        size += len(chunk)
        if size > settings.max_body:
            raise _too_large(settings.max_body, {"Connection": "close"})
        if chunk:
            yield chunk


def _not_a_file() -> Problem:
    return problem(
        "bad_request",
        f"The form's '{PICTURE}' is text: it has no file name. Send a file, as curl -F {PICTURE}=@photo.jpg does.",
    )


def _too_large(max_bytes: int, headers: dict[str, str]) -> Problem:
    return problem(
        "too_large",
        f"The request is larger than this server's limit of {max_bytes / MEGABYTE:g} MB. Send a smaller file.",
        headers,
    )
