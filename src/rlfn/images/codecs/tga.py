"""TGA, which is read where Pillow is installed. Source: Truevision TGA file format specification 2.0."""

from __future__ import annotations

from rlfn.images.codecs.by_pillow import open_by
from rlfn.images.codecs.codec import Codec, Opened

_ALPHA_BITS = 0x0F


def _recognise(head: bytes) -> bool:
    """Tell by the header's fields: the format has no signature at its start."""
    if len(head) < 18:
        return False
    has_map, kind, depth, flags = head[1], head[2], head[16], head[17]
    wanted = {1: (1, 9), 0: (2, 3, 10, 11)}.get(has_map, ())
    mapped = has_map == 1 and head[7] in (15, 16, 24, 32)
    unmapped = has_map == 0 and head[3:8] == bytes(5)
    sized = head[12:14] != b"\0\0" and head[14:16] != b"\0\0"
    return kind in wanted and (mapped or unmapped) and sized and depth in (8, 15, 16, 24, 32) and flags < 0x40


def _open(data: bytes) -> Opened:
    return open_by("TGA", "TgaImagePlugin", "TgaImageFile", data, opaque=not data[17] & _ALPHA_BITS)


TGA = Codec(
    "tga", "TGA", (".tga", ".vda", ".icb", ".vst"), "image/x-tga", _recognise, _open, module="PIL", extra="pillow"
)
