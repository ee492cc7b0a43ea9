"""Reads messages of protobuf, the encoding of ONNX files, without a schema; the base install has no package for it.

Source: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""The wire types; groups, which ONNX does not use, are taken as damage."""

MessageBytes = bytes | memoryview


class DamagedMessage(ValueError):  # noqa: N818 - callers raise errors of their own
    """The message is cut short or damaged."""


class WireField(NamedTuple):
    """A field of a message: its number and wire type, the value of a varint (else 0), and where its content lies."""

    number: int
    wire: int
    value: int
    start: int
    end: int


def wire_fields(data: MessageBytes, at: int, end: int) -> Iterator[WireField]:
    """Go through the fields of the message that lies from ``at`` to ``end``.

    Raises:
        DamagedMessage: a field is of no known wire type, or runs past the end.
    """
    while at < end:
        tag, start = varint(data, at, end)
        number, wire, value = tag >> 3, tag & 7, 0
        if wire == VARINT:
            value, at = varint(data, start, end)
        elif wire == BYTES:
            size, start = varint(data, start, end)
            at = start + size
        elif wire in (FIXED64, FIXED32):
            at = start + (8 if wire == FIXED64 else 4)
        else:
            raise DamagedMessage(f"wire type {wire}")
        if at > end:
            raise DamagedMessage("cut short")
        yield WireField(number, wire, value, start, at)


def varint(data: MessageBytes, at: int, end: int) -> tuple[int, int]:
    """Read a number (base 128, least significant group first, at most 64 bits); return it and the position after it.

    Raises:
        DamagedMessage: it does not end, or is too large.
    """
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            if value >= 1 << 64:
                break
            return value, at
    raise DamagedMessage("a number does not end, or is too large")
