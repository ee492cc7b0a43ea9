"""A graph of ncnn layers in ncnn's two file formats: the layers as text, the weights as bytes.

They are created from arrays of known shape, so no third-party file reaches ncnn, which validates little. The format is
documented by ncnn (docs/developer-guide/param-and-model-file-structure.md): one line per layer with its type, name,
inputs, outputs and numbered parameters. A blob can have only one reader, so blobs with several readers are split into
``name.0``, ``name.1`` and so on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[np.float32]

_MAGIC = 7767517
_FP32 = b"\0\0\0\0"
"""Tag before a convolution's weights: raw fp32 follows."""

ACTIVATIONS = {"relu": "9=1", "leaky": "9=2 -23310=1,0.05", "sigmoid": "9=4"}
"""Activations that can be fused into a convolution."""

_OPERATIONS = {"add": 0, "mul": 2}


@dataclass
class Graph:
    """A graph that is built layer by layer. Every method adds one and returns the name of its output.

    Attributes:
        inputs: names of the inputs.
        outputs: names of the outputs.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    _layers: list[tuple[str, str, tuple[str, ...], tuple[str, ...], str]] = field(default_factory=list)
    _weights: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Add the inputs."""
        for name in self.inputs:
            self._layers.append(("Input", name, (), (name,), ""))

    def conv(
        self, name: str, source: str, weight: Tensor, bias: Tensor, *, stride: int = 1, pad: int = 0, end: str = ""
    ) -> str:
        """Convolve with ``weight`` (out, in, k, k) and ``bias`` (out,), then apply a row of :data:`ACTIVATIONS`."""
        parameters = f"0={weight.shape[0]} 1={weight.shape[2]} 3={stride} 4={pad} 5=1 6={weight.size}"
        self._weights += [_FP32, weight.astype("<f4").tobytes(), bias.astype("<f4").tobytes()]
        return self._add("Convolution", name, (source,), f"{parameters} {ACTIVATIONS.get(end, '')}".rstrip())

    def combine(self, name: str, operation: str, first: str, second: str) -> str:
        """Add or multiply (``add``, ``mul``) two blobs; the second has the same number of channels or one."""
        return self._add("BinaryOp", name, (first, second), f"0={_OPERATIONS[operation]}")

    def crop(self, name: str, source: str, border: int) -> str:
        """Crop ``border`` px from each side."""
        return self._add(
            "Crop", name, (source,), f"-23309=2,{border},{border} -23310=2,-{border},-{border} -23311=2,1,2"
        )

    def max_pool(self, name: str, source: str, size: int, stride: int) -> str:
        """Max-pool without padding."""
        return self._add("Pooling", name, (source,), f"0=0 1={size} 2={stride} 5=1")

    def repeat_border(self, name: str, source: str) -> str:
        """Pad by one px on each side with the nearest value."""
        return self._add("Padding", name, (source,), "0=1 1=1 2=1 3=1 4=1")

    def stretch(self, name: str, source: str, rows: str, columns: str, channels: int) -> str:
        """Return ``rows`` (H, h) times each of ``channels`` planes (h, w) times the transpose of ``columns`` (W, w).

        ncnn multiplies only two matrices at a time, so the planes are stacked, multiplied along one axis and
        transposed, twice.
        """
        for axis, matrix in (("columns", columns), ("rows", rows)):
            flat = self._add("Reshape", f"{name}_{axis}_flat", (source,), "0=0 1=-1")
            product = self._add("Gemm", f"{name}_{axis}_product", (flat, matrix), "3=1")
            planes = self._add("Reshape", f"{name}_{axis}_planes", (product,), f"0=0 1=-1 2={channels}")
            source = self._add("Permute", f"{name}_{axis}_turned" if axis == "columns" else name, (planes,), "0=1")
        return source

    def pixel_shuffle(self, name: str, source: str, scale: int) -> str:
        """Rearrange (C s s, h, w) to (C, s h, s w)."""
        return self._add("PixelShuffle", name, (source,), f"0={scale}")

    def text(self) -> str:
        """Return the layers in ncnn's text format."""
        readers = Counter(source for _, _, sources, _, _ in self._layers for source in sources)
        handed: Counter[str] = Counter()
        lines, blobs = [], 0
        for kind, name, sources, results, parameters in self._layers:
            read = []
            for source in sources:
                read.append(f"{source}.{handed[source]}" if readers[source] > 1 else source)
                handed[source] += 1
            lines.append(" ".join((kind, name, f"{len(read)} {len(results)}", *read, *results, parameters)).rstrip())
            blobs += len(results)
            for result in results:
                count = readers[result]
                if count > 1:
                    parts = [f"{result}.{number}" for number in range(count)]
                    lines.append(" ".join((f"Split split_{result} 1 {count}", result, *parts)))
                    blobs += count
        return f"{_MAGIC}\n{len(lines)} {blobs}\n" + "\n".join(lines) + "\n"

    def weights(self) -> bytes:
        """Return the weights in the order of the layers."""
        return b"".join(self._weights)

    def _add(self, kind: str, name: str, sources: tuple[str, ...], parameters: str) -> str:
        self._layers.append((kind, name, sources, (name,), parameters))
        return name
