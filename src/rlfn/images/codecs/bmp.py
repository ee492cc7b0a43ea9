"""BMP, which is read where Pillow is installed. Source: Microsoft's documentation of bitmap storage."""

from __future__ import annotations

from rlfn.images.codecs.by_pillow import open_by
from rlfn.images.codecs.codec import Codec, Opened


def _recognise(head: bytes) -> bool:
    """Tell by the signature and the size of the header that follows: "BM" alone begins many a text."""
    return head[:2] == b"BM" and head[14:18] in {bytes((size, 0, 0, 0)) for size in (12, 16, 40, 52, 56, 64, 108, 124)}


def _open(data: bytes) -> Opened:
    return open_by("BMP", "BmpImagePlugin", "BmpImageFile", data)


BMP = Codec("bmp", "BMP", (".bmp", ".dib"), "image/bmp", _recognise, _open, module="PIL", extra="pillow")
