"""ncnn, which the base install brings. Its 3x3 convolutions are Winograd's: fewer multiplications than direct ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import OptionError
from rlfn.inference.blockwise.nets import import_ncnn
from rlfn.inference.blockwise.picture import Blockwise, WholeImage
from rlfn.inference.engines.base import Array
from rlfn.inference.hardware import default_threads
from rlfn.inference.loading import tensors_of
from rlfn.inference.tiling import Span, Tile, spans
from rlfn.models.grid import Grid
from rlfn.models.source import ModelSource
from rlfn.models.traits import variant_traits
from rlfn.models.variants import VARIANTS, RLFNFields

_WIDEST = 1400
"""Pictures wider than this run in columns, so that memory does not grow with the width."""


def is_packaged_rlfn(model: ModelSource) -> bool:
    """Tell whether a model is a packaged one that this engine runs."""
    return model.packaged is not None and isinstance(VARIANTS[model.packaged.variant].fields, RLFNFields)


class NcnnEngine:
    """ncnn on the CPU, block by block over small tiles: fp32, for networks of the architecture ``rlfn``.

    The graphs are made here from the weights' tensors, so that ncnn never reads a file from elsewhere.
    """

    name = "ncnn"
    takes_grid = False

    def __init__(self, model: ModelSource, threads: int | None = None, precision: str = "fp32") -> None:
        import_ncnn()
        self.precision = precision
        variant, scale, tensors = tensors_of(model)
        if not isinstance(variant.fields, RLFNFields):
            raise OptionError(
                f"The engine ncnn runs RLFNs block by block, and {model.label} is a network of another kind, "
                f"{variant.architecture}. "
                "Use the engine onnxruntime, openvino or torch."
            )
        self.traits = variant_traits(variant, scale)
        self._threads = threads or default_threads()
        self._network = Blockwise(tensors, variant.fields, scale)

    def __call__(self, lr: Array, grid: Grid | None = None) -> Array:
        """Upscale whole pictures ``lr`` (N, 3, H, W) float32 in [0, 255]."""
        count, _, height, width = lr.shape
        scale = self.traits.scale
        sr = np.empty((count, 3, height * scale, width * scale), np.float32)
        for one, result in zip(lr, sr, strict=True):
            for tile, block in self.blocks(one.transpose(1, 2, 0), 1.0):
                rows, columns = tile.rows, tile.columns
                result[
                    :,
                    rows.core_start * scale : rows.core_stop * scale,
                    columns.core_start * scale : columns.core_stop * scale,
                ] = block
        return sr

    def blocks(
        self, image: NDArray[Any], levels: float, widest: int = _WIDEST
    ) -> Iterator[tuple[Tile, NDArray[np.float32]]]:
        """Yield the parts of a whole picture (H, W, 3), at least 15 px a side, as they are ready.

        Args:
            image: any numbers.
            levels: with which they are multiplied to be levels of 255.
            widest: pictures wider than this run in columns.

        Yields:
            each part's place, and its result (3, s h, s w) in levels of 255.
        """
        for column in self.columns(image.shape[1], widest):
            yield from self.column(image[:, column.start : column.stop], levels, column, image.shape[1])

    def columns(self, width: int, widest: int = _WIDEST) -> list[Span]:
        """See :class:`rlfn.inference.engines.base.WholeEngine`."""
        return spans(width, widest, self.traits.margin, self.traits.stride)

    def column(
        self, pixels: NDArray[Any], levels: float, column: Span, width: int
    ) -> Iterator[tuple[Tile, NDArray[np.float32]]]:
        """See :class:`rlfn.inference.engines.base.WholeEngine`."""
        scale = self.traits.scale
        picture = WholeImage(pixels, np.float32(levels), column.start, width)
        for area, block in self._network.run(picture, self._threads):
            left = max(area.left + column.start, column.core_start)
            right = min(area.right + column.start, column.core_stop)
            if left >= right:
                continue
            begin = (left - column.start - area.left) * scale
            part = block[:, :, begin : begin + (right - left) * scale]
            yield Tile(Span(area.top, area.bottom, area.top, area.bottom), Span(left, right, left, right)), part
