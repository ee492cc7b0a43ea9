"""The table of networks: a name, an architecture, and that architecture's own fields.

A new width or depth is one row here. Plain data, standard library only; the torch modules are in :mod:`rlfn.networks`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rlfn.errors import unknown

SCALES = range(1, 9)
"""Upscaling factors for which a network can be built."""


@dataclass(frozen=True)
class RLFNFields:
    """Sizes of an RLFN (arXiv 2205.07514, section 3): ``blocks`` RLFBs of ``channels``, with ``mid`` inside a block."""

    blocks: int
    channels: int
    mid: int
    esa_channels: int = 16


Fields = RLFNFields


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    name: str
    architecture: str
    fields: Fields
    about: str


_ROWS = (
    Variant("rlfn", "rlfn", RLFNFields(blocks=6, channels=52, mid=52), "the paper's network"),
    Variant("rlfn-s", "rlfn", RLFNFields(blocks=6, channels=48, mid=48), "the paper's smaller network"),
    Variant(
        "rlfn-ntire",
        "rlfn",
        RLFNFields(blocks=4, channels=46, mid=48),
        "the network that won NTIRE 2022's runtime track, pruned",
    ),
)

VARIANTS: dict[str, Variant] = {row.name: row for row in _ROWS}
"""Every network by name."""


def get_variant(name: str) -> Variant:
    """Return the row called ``name``.

    Raises:
        OptionError: there is no such row; the message lists those that exist.
    """
    try:
        return VARIANTS[name]
    except KeyError:
        raise unknown("variant", name, VARIANTS) from None
