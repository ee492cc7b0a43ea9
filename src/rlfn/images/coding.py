"""How a picture was coded, as far as its file states it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SUM = 3_688
"""The sum of the luminance table of ITU-T T.81, K.1, which libjpeg scales by the quality."""


@dataclass(frozen=True)
class CodingInfo:
    """How a picture was coded.

    Attributes:
        lossy: whether coding changed its pixels; None where unknown, as for an array.
        quality: of a JPEG, 1 to 100 as libjpeg counts, from its quantisation table.
        halved: its chroma is subsampled, as in 4:2:0 and 4:2:2.
    """

    lossy: bool | None = None
    quality: int | None = None
    halved: bool = False


UNKNOWN_CODING = CodingInfo()
"""Coding of a picture that does not come from a file."""


def table_quality(table: Sequence[int]) -> int:
    """Return the quality, 1 to 100, for which libjpeg's luminance table is as coarse in the mean as this one.

    Args:
        table: 64 steps of quantisation, in any order.
    """
    percent = 100 * sum(table) / _SUM
    quality = (200 - percent) / 2 if percent <= 100 else 5000 / percent
    return min(max(round(quality), 1), 100)
