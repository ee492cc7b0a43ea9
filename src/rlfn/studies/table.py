"""The table of studies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rlfn.studies.request import Request


@dataclass(frozen=True)
class Study:
    """``run(request)`` writes everything into ``request.out``; it returns False where a signal stopped it."""

    run: Callable[[Request], bool]
    about: str
    trains: bool
