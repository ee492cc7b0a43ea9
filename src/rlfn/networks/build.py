"""The table of architectures: how a variant's fields become a torch module, and how a state dict is recognised.

A new architecture is its module's file, its fields and tile needs in :mod:`rlfn.models.variants`, and one row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from rlfn.errors import OptionError
from rlfn.models.variants import SCALES, TILE_NEEDS, Variant
from rlfn.networks import edsr, imdn, plain, rfdn, rlfn, span


def undeduced(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Read nothing off a state dict."""
    return


@dataclass(frozen=True)
class Architecture:
    """``build(fields, scale)`` makes the module; ``deduce(shapes)`` reads (fields, scale) off a state dict, or None;
    it is :func:`undeduced` where only a file's metadata tells them.

    ``min_side`` is the smallest side in px. ``takes_grid`` says that the module's forward has a second argument, the
    :class:`~rlfn.networks.rlfn.GridTensors` of a tile. ``margin(fields)`` is how many px around a tile's core make it
    agree with the whole picture, and ``stride`` what a tile's origin must be a multiple of (see
    :mod:`rlfn.models.grid`).
    """

    build: Callable[[Any, int], nn.Module]
    deduce: Callable[[Mapping[str, tuple[int, ...]]], tuple[Any, int] | None]
    min_side: int
    takes_grid: bool
    margin: Callable[[Any], int]
    stride: int


def _row(name: str, network: Callable[[Any, int], nn.Module], deduce: Any, *, takes_grid: bool = False) -> Architecture:
    """Return an architecture whose tiles need what :data:`rlfn.models.variants.TILE_NEEDS` says."""
    needs = TILE_NEEDS[name]
    return Architecture(network, deduce, needs.min_side, takes_grid, needs.margin, needs.stride)


ARCHITECTURES: dict[str, Architecture] = {
    "rlfn": _row("rlfn", rlfn.RLFN, rlfn.deduce, takes_grid=True),
    "rfdn": _row("rfdn", rfdn.RFDN, rfdn.deduce),
    "edsr": _row("edsr", edsr.EDSR, edsr.deduce),
    "imdn": _row("imdn", imdn.IMDN, imdn.deduce),
    "span": _row("span", span.SPAN, span.deduce),
    "plain": _row("plain", plain.Plain, plain.deduce),
}
"""Every architecture by the name that :class:`rlfn.models.variants.Variant` uses."""


def build(variant: Variant, scale: int) -> nn.Module:
    """Make the network of ``variant`` at ``scale``, with random initial weights (torch's, unless its file says else).

    Raises:
        OptionError: the scale is not one of :data:`rlfn.models.variants.SCALES`.
    """
    if scale not in SCALES:
        raise OptionError(
            f"A network cannot be built for scale {scale}. Allowed: whole numbers {SCALES.start} to {SCALES.stop - 1}."
        )
    return ARCHITECTURES[variant.architecture].build(variant.fields, scale)
