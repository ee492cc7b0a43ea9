"""How the threads of the commands that train behave."""

from __future__ import annotations

import os


def keep_from_spinning() -> None:
    """Let OpenMP's threads wait without spinning for long; call it before torch is loaded.

    They spin for a millisecond after every operation. On a machine that others use too, they spin away the time of the
    thread they wait for, and a step takes up to three times as long.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
