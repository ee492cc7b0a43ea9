"""The table of networks: a name, an architecture, and the architecture's sizes.

A new width or depth needs one row here. Plain data, standard library only; the torch modules are in
:mod:`rlfn.networks`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rlfn.errors import OptionError, unknown
from rlfn.wording import listing

SCALES = range(1, 9)
"""Supported upscaling factors."""


@dataclass(frozen=True)
class RLFNFields:
    """Sizes of an RLFN (arXiv 2205.07514, section 3): ``blocks`` RLFBs of ``channels``, with ``mid`` inside a block."""

    blocks: int
    channels: int
    mid: int
    esa_channels: int = 16


@dataclass(frozen=True)
class RFDNFields:
    """Sizes of an RFDN (arXiv 2009.11551) or of the steps from it to RLFN: see :mod:`rlfn.networks.rfdn`.

    ``body`` is ``rfdb``, ``srb`` or ``plain``; ``esa_convs`` is 3 or 1.
    """

    blocks: int
    channels: int
    esa_channels: int
    body: str = "rfdb"
    esa_convs: int = 3


@dataclass(frozen=True)
class EDSRFields:
    """Sizes of an EDSR without residual scaling (arXiv 1707.02921)."""

    blocks: int
    channels: int


@dataclass(frozen=True)
class IMDNFields:
    """Sizes of an IMDN as in the AIM 2019 challenge (arXiv 1909.11856)."""

    blocks: int
    channels: int


@dataclass(frozen=True)
class SPANFields:
    """Sizes of a SPAN (arXiv 2311.12770)."""

    blocks: int
    channels: int


@dataclass(frozen=True)
class PlainFields:
    """Sizes of a chain of 3x3 convolutions: ``layers`` of ``channels`` between the first and the last one.

    ``expand`` 0 is the chain itself. Above 0 it is its training form, whose inner convolutions are sums of branches
    (:mod:`rlfn.networks.plain`), one of them ``expand`` times as wide; it fuses into the chain.
    """

    layers: int
    channels: int
    expand: int = 0


GRID_STRIDE = 6
"""ESA's pooled map has one sample per 6 px: a stride-2 convolution and a pool of stride 3."""

SIZES: dict[str, type] = {
    "rlfn": RLFNFields,
    "rfdn": RFDNFields,
    "edsr": EDSRFields,
    "imdn": IMDNFields,
    "span": SPANFields,
    "plain": PlainFields,
}
"""The fields of every architecture."""

_CHOICES: dict[str, tuple[object, ...]] = {"body": ("rfdb", "srb", "plain"), "esa_convs": (3, 1)}
"""Allowed values of fields that are not sizes."""

Fields = RLFNFields | RFDNFields | EDSRFields | IMDNFields | SPANFields | PlainFields


@dataclass(frozen=True)
class TileNeeds:
    """Requirements on the tiles of an architecture's networks.

    Attributes:
        margin: returns, for an architecture's fields, the number of px around a tile's core with which the tile agrees
            with the whole picture.
        min_side: the smallest height and width in px.
        stride: tile origins must be multiples of it (:mod:`rlfn.models.grid`).
    """

    margin: Callable[[Any], int]
    min_side: int = 1
    stride: int = 1


TILE_NEEDS: dict[str, TileNeeds] = {
    # ESA's stride-2 convolution and its pool of 7 need 15 px
    "rlfn": TileNeeds(lambda fields: 36, 15, GRID_STRIDE),
    # RFDN's ESA has no grid, so its tiles are never exact, however wide the margin
    "rfdn": TileNeeds(lambda fields: 60, 15, GRID_STRIDE),
    # the margin of the others is the receptive field of one output pixel
    "edsr": TileNeeds(lambda fields: 2 * fields.blocks + 4),  # 2 around the blocks, 2 in each, 2 px to upsample
    "imdn": TileNeeds(lambda fields: 4 * fields.blocks + 3),  # 3 around the blocks, 4 in each
    "span": TileNeeds(lambda fields: 3 * fields.blocks + 3),  # 3 around the blocks, 3 in each
    "plain": TileNeeds(lambda fields: fields.layers + 2),  # one for each 3x3 convolution
}
"""Tile requirements by architecture."""


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    name: str
    architecture: str
    fields: Fields
    about: str


def _plain(name: str, fields: PlainFields, about: str) -> tuple[Variant, Variant]:
    """Return the row of a chain and that of its training form, whose name has the suffix ``-train``."""
    wide = replace(fields, expand=2)
    return Variant(name, "plain", fields, about), Variant(f"{name}-train", "plain", wide, f"{name} with branches")


_ROWS = (
    Variant("rlfn", "rlfn", RLFNFields(blocks=6, channels=52, mid=52), "the paper's network"),
    Variant("rlfn-s", "rlfn", RLFNFields(blocks=6, channels=48, mid=48), "the paper's smaller network"),
    Variant(
        "rlfn-ntire",
        "rlfn",
        RLFNFields(blocks=4, channels=46, mid=48),
        "the network that won NTIRE 2022's runtime track, pruned",
    ),
    *_plain("rlfn-xs", PlainFields(layers=8, channels=32), "the fast tier: plain convolutions, exact tiles"),
    *_plain("rlfn-xxs", PlainFields(layers=8, channels=16), "the real-time tier, for video and browsers"),
    Variant("rlfn-ntire-48", "rlfn", RLFNFields(blocks=4, channels=48, mid=48), "rlfn-ntire before pruning"),
    Variant("rfdn", "rfdn", RFDNFields(6, 50, 12), "RFDN with ESA, from which RLFN was made"),
    Variant("rfdn-48", "rfdn", RFDNFields(6, 48, 12), "the same, 48 channels: the ablation's first row"),
    Variant("rfdn-aim", "rfdn", RFDNFields(4, 50, 12), "RFDN as it won the AIM 2020 challenge"),
    Variant("rfdn-r48", "rfdn", RFDNFields(6, 48, 12, "srb"), "rfdn-48 without its distillation branches"),
    Variant("rfdn-r52", "rfdn", RFDNFields(6, 52, 16, "srb"), "the same, 52 channels, 16 in ESA"),
    Variant("rfdn-rlfb", "rfdn", RFDNFields(6, 52, 16, "plain"), "the same with RLFN's blocks"),
    Variant(
        "rfdn-rlfb-esa1", "rfdn", RFDNFields(6, 52, 16, "plain", 1), "the same with one convolution in ESA's group"
    ),
    Variant("edsr-baseline", "edsr", EDSRFields(16, 64), "the plain residual network, small"),
    # miniatures keep the structure and the ratios of widths: for studies, not for real use
    Variant("rlfn-mini", "rlfn", RLFNFields(2, 8, 8, 4), "a miniature of rlfn-s, for studies"),
    Variant("rfdb-mini", "rfdn", RFDNFields(2, 12, 3), "a miniature of rfdn-48"),
    Variant("rfdbr48-mini", "rfdn", RFDNFields(2, 12, 3, "srb"), "a miniature of rfdn-r48"),
    Variant("rfdbr52-mini", "rfdn", RFDNFields(2, 13, 4, "srb"), "a miniature of rfdn-r52"),
    Variant("rlfb-mini", "rfdn", RFDNFields(2, 13, 4, "plain"), "a miniature of rfdn-rlfb"),
    Variant("rlfb-esa1-mini", "rfdn", RFDNFields(2, 13, 4, "plain", 1), "a miniature of rfdn-rlfb-esa1"),
    Variant("edsr-mini", "edsr", EDSRFields(2, 8), "a miniature of edsr-baseline"),
    Variant("imdn-aim", "imdn", IMDNFields(8, 64), "IMDN as it won the AIM 2019 challenge"),
    Variant("span", "span", SPANFields(6, 48), "SPAN as published"),
    Variant("span-ch28", "span", SPANFields(6, 28), "a SPAN of 28 channels"),
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


def variant_of(architecture: str, fields: Fields) -> Variant:
    """Return the row with these fields, or a variant named after its architecture if there is none."""
    rows = (row for row in VARIANTS.values() if (row.architecture, row.fields) == (architecture, fields))
    return next(rows, Variant(f"{architecture}-custom", architecture, fields, "a network of custom sizes"))


def variant_from_sizes(architecture: object, sizes: Mapping[str, Any]) -> Variant:
    """Return the variant of an architecture with the given sizes.

    >>> variant_from_sizes("rlfn", {"blocks": 6, "channels": 44, "mid": 48}).fields
    RLFNFields(blocks=6, channels=44, mid=48, esa_channels=16)

    Raises:
        OptionError: there is no such architecture or field, or a field is missing or has an invalid value.
    """
    if architecture not in SIZES:
        raise unknown("architecture", architecture, SIZES)
    kind = SIZES[str(architecture)]
    allowed = {field.name: field for field in dataclasses.fields(kind)}
    for name in sizes:
        if name not in allowed:
            raise unknown(f"size of the architecture {architecture}", name, allowed)
    missing = [name for name, field in allowed.items() if field.default is dataclasses.MISSING and name not in sizes]
    if missing:
        raise OptionError(f"The architecture {architecture} also needs: {listing(missing)}.")
    for name, value in sizes.items():
        least = 0 if allowed[name].default == 0 else 1
        choices = _CHOICES.get(name)
        if choices is not None and value not in choices:
            raise OptionError(f"{name} = {value!r} is not possible. Allowed: {listing(choices)}.")
        if choices is None and (type(value) is not int or value < least):
            raise OptionError(f"{name} = {value!r} is not possible. Allowed: whole numbers from {least} up.")
    return variant_of(str(architecture), kind(**sizes))


def in_recipes(variant: Variant) -> str:
    """Return the form of a variant in a recipe: its name, or the table of its sizes.

    >>> in_recipes(variant_from_sizes("edsr", {"blocks": 4, "channels": 8}))
    '{ architecture = "edsr", blocks = 4, channels = 8 }'
    """
    if VARIANTS.get(variant.name) == variant:
        return f'"{variant.name}"'
    sizes = {"architecture": variant.architecture, **dataclasses.asdict(variant.fields)}
    pairs = (f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}" for name, value in sizes.items())
    return f"{{ {', '.join(pairs)} }}"
