"""Weights blended at run time, without torch (deep network interpolation, arXiv 1811.10515).

Two models can be blended if one was trained from the weights of the other: same variant, scale and lineage.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlfn.errors import ModelError, OptionError
from rlfn.models.protobuf import DamagedMessage, wire_fields
from rlfn.models.source import ModelSource
from rlfn.wording import setting

# field numbers of onnx.proto3
_GRAPH, _NODE, _INITIALIZER, _TYPE, _NAME, _RAW, _FLOAT = 7, 1, 5, 2, 8, 9, 1


class Blend(ModelSource):
    """A model whose weights are interpolated between those of two models.

    Args:
        clean: the model at ``share`` 0.
        photo: the model at ``share`` 1.
        share: above 0 and below 1.
    """

    def __init__(self, clean: ModelSource, photo: ModelSource, share: float) -> None:
        if not 0.0 < share < 1.0:
            raise OptionError(f"A share of {share:g} was given. Allowed: above 0 and below 1.")
        self.ends = clean, photo
        self.share = share
        self._model = clean.packaged
        self._path = clean._path
        self.name = self.label = f"{photo.name} at {share:g}"

    @property
    def has_graph(self) -> bool:
        """Whether an ONNX graph exists without an export."""
        return all(end.has_graph for end in self.ends)

    @property
    def stamp(self) -> tuple[str, int, int]:
        """A key that identifies this model."""
        parts = [end.stamp for end in self.ends]
        return f"{self.share:g} of {parts[1]} in {parts[0]}", 0, 0

    def loss(self, precision: str) -> float | None:
        """Return the larger loss in dB of the two models compared with fp32; None if not measured."""
        if precision == "int8":
            return None
        losses = [end.loss(precision) for end in self.ends]
        return None if None in losses else max(loss for loss in losses if loss is not None)

    def check_precision(self, precision: str) -> None:
        """Refuse int8: rounded weights cannot be blended.

        Raises:
            OptionError: the precision is int8.
        """
        if precision == "int8":
            raise OptionError(
                f"Weights in int8 cannot be blended. Give {setting('restore', 'off')} or "
                f"{setting('restore', 1)}, or {setting('precision', 'fp32')}."
            )

    def graph(self, precision: str = "fp32") -> bytes:
        """Return the ONNX graph of the blended weights.

        Raises:
            OptionError: the precision is int8.
            ModelError: a file cannot be read or is damaged, or the two graphs are different networks.
        """
        self.check_precision(precision)
        clean, photo = (end.graph(precision) for end in self.ends)
        return blend_graphs(clean, photo, self.share)


class _Tensor(NamedTuple):
    """A float tensor of a graph: its name and the position of its data in the file."""

    name: bytes
    start: int
    end: int


def blend_graphs(clean: bytes, photo: bytes, share: float) -> bytes:
    """Return the graph ``clean`` with every float weight interpolated towards that of ``photo``.

    Args:
        clean, photo: ONNX files of the same network from the same exporter.
        share: 0 gives ``clean``, 1 the weights of ``photo``.

    Raises:
        ModelError: the two are different networks.
    """
    try:
        ends = _tensors(clean), _tensors(photo)
    except DamagedMessage:
        raise _different_networks() from None
    if [(one.name, one.end - one.start) for one in ends[0]] != [(one.name, one.end - one.start) for one in ends[1]]:
        raise _different_networks()
    if not ends[0] or _nodes(clean) != _nodes(photo):
        raise _different_networks()
    blended = bytearray(clean)
    for here, there in zip(*ends, strict=True):
        low, high = (
            np.frombuffer(data, "<f4", (one.end - one.start) // 4, one.start).astype(np.float64)
            for data, one in ((clean, here), (photo, there))
        )
        blended[here.start : here.end] = (low + share * (high - low)).astype("<f4").tobytes()
    return bytes(blended)


def _different_networks() -> ModelError:
    return ModelError("The two graphs are different networks, so their weights cannot be blended. Export both again.")


def _nodes(data: bytes) -> list[bytes]:
    """Return the serialised nodes of a graph."""
    graph = next(field for field in wire_fields(data, 0, len(data)) if field.number == _GRAPH)
    return [data[one.start : one.end] for one in wire_fields(data, graph.start, graph.end) if one.number == _NODE]


def _tensors(data: bytes) -> list[_Tensor]:
    """Locate the float weights in the bytes of an ONNX file."""
    found = []
    for graph in wire_fields(data, 0, len(data)):
        if graph.number != _GRAPH:
            continue
        for part in wire_fields(data, graph.start, graph.end):
            if part.number == _INITIALIZER and (tensor := _tensor(data, part.start, part.end)) is not None:
                found.append(tensor)
    return found


def _tensor(data: bytes, start: int, end: int) -> _Tensor | None:
    """Read one initializer; None if its type is not float32."""
    name, kind, raw = b"", 0, None
    for field in wire_fields(data, start, end):
        if field.number == _NAME:
            name = data[field.start : field.end]
        elif field.number == _TYPE:
            kind = field.value
        elif field.number == _RAW:
            raw = (field.start, field.end)
    if kind != _FLOAT:
        return None
    if raw is None:
        raise DamagedMessage("weights that are not raw data")
    return _Tensor(name, *raw)
