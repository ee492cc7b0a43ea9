"""What every engine is, and what those that run ONNX graphs share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import ModelError, RlfnError
from rlfn.inference.tiling import Span, Tile
from rlfn.models.grid import Grid, grid_matrices
from rlfn.models.traits import GRID_INPUTS, Traits
from rlfn.wording import listing, setting

Array = NDArray[np.float32]

CPU = "cpu"
"""The processor's name as a device."""


class Engine(Protocol):
    """A loaded network."""

    name: str
    precision: str
    traits: Traits
    takes_grid: bool

    def __call__(self, lr: Array, grid: Grid | None = None) -> Array:
        """Upscale ``lr`` (N, 3, H, W) float32 in [0, 255]."""
        ...


@runtime_checkable
class GpuEngine(Protocol):
    """An engine that computes on a GPU.

    Attributes:
        device: the GPU's name, or ``"cpu"`` after the GPU has failed.
        fallback_reason: why it is the processor, as a sentence; else empty.
    """

    device: str
    fallback_reason: str

    def largest_tile(self) -> int:
        """Return the largest side of a tile that the GPU can compute now."""
        ...


@runtime_checkable
class WholeEngine(Protocol):
    """An engine that is given a whole picture and cuts it up by itself."""

    def columns(self, width: int) -> list[Span]:
        """Return the columns into which an image ``width`` px wide is cut: each is computed by itself."""
        ...

    def column(self, pixels: NDArray[Any], levels: float, column: Span, width: int) -> Iterator[tuple[Tile, Array]]:
        """Yield the places and results (3, s h, s w), in levels of 255, of the parts of a column as they are ready.

        Args:
            pixels: (H, w, 3), the image from ``column.start`` to ``column.stop``.
            levels: what the image's numbers are multiplied with to be levels of 255.
            column: where the column lies; what is yielded is its core.
            width: of the image.
        """
        ...


def run_checked(engine: Engine, lr: Array, grid: Grid | None, model: str) -> Array:
    """Run an engine and check what comes out: a file from elsewhere may compute anything.

    Args:
        engine: the loaded network.
        lr: (N, 3, H, W) float32 in [0, 255].
        grid: where a tile lies in its image.
        model: its name, for messages.

    Returns:
        (N, 3, sH, sW) float32, finite.

    Raises:
        ModelError: the engine failed, or the result is of another shape or kind, or not finite.
    """
    try:
        sr = engine(lr, grid)
    except (RlfnError, MemoryError):
        raise
    except Exception as error:  # engines' errors share no base class
        raise ModelError(
            f"The engine {engine.name} could not run {model} ({_first_words(error)}). Try {setting('tile', 128)} if "
            "memory is short, or another model."
        ) from error
    scale = engine.traits.scale
    wanted = (lr.shape[0], 3, lr.shape[2] * scale, lr.shape[3] * scale)
    if not isinstance(sr, np.ndarray) or sr.dtype != np.float32 or sr.shape != wanted:
        found = f"{getattr(sr, 'shape', type(sr).__name__)} {getattr(sr, 'dtype', '')}".rstrip()
        raise ModelError(
            f"{model} returned {found} where {wanted} float32 is right. It is not a network that upscales x{scale}; "
            "use another model."
        )
    check_finite(sr, model)
    return sr


def check_finite(sr: Array, model: str) -> None:
    """Refuse a result with NaN or infinite samples.

    Raises:
        ModelError: there are some.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isfinite(sr.sum()):  # quicker than every sample by itself
            raise ModelError(f"{model} returned NaN or infinite values. Its weights are damaged; get it again.")


def takes_grid(inputs: list[str]) -> bool:
    """Tell from the names of a graph's inputs whether it takes a grid.

    Raises:
        ModelError: they are not those of a graph that rlfn wrote.
    """
    if inputs == ["lr"]:
        return False
    if sorted(inputs) == sorted(("lr", *GRID_INPUTS)):
        return True
    raise ModelError(
        f"The ONNX graph takes {listing(inputs)}. Networks here take lr, or {listing(('lr', *GRID_INPUTS))}; "
        "export the weights with 'rlfn export'."
    )


def feed(lr: Array, grid: Grid | None) -> dict[str, Array]:
    """Return what a graph is run with: ``lr`` (N, 3, H, W) and, for a tile, its matrices."""
    fed = {"lr": np.ascontiguousarray(lr, np.float32)}
    if grid is not None:
        fed.update(zip(GRID_INPUTS, grid_matrices(grid), strict=True))
    return fed


def not_onnx(error: Exception) -> ModelError:
    """Return the error for a model that an engine could not load."""
    return ModelError(
        f"The model cannot be loaded as an ONNX graph ({_first_words(error)}). "
        "The file is damaged or of another kind; get it again, or export the weights with 'rlfn export'."
    )


def _first_words(error: Exception) -> str:
    return " ".join(re.sub(r"Exception from \S+:\d+:", "", str(error)).split())[:200].rstrip(". ")
