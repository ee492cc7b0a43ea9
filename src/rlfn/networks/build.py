"""The table of architectures: how to build a torch module from a variant's fields, and how to recognise a state dict.

A new architecture needs a file with its module, its fields and tile needs in :mod:`rlfn.models.variants`, and one row
here.
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
    """Deduce nothing from a state dict."""
    return


@dataclass(frozen=True)
class Architecture:
    """``build(fields, scale)`` creates the module. ``deduce(shapes)`` returns the (fields, scale) of a state dict, or
    None; it is :func:`undeduced` if they can be read from a file's metadata only.

    ``min_side`` is the smallest side in px. ``takes_grid`` says that the module's forward has a second argument, the
    :class:`~rlfn.networks.rlfn.GridTensors` of a tile. ``margin(fields)`` is the number of px around a tile's core
    with which it agrees with the whole picture; tile origins must be multiples of ``stride`` (see
    :mod:`rlfn.models.grid`).
    """

    build: Callable[[Any, int], nn.Module]
    deduce: Callable[[Mapping[str, tuple[int, ...]]], tuple[Any, int] | None]
    min_side: int
    takes_grid: bool
    margin: Callable[[Any], int]
    stride: int


def _row(name: str, network: Callable[[Any, int], nn.Module], deduce: Any, *, takes_grid: bool = False) -> Architecture:
    """Return an architecture with the tile needs of :data:`rlfn.models.variants.TILE_NEEDS`."""
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
    """Build the network of ``variant`` at ``scale``, randomly initialised (torch's default unless its module differs).

    Raises:
        OptionError: the scale is not one of :data:`rlfn.models.variants.SCALES`.
    """
    if scale not in SCALES:
        raise OptionError(
            f"A network cannot be built for scale {scale}. Allowed: whole numbers {SCALES.start} to {SCALES.stop - 1}."
        )
    return ARCHITECTURES[variant.architecture].build(variant.fields, scale)
