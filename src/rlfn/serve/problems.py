"""What goes wrong, as HTTP says it: a status, a code for programs, and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rlfn.errors import MissingExtraError, ModelError, OptionError, OutputError, PictureError, RlfnError, worded
from rlfn.serve.crew import BrokenWorkError, LostWorkerError
from rlfn.serve.fields import as_field
from rlfn.serve.work import TooLargeError


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """An answer that is no result.

    Attributes:
        status: of HTTP.
        code: a word for programs, a key of :data:`CODES`.
        detail: a sentence: what was given, what is allowed, what to do.
        headers: of the answer.
    """

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the sentence."""
        return self.detail

    def as_dict(self) -> dict[str, object]:
        """Return the body of the answer (RFC 9457)."""
        return {"title": CODES[self.code][1], "status": self.status, "code": self.code, "detail": self.detail}


CODES: dict[str, tuple[int, str]] = {
    "bad_request": (400, "The request cannot be read"),
    "key_needed": (401, "A key is needed"),
    "forbidden": (403, "Not allowed from there"),
    "not_found": (404, "There is nothing here"),
    "method": (405, "Not with this method"),
    "not_acceptable": (406, "No such format"),
    "timeout": (408, "The request came too slowly"),
    "not_ready": (409, "There is no result yet"),
    "too_large": (413, "Too large"),
    "media_type": (415, "Not a picture"),
    "option": (422, "A field is not allowed"),
    "picture": (422, "The picture cannot be used"),
    "output": (422, "The result cannot be written"),
    "too_slow": (422, "It takes too long"),
    "cancelled": (410, "Cancelled"),
    "busy": (429, "Too many pictures are waiting"),
    "broken": (500, "Something went wrong inside"),
    "memory": (503, "The memory of the server is full"),
    "going_down": (503, "The server is ending"),
    "lost": (503, "The worker was lost"),
}
"""Every code, its usual status and its title."""

_OF_ERRORS: tuple[tuple[type[RlfnError], str], ...] = (
    (TooLargeError, "too_large"),
    (LostWorkerError, "lost"),
    (BrokenWorkError, "broken"),
    (OptionError, "option"),
    (PictureError, "picture"),
    (OutputError, "output"),
    (MissingExtraError, "option"),
    (ModelError, "broken"),
)


def problem(code: str, detail: str, headers: Mapping[str, str] | None = None) -> Problem:
    """Make the problem of a code."""
    return Problem(CODES[code][0], code, detail, headers or {})


def problem_of(error: RlfnError) -> Problem:
    """Make the problem that an error of the package is, its settings worded as fields."""
    code = next((code for kind, code in _OF_ERRORS if isinstance(error, kind)), "broken")
    headers = {"Retry-After": "1"} if code == "lost" else {}
    return problem(code, worded(error.template, as_field), headers)


def broken() -> Problem:
    """Make the problem of a fault of the server's own."""
    return problem("broken", "Something went wrong inside. The server's log says what.")


def busy(waiting: int, seconds: int) -> Problem:
    """Make the problem of a queue that is full."""
    return problem(
        "busy", f"{waiting} pictures are waiting already. Try again in {seconds} s.", {"Retry-After": str(seconds)}
    )


def full_memory(seconds: int) -> Problem:
    """Make the problem of too much that is held at once."""
    return problem(
        "memory",
        f"The server holds as many uploads as it may. Try again in {seconds} s.",
        {"Retry-After": str(seconds)},
    )


def going_down() -> Problem:
    """Make the problem of a server that is ending."""
    return problem("going_down", "The server is ending. Send the picture again in a few seconds.", {"Retry-After": "5"})


def too_slow(seconds: float) -> Problem:
    """Make the problem of a picture that takes too long."""
    return problem(
        "too_slow",
        f"The picture took longer than the {seconds:g} s that this server gives. Give a smaller one, a smaller size, "
        "or a faster model.",
    )
