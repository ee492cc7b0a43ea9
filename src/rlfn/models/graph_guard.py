"""Refuses a third-party ``.onnx`` file that does more than compute, before any engine loads it.

Engines trust their files: OpenVINO takes an address in this process's memory from a tensor's "external data", and both
engines read other files, run infinite loops and load custom operators. So the bytes are parsed strictly here: a field
that is not in :data:`_MESSAGES`, or an operator that is not in :data:`OPERATORS`, is refused.

The format is protobuf, the messages are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

import numpy as np

from rlfn.errors import ModelError
from rlfn.models.protobuf import BYTES, FIXED32, FIXED64, VARINT, DamagedMessage, varint, wire_fields

OPERATORS = frozenset(
    name
    for line in (
        "Abs Add AveragePool BatchNormalization Cast Clip Concat Constant Conv ConvTranspose DepthToSpace",
        "DequantizeLinear Div Dropout Elu Erf Exp Flatten Floor Gather Gelu Gemm GlobalAveragePool GlobalMaxPool",
        "HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Log MatMul Max MaxPool Min",
        "Mish Mul Neg PRelu Pad Pow QuantizeLinear Range Reciprocal ReduceMax ReduceMean ReduceSum Relu Reshape Resize",
        "Round Selu Shape Sigmoid Slice Softmax Softplus SpaceToDepth Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze",
    )
    for name in line.split()
)
"""The allowed operators of ONNX's own domain: each computes its outputs from its inputs, without control flow."""

_MOST_BYTES = 1 << 30
_MOST_FIELDS = 1_000_000
_MOST_RANK = 8
_MOST_NUMBER = 1 << 16
"""Largest number in an attribute: a larger padding or stride only consumes memory."""

_MOST_TEXT = 4096
_MOST_FACTS = 64

_TEXT, _NUMBER, _FLOAT, _NUMBERS, _FLOATS, _RAW = "text", "number", "float", "numbers", "floats", "raw"

_WIRES = {
    _NUMBER: (VARINT,),
    _FLOAT: (FIXED32,),
    _NUMBERS: (VARINT, BYTES),
    _FLOATS: (FIXED32, FIXED64, BYTES),
}
"""Wire type of each kind of field; all others are bytes."""

_MESSAGES: dict[str, dict[int, tuple[str, str]]] = {
    "model": {
        1: ("ir_version", _NUMBER),
        2: ("producer_name", _TEXT),
        3: ("producer_version", _TEXT),
        4: ("domain", _TEXT),
        5: ("model_version", _NUMBER),
        6: ("doc_string", _RAW),
        7: ("graph", "graph"),
        8: ("opset_import", "opset"),
        14: ("metadata_props", "fact"),
    },
    "opset": {1: ("domain", _TEXT), 2: ("version", _NUMBER)},
    "fact": {1: ("key", _TEXT), 2: ("value", _TEXT)},
    "graph": {
        1: ("node", "node"),
        2: ("name", _TEXT),
        5: ("initializer", "tensor"),
        10: ("doc_string", _RAW),
        11: ("input", "value"),
        12: ("output", "value"),
        13: ("value_info", "value"),
        16: ("metadata_props", "note"),
    },
    "note": {1: ("key", _RAW), 2: ("value", _RAW)},
    "node": {
        1: ("input", _TEXT),
        2: ("output", _TEXT),
        3: ("name", _TEXT),
        4: ("op_type", _TEXT),
        5: ("attribute", "attribute"),
        6: ("doc_string", _RAW),
        7: ("domain", _TEXT),
        9: ("metadata_props", "note"),
    },
    "attribute": {
        1: ("name", _TEXT),
        2: ("f", _FLOAT),
        3: ("i", _NUMBER),
        4: ("s", _TEXT),
        5: ("t", "tensor"),
        7: ("floats", _FLOATS),
        8: ("ints", _NUMBERS),
        9: ("strings", _TEXT),
        13: ("doc_string", _RAW),
        20: ("type", _NUMBER),
    },
    "tensor": {
        1: ("dims", _NUMBERS),
        2: ("data_type", _NUMBER),
        4: ("float_data", _FLOATS),
        5: ("int32_data", _NUMBERS),
        7: ("int64_data", _NUMBERS),
        8: ("name", _TEXT),
        9: ("raw_data", _RAW),
        10: ("double_data", _FLOATS),
        12: ("doc_string", _RAW),
        14: ("data_location", _NUMBER),
        16: ("metadata_props", "note"),
    },
    "value": {1: ("name", _TEXT), 2: ("type", "type"), 3: ("doc_string", _RAW), 4: ("metadata_props", "note")},
    "type": {1: ("tensor_type", "tensor type"), 6: ("denotation", _TEXT)},
    "tensor type": {1: ("elem_type", _NUMBER), 2: ("shape", "shape")},
    "shape": {1: ("dim", "side")},
    "side": {1: ("dim_value", _NUMBER), 2: ("dim_param", _TEXT), 3: ("denotation", _TEXT)},
}
"""The allowed fields of each message: number -> (name, kind)."""

_REFUSED = {
    ("model", 20): "training information",
    ("model", 25): "functions of its own",
    ("graph", 14): "quantisation notes",
    ("graph", 15): "sparse tensors",
    ("attribute", 6): "a graph inside an operator (a loop or a branch)",
    ("attribute", 11): "a graph inside an operator (a loop or a branch)",
    ("attribute", 21): "functions of its own",
    ("attribute", 22): "sparse tensors",
    ("attribute", 23): "sparse tensors",
    ("tensor", 6): "tensors of text",
    ("tensor", 13): "external data, which would be read from other files or from memory",
}
"""Fields of onnx.proto that are refused with a message of their own."""

_REPEATED = {
    *("opset_import", "metadata_props", "node", "initializer", "input", "output", "value_info", "attribute"),
    *("floats", "ints", "strings", "dims", "float_data", "int32_data", "int64_data", "double_data", "dim"),
}
"""Repeated fields. For others protobuf uses the last occurrence or merges them, so the checks here would not hold."""

_SAMPLE_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}
"""Bytes of a sample by data type: float, uint8, int8, int32, int64, bool, float16, double, bfloat16."""


_STORES = {"float_data": (1,), "int32_data": (2, 3, 6, 9, 10, 16), "int64_data": (7,), "double_data": (11,)}
"""The data types that each of a tensor's fields can hold, other than "raw_data", which can hold all."""


class _Field(NamedTuple):
    name: str
    kind: str
    number: int
    content: memoryview


class _Refused(Exception):  # noqa: N818
    """A problem with a graph; the message continues a sentence that begins with "it"."""


def check_graph(data: bytes, label: str) -> None:
    """Refuse an ONNX file that is not a plain graph of :data:`OPERATORS` with its weights inside.

    Args:
        data: the whole file.
        label: its name in messages.

    Raises:
        ModelError: the file is damaged, of another kind, too large, or has content that is not allowed.
    """
    try:
        if len(data) > _MOST_BYTES:
            raise _Refused(f"has {len(data):,} bytes; allowed are {_MOST_BYTES:,}")
        _Walk().message("model", memoryview(data))
    except (_Refused, DamagedMessage) as error:
        raise _untrusted(label, error) from None


def graph_metadata(data: bytes, label: str) -> dict[str, str]:
    """Return the metadata of an ONNX file. Its graph is not read: :func:`check_graph` still has to check it.

    Args:
        data: the whole file.
        label: its name in messages.

    Raises:
        ModelError: the file is damaged or of another kind.
    """
    walk, found = _Walk(), {}
    try:
        for entry in walk.fields("model", memoryview(data)):
            if entry.name == "metadata_props":
                texts = walk.fields("fact", entry.content)
                fact = {field.name: bytes(field.content).decode("utf-8", "replace") for field in texts}
                found[fact.get("key", "")] = fact.get("value", "")
    except (_Refused, DamagedMessage) as error:
        raise _untrusted(label, error) from None
    return found


def _untrusted(label: str, error: _Refused | DamagedMessage) -> ModelError:
    problem = error if isinstance(error, _Refused) else "is cut short or damaged"
    return ModelError(
        f"{label} is not an ONNX graph that can be trusted: it {problem}. Allowed is a single graph of "
        "common operators with its weights inside; get the file again, or export the weights with 'rlfn export'."
    )


class _Walk:
    """One traversal of a file, with a limit on the number of fields."""

    def __init__(self) -> None:
        self._left = _MOST_FIELDS

    def message(self, kind: str, data: memoryview) -> None:
        """Check a message and those inside it."""
        found = list(self.fields(kind, data))
        names = [field.name for field in found]
        twice = [name for name in set(names) - _REPEATED if names.count(name) > 1]
        if twice:
            raise _Refused(f"is damaged: {kind}.{twice[0]} is there more than once")
        for field in found:
            if field.kind in _MESSAGES:
                self.message(field.kind, field.content)
        check = {"model": _check_model, "node": _check_node, "attribute": _check_attribute, "tensor": _check_tensor}
        if kind in check:
            check[kind](found)

    def fields(self, message: str, data: memoryview) -> Iterator[_Field]:
        """Yield a message's fields; refuse unknown ones and those with the wrong wire type."""
        allowed = _MESSAGES[message]
        for number, wire, value, start, end in wire_fields(data, 0, len(data)):
            self._left -= 1
            if self._left < 0:
                raise _Refused(f"has more than {_MOST_FIELDS:,} parts")
            if number not in allowed:
                what = _REFUSED.get((message, number), f"parts that no ONNX file has ({message} {number})")
                raise _Refused(f"holds {what}")
            name, kind = allowed[number]
            if wire not in _WIRES.get(kind, (BYTES,)):
                raise _Refused(f"is damaged: {message}.{name} is written as another kind")
            if kind == _TEXT and end - start > _MOST_TEXT:
                raise _Refused(f"has a text of {end - start:,} bytes ({message}.{name}); allowed are {_MOST_TEXT:,}")
            yield _Field(name, kind, value, data[start:end])


def _check_model(fields: list[_Field]) -> None:
    if not any(field.name == "graph" for field in fields):
        raise _Refused("holds no graph")
    facts = sum(field.name == "metadata_props" for field in fields)
    if facts > _MOST_FACTS:
        raise _Refused(f"has {facts} entries of metadata; allowed are {_MOST_FACTS}")


def _check_node(fields: list[_Field]) -> None:
    domain = next((_shown(field) for field in fields if field.name == "domain"), "")
    if domain not in ("", "ai.onnx"):
        raise _Refused(f"uses operators of the domain '{domain}'")
    kind = next((_shown(field) for field in fields if field.name == "op_type"), "")
    if kind not in OPERATORS:
        raise _Refused(f"uses the operator '{kind}', which is not allowed")


def _check_attribute(fields: list[_Field]) -> None:
    for field in fields:
        if field.name in ("i", "ints"):
            wrong = next((number for number in _numbers(field) if abs(number) > _MOST_NUMBER), None)
            if wrong is not None:
                raise _Refused(f"gives an operator the number {wrong}; allowed are {_MOST_NUMBER:,}")


def _check_tensor(fields: list[_Field]) -> None:
    """Check that a tensor's data is inside the file, and that its size matches the shape."""
    kind = next((field.number for field in fields if field.name == "data_type"), 0)
    if kind not in _SAMPLE_BYTES:
        raise _Refused(f"has a tensor of the data type {kind}, which is not allowed")
    sides: list[int] = []
    stored: dict[str, int] = {}
    for field in fields:
        if field.name == "dims":
            sides += _numbers(field)
        elif field.name == "data_location" and field.number != 0:
            raise _Refused(f"holds {_REFUSED['tensor', 13]}")
        elif field.name == "raw_data":
            stored[field.name], rest = divmod(len(field.content), _SAMPLE_BYTES[kind])
            if rest:
                raise _Refused("has a tensor with a part of a sample")
        elif field.name in _STORES:
            if kind not in _STORES[field.name]:
                raise _Refused(f"has a tensor of the data type {kind} in {field.name}")
            stored[field.name] = stored.get(field.name, 0) + _count(field)
    if len(sides) > _MOST_RANK or any(side < 0 for side in sides):
        raise _Refused(f"has a tensor of the shape {tuple(sides[: _MOST_RANK + 1])}, which is not allowed")
    if len(stored) > 1 or sum(stored.values()) != prod(sides):
        raise _Refused(f"has a tensor of the shape {tuple(sides)} with {sum(stored.values())} samples")


def _shown(field: _Field) -> str:
    return bytes(field.content[:60]).decode("ascii", "backslashreplace")


def _count(field: _Field) -> int:
    """Return the number of values in a field, which holds one or is packed."""
    if field.kind == _FLOATS:
        return len(field.content) // (8 if field.name == "double_data" else 4)
    return int(np.count_nonzero(np.frombuffer(field.content, np.uint8) < 128))  # the last byte of each


def _numbers(field: _Field) -> list[int]:
    """Return the values of a short field; negative ones are in two's complement."""
    if len(field.content) > _MOST_TEXT:
        raise _Refused(f"has {len(field.content):,} bytes of {field.name}; allowed are {_MOST_TEXT:,}")
    found, at = [], 0
    while at < len(field.content):
        value, at = varint(field.content, at, len(field.content))
        found.append(value - (1 << 64) if value >= 1 << 63 else value)
    return found
