"""Errors as HTTP problem details (RFC 9457): a status, a code for programs, and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rlfn.errors import MissingExtraError, ModelError, OptionError, OutputError, PictureError, RlfnError
from rlfn.serve.fields import as_field
from rlfn.serve.work import TooLargeError
from rlfn.serve.workers import InternalError, LostWorkerError
from rlfn.wording import counted, worded


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """An error response.

    Attributes:
        status: the HTTP status.
        code: a word for programs, a key of :data:`CODES`.
        detail: a sentence: what was given, what is allowed, what to do.
        headers: headers of the response.
    """

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the sentence."""
        return self.detail

    def as_dict(self) -> dict[str, object]:
        """Return the body of the response (RFC 9457)."""
        return {"title": TITLES[self.status], "status": self.status, "code": self.code, "detail": self.detail}


TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
"""Titles of problems: the phrases of RFC 9110, which differ between versions of Python's ``http``."""

CODES = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "request_timeout": 408,
    "not_ready": 409,
    "cancelled": 410,
    "too_large": 413,
    "unsupported_media_type": 415,
    "invalid_option": 422,
    "invalid_picture": 422,
    "invalid_output": 422,
    "processing_timeout": 422,
    "queue_full": 429,
    "internal_error": 500,
    "overloaded": 503,
    "shutting_down": 503,
    "worker_lost": 503,
}
"""Every code and its status."""

_OF_ERRORS: tuple[tuple[type[RlfnError], str], ...] = (
    (TooLargeError, "too_large"),
    (LostWorkerError, "worker_lost"),
    (InternalError, "internal_error"),
    (OptionError, "invalid_option"),
    (PictureError, "invalid_picture"),
    (OutputError, "invalid_output"),
    (MissingExtraError, "invalid_option"),
    (ModelError, "internal_error"),
)


def problem(code: str, detail: str, headers: Mapping[str, str] | None = None) -> Problem:
    """Make the problem of a code."""
    return Problem(CODES[code], code, detail, headers or {})


def problem_of(error: RlfnError) -> Problem:
    """Make the problem for an error of the package, with settings worded as fields."""
    code = next((code for kind, code in _OF_ERRORS if isinstance(error, kind)), "internal_error")
    headers = {"Retry-After": "1"} if code == "worker_lost" else {}
    return problem(code, worded(error.template, as_field), headers)


def internal_error() -> Problem:
    """Make the problem of an unexpected fault."""
    return problem("internal_error", "Internal error; see the server log.")


def queue_full(waiting: int, seconds: int) -> Problem:
    """Make the problem of a full queue."""
    jobs = f"{counted(waiting, 'job')} {'is' if waiting == 1 else 'are'}"
    return problem("queue_full", f"{jobs} already waiting. Try again in {seconds} s.", {"Retry-After": str(seconds)})


def overloaded(seconds: int) -> Problem:
    """Make the problem of full upload memory."""
    return problem(
        "overloaded",
        f"The server's memory for uploads is full. Try again in {seconds} s.",
        {"Retry-After": str(seconds)},
    )


def shutting_down(headers: Mapping[str, str] | None = None) -> Problem:
    """Make the problem of a server that is shutting down."""
    return problem(
        "shutting_down",
        "The server is shutting down. Send the picture again in a few seconds.",
        {"Retry-After": "5", **(headers or {})},
    )


def processing_timeout(seconds: float) -> Problem:
    """Make the problem of a picture that takes too long to process."""
    return problem(
        "processing_timeout",
        f"Processing took longer than this server's limit of {seconds:g} s. Use a smaller picture, a smaller size or a "
        "faster model.",
    )
