"""PNG. Source: PNG, third edition."""

from __future__ import annotations

import io
from typing import BinaryIO

from rlfn.images import exif as exif_block
from rlfn.images.codecs import vips
from rlfn.images.codecs.codec import Codec, Content, Encoding, Opened, starts_with, tell_aspect, tell_lost
from rlfn.images.codecs.png_chunks import SIGNATURE, chunks_of, iter_chunks, walk
from rlfn.images.coding import CodingInfo
from rlfn.images.picture import Metadata


def _open(data: bytes) -> Opened:
    image = vips.load("png", data)
    chunks = walk(data)

    def decode(warnings: list[str]) -> Content:
        tell_lost(chunks.lost, warnings)
        tell_aspect(chunks.aspect, warnings)
        icc = vips.field(image, "icc-profile-data") or chunks.icc
        found = Metadata(icc, chunks.exif, chunks.xmp, chunks.resolution, chunks.iptc, tuple(chunks.texts))
        # the standard ranks cICP before iCCP, and that before the others
        return vips.content(image, found, warnings, color=None if icc and chunks.codes is None else chunks.color)

    # libvips knows no EXIF behind the pixels, nor that of raw profiles
    turn = exif_block.orientation(chunks.exif) if chunks.exif else 1
    return Opened(image.width, image.height, decode, chunks.pages, turn, CodingInfo(lossy=False))


def _save(given: Encoding, stream: BinaryIO, warnings: list[str]) -> None:
    # benchmarks/png_level.py, 8 bit: level 2 with the one filter "up" takes 0.037 s a megapixel for 1.45 MB. libvips'
    # default (6, "none") takes 0.087 s for 2.43 MB; the smallest (6, "all") 0.158 s for 1.32 MB.
    added = chunks_of(given.metadata)
    stated = given.metadata.resolution is not None
    vips.save("png", given, stream, splice=lambda head: _spliced(head, added, stated), compression=2, filter="up")


def _spliced(head: bytes, added: bytes, resolution: bool) -> bytes | None:
    """Put chunks before the first IDAT, and take away a resolution that nobody stated."""
    kept = bytearray(SIGNATURE)
    for name, start, size in iter_chunks(io.BytesIO(head)):
        whole = head[start - 8 : start + size + 4]
        if name == b"IDAT":
            return bytes(kept) + added + head[start - 8 :]
        if len(whole) < 12 + size:
            return None
        if name != b"pHYs" or resolution:
            kept += whole
    return None


PNG = Codec(
    "png",
    "PNG",
    (".png",),
    "image/png",
    starts_with(SIGNATURE),
    _open,
    _save,
    in_browsers=True,
    max_side=1_000_000,
    depths=(8, 16),
    carries={
        "icc": "kept",
        "exif": "kept",
        "xmp": "kept",
        "iptc": "kept",
        "resolution": "kept",
        "texts": "kept",
        "color": "kept",
        "hdr": "kept",
    },
)
