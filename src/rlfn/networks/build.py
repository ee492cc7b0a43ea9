"""The table of architectures: how a variant's fields become a torch module, and how a state dict is recognised.

A new architecture is its module's file, its fields in :mod:`rlfn.models.variants`, and one row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from rlfn.errors import OptionError
from rlfn.models.variants import SCALES, Variant
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


ARCHITECTURES: dict[str, Architecture] = {
    "rlfn": Architecture(rlfn.RLFN, rlfn.deduce, rlfn.MIN_SIDE, takes_grid=True, margin=lambda _: 36, stride=6),
    # RFDN's ESA has no grid, so its tiles are never exact, however wide the margin
    "rfdn": Architecture(rfdn.RFDN, rfdn.deduce, rfdn.MIN_SIDE, takes_grid=False, margin=lambda _: 60, stride=6),
    "edsr": Architecture(edsr.EDSR, edsr.deduce, edsr.MIN_SIDE, takes_grid=False, margin=edsr.radius, stride=1),
    "imdn": Architecture(imdn.IMDN, imdn.deduce, imdn.MIN_SIDE, takes_grid=False, margin=imdn.radius, stride=1),
    "span": Architecture(span.SPAN, span.deduce, span.MIN_SIDE, takes_grid=False, margin=span.radius, stride=1),
    "plain": Architecture(plain.Plain, plain.deduce, plain.MIN_SIDE, takes_grid=False, margin=plain.radius, stride=1),
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
