"""The traits of a network that the runtime needs, stored in the metadata of every ONNX file that rlfn writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from rlfn.errors import ModelError
from rlfn.models.variants import SCALES, TILE_NEEDS, Variant

GRID_INPUTS = ("rows", "columns", "pad_rows", "pad_columns")
"""The inputs that a graph for tiles has in addition to ``lr``."""

_WHOLE = {"scale": SCALES, "min_side": range(1, 1025), "margin": range(1025), "stride": range(1, 1025)}
"""Allowed ranges of the integers in a file. No network needs more, and time and memory grow with them."""

_LONGEST = 20

PLAIN_ESA_MARGIN = 60
"""Margin in px for tiles of a single-input graph with ESA; such tiles are never exact."""


@dataclass(frozen=True)
class Traits:
    """A network's scale and requirements.

    Attributes:
        variant: its name.
        scale: the upscaling factor.
        min_side: the smallest height and width in px.
        margin: px around a tile's core with which the tile agrees with the whole picture, given the grid if it has one.
        stride: tile origins must be multiples of it.
        value_range: the network takes and returns [0, value_range].
        exact: whether tiles with that margin compute the same as the whole picture. A network with ESA is exact only in
            a graph with grid inputs; in a single-input graph, or if its ESA does not support a grid, tiles differ.
    """

    variant: str
    scale: int
    min_side: int
    margin: int
    stride: int
    value_range: float = 255.0
    exact: bool = True

    @property
    def local(self) -> bool:
        """Whether an output pixel depends only on ``margin`` px around it, so that tiles can start anywhere."""
        return self.exact and self.stride == 1

    def to_metadata(self) -> dict[str, str]:
        """Return the traits as strings."""
        return {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in asdict(self).items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Traits:
        """Parse the traits.

        Raises:
            ModelError: one is missing, not a number or out of range, or the value range is not [0, 255].
        """
        for name in ("variant", "value_range", *_WHOLE):
            if name not in metadata:
                raise _bad_metadata(f"{name} is missing")
            if name != "variant" and len(metadata[name]) > _LONGEST:
                raise _bad_metadata(f"{name} is not a number")
        try:
            traits = cls(
                variant=metadata["variant"],
                scale=int(metadata["scale"]),
                min_side=int(metadata["min_side"]),
                margin=int(metadata["margin"]),
                stride=int(metadata["stride"]),
                value_range=float(metadata["value_range"]),
                exact=metadata.get("exact", "True") == "True",
            )
        except ValueError as error:
            raise _bad_metadata(str(error)) from None
        for name, allowed in _WHOLE.items():
            if getattr(traits, name) not in allowed:
                given = getattr(traits, name)
                raise _bad_metadata(f"{name} is {given}; allowed are {allowed[0]} to {allowed[-1]}")
        if traits.value_range != 255.0:
            raise ModelError(f"The ONNX file takes [0, {traits.value_range:g}]. Networks here take [0, 255].")
        return traits


def variant_traits(variant: Variant, scale: int) -> Traits:
    """Return the traits of a network whose tiles are exact."""
    needs = TILE_NEEDS[variant.architecture]
    return Traits(variant.name, scale, needs.min_side, needs.margin(variant.fields), needs.stride)


def _bad_metadata(what: str) -> ModelError:
    return ModelError(
        f"The ONNX file lacks metadata of its network that the runtime needs ({what}). "
        "Files that 'rlfn export' writes for any size, and that do not take 8-bit pictures, have it; export the "
        "weights again with it."
    )
