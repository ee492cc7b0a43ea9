"""Which engine 'auto' takes: a table of what was measured, by what the processor has and how large a picture is.

``python benchmarks/engines.py`` measures a row's figures and docs/guide/speed.md shows those that made this table;
``rlfn doctor --speed`` measures where it runs. Engines that are not installed, or that lack the model or the precision,
are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MeasuredOrder:
    """One row.

    Attributes:
        feature: what the processor has, as Linux names it; ``"x86"`` for each of that kind, empty for any.
        pixels: of the input, from which on the row holds.
        engines: the fastest first, the time of its start included.
    """

    feature: str
    pixels: int
    engines: tuple[str, ...]


TABLE = (
    MeasuredOrder("avx2", 150_000, ("ncnn", "openvino", "onnxruntime")),
    MeasuredOrder("avx2", 0, ("onnxruntime", "openvino", "ncnn")),
    MeasuredOrder("x86", 500_000, ("openvino", "onnxruntime", "ncnn")),
    MeasuredOrder("", 0, ("onnxruntime", "openvino", "ncnn")),
)
"""The first row that fits holds. Those of AVX2 were measured with AVX-512, too."""


def order(features: frozenset[str], pixels: int | None) -> tuple[str, ...]:
    """Return the engines from the best to the worst.

    Args:
        features: of the processor, as Linux names them.
        pixels: of the input picture; None for several pictures, or where that is not known.

    >>> order(frozenset({"avx2"}), 1280 * 720)
    ('ncnn', 'openvino', 'onnxruntime')
    """
    for row in TABLE:
        if (not row.feature or row.feature in features) and (pixels is None or pixels >= row.pixels):
            return row.engines
    raise AssertionError("the last row fits everything")
