"""Waiting in tests, with limits that only a hang reaches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 240.0
"""Seconds after which a wait fails: a shared machine may stand still for a minute."""


def until(true: Callable[[], Any]) -> None:
    """Wait until a condition is true, or fail."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)
