"""PNM (PBM, PGM, PPM), which is read where Pillow is installed. Source: Netpbm's format documentation."""

from __future__ import annotations

import re

import numpy as np

from rlfn.images.codecs.by_pillow import open_by
from rlfn.images.codecs.codec import Codec, Content, Opened
from rlfn.images.picture import Damaged, Metadata

_START = re.compile(rb"P[1-6](?=[\s#])")
_DEEP = re.compile(rb"P([56])" + rb"(?:\s+|#[^\n\r]*[\n\r])+(\d{1,9})" * 3 + rb"\s")


def _open(data: bytes) -> Opened:
    head = _DEEP.match(data)
    if head is not None and 255 < int(head[4]) <= 65_535:
        return _open_deep(data, head)
    return open_by("PNM", "PpmImagePlugin", "PpmImageFile", data)


def _open_deep(data: bytes, head: re.Match[bytes]) -> Opened:
    """Read 16-bit values, of which Pillow would keep 8."""
    channels = 3 if head[1] == b"6" else 1
    width, height, top = (int(head[i]) for i in (2, 3, 4))

    def decode(warnings: list[str]) -> Content:
        count = width * height * channels
        if (len(data) - head.end()) // 2 < count:
            raise Damaged("cut short")
        shape = (height, width, 3) if channels == 3 else (height, width)
        wide = np.minimum(np.frombuffer(data, ">u2", count, head.end()), top).astype(np.uint32).reshape(shape)
        return Content(((wide * 65_535 + top // 2) // top).astype(np.uint16), channels == 1, 16, Metadata())

    return Opened(width, height, decode)


PNM = Codec(
    "pnm",
    "PNM",
    (".pnm", ".ppm", ".pgm", ".pbm"),
    "image/x-portable-anymap",
    lambda head: _START.match(head) is not None,
    _open,
    module="PIL",
    extra="pillow",
)
