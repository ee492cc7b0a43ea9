"""The reader of protobuf's encoding: the examples of its own documentation, and damage."""

from __future__ import annotations

import pytest

from rlfn.models.protobuf import BYTES, FIXED32, FIXED64, VARINT, DamagedMessage, WireField, varint, wire_fields


@pytest.mark.parametrize(("data", "number"), [(b"\x01", 1), (b"\x96\x01", 150), (b"\xff" * 9 + b"\x01", (1 << 64) - 1)])
def test_numbers(data: bytes, number: int) -> None:
    assert varint(data + b"more", 0, len(data)) == (number, len(data))


@pytest.mark.parametrize("data", [b"", b"\x96", b"\xff" * 9 + b"\x02", b"\x80" * 10 + b"\0"])
def test_damaged_numbers(data: bytes) -> None:
    with pytest.raises(DamagedMessage):
        varint(data, 0, len(data))


@pytest.mark.parametrize("wrap", [bytes, memoryview])
def test_fields(wrap: type) -> None:
    data = wrap(b"\x08\x96\x01" + b"\x12\x07testing" + b"\x1d\0\0\0\0" + b"\x21" + bytes(8) + b"behind")
    assert list(wire_fields(data, 0, 26)) == [
        WireField(1, VARINT, 150, 1, 3),
        WireField(2, BYTES, 0, 5, 12),
        WireField(3, FIXED32, 0, 13, 17),
        WireField(4, FIXED64, 0, 18, 26),
    ]


@pytest.mark.parametrize("data", [b"\x12\x07testin", b"\x1d\0\0\0", b"\x0b", b"\x0f", b"\x08"])
def test_damaged_fields(data: bytes) -> None:
    with pytest.raises(DamagedMessage):
        list(wire_fields(data, 0, len(data)))
