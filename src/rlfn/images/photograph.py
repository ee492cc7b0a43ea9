"""The example photograph, which calibrates and checks exports."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

_INSTALLED = Path(__file__).with_name("astronaut.png")
_CHECKOUT = Path(__file__).parents[3] / "examples" / "astronaut.png"

PHOTOGRAPH = _INSTALLED if _INSTALLED.is_file() else _CHECKOUT
"""NASA's portrait of Eileen Collins, public domain: beside this file in a wheel, in ``examples/`` in a checkout."""


@lru_cache(maxsize=1)
def photograph() -> NDArray[Any]:
    """Return :data:`PHOTOGRAPH` as (256, 256, 3) uint8.

    >>> photograph().shape
    (256, 256, 3)
    """
    from rlfn.images.files import read_picture

    pixels = read_picture(PHOTOGRAPH).pixels
    pixels.flags.writeable = False
    return pixels
