"""Standard streams that carry only what rlfn prints: remarks of native libraries go nowhere."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper


def keep_natives_quiet() -> None:
    """Move ``sys.stdout`` and ``sys.stderr`` to descriptors of their own, and what writes to 1 and 2 to nowhere.

    Libraries in C print warnings there on damaged pictures and models; in a picture on standard output they would be
    damage themselves.
    """
    for descriptor in (1, 2):
        _fill(descriptor)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        try:
            if not isinstance(stream, TextIOWrapper) or stream.fileno() != descriptor:
                continue
            stream.flush()
            own = os.dup(descriptor)
        except (OSError, ValueError):
            continue
        moved = open(  # noqa: SIM115
            own, "w", encoding=stream.encoding, errors=stream.errors, buffering=1 if stream.line_buffering else -1
        )
        setattr(sys, name, moved)
        setattr(sys, f"__{name}__", moved)
        _to_nowhere(descriptor)


def _fill(descriptor: int) -> None:
    """Take a descriptor that is closed, or the next file that is opened would get it, and natives' remarks in it."""
    try:
        os.fstat(descriptor)
    except OSError:
        _to_nowhere(descriptor)


def _to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
