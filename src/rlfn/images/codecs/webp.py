"""WebP. Source: the WebP container specification."""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

from rlfn.images.codecs import vips
from rlfn.images.codecs.codec import Codec, Content, Encoding, Opened, tell_lost
from rlfn.images.codecs.webp_chunks import FIRST, FRAME_HEADER, chunk, iter_chunks
from rlfn.images.coding import CodingInfo

_KNOWN = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "))


def _open(data: bytes) -> Opened:
    pages = 0
    lost: dict[str, None] = {}
    first = FIRST
    for name, _, stop in iter_chunks(io.BytesIO(data)):
        if name == b"ANMF":
            pages += 1
            if pages == 1:
                first = stop
        elif name not in _KNOWN:
            text = name.decode("latin-1").strip()
            lost["content credentials (C2PA)" if text == "C2PA" else f"WebP chunk {text}"] = None
    lossy = is_lossy(data)
    if pages > 1:
        data = _first_frame(data, first)
    image = vips.load("webp", data)

    def decode(warnings: list[str]) -> Content:
        tell_lost(lost, warnings)
        return vips.content(image, vips.metadata(image), warnings)

    return Opened(image.width, image.height, decode, max(pages, 1), vips.orientation(image), CodingInfo(lossy))


def is_lossy(data: bytes) -> bool:
    """Tell whether a file's picture, or the first frame of its animation, is coded with loss."""
    stream = io.BytesIO(data)
    for name, at, _ in iter_chunks(stream):
        if name == b"ANMF":
            name = next((name for name, _, _ in iter_chunks(stream, at + FRAME_HEADER) if name != b"ALPH"), b"")
        if name in (b"VP8 ", b"VP8L", b""):
            return name == b"VP8 "
    return False


def _first_frame(data: bytes, first: int) -> bytes:
    """Return the file with its first frame alone: the decoder's time grows with the square of their number."""
    behind = [data[at:end] for name, at, end in iter_chunks(io.BytesIO(data), first) if name in (b"EXIF", b"XMP ")]
    body = data[FIRST:first] + b"".join(behind)
    return data[:4] + struct.pack("<I", 4 + len(body)) + data[8:12] + body


def _save(given: Encoding, stream: BinaryIO, warnings: list[str]) -> None:
    # "exact" keeps the colours under transparent pixels.
    save_with_blocks(given, stream, (given.image.width, given.image.height), smart_subsample=True, exact=True)


def save_with_blocks(given: Encoding, stream: BinaryIO, size: tuple[int, int], **options: Any) -> None:
    """Encode a picture or an animation with its profile, EXIF and XMP.

    Args:
        given: what to encode.
        stream: can be read and sought in.
        size: (width, height) of the picture, or of one frame.
        options: of libvips' saver.
    """
    exif = given.metadata.exif
    splice = None if exif is None else lambda head: _spliced(head, exif, *size)
    vips.save("webp", given, stream, keep=("icc", "xmp"), splice=splice, **options)


def _spliced(head: bytes, exif: bytes, width: int, height: int) -> bytes | None:
    """Add an EXIF chunk, and the header that announces it."""
    if len(head) < 12 or len(head) < (whole := 8 + int(struct.unpack_from("<I", head, 4)[0])):
        return None
    body = bytearray(head[FIRST:whole])
    if body[:4] == b"VP8X":
        body[8] |= 0x08
    else:
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        body[:0] = chunk(b"VP8X", b"\x08\0\0\0" + sides)
    places = [at for name, at, _ in iter_chunks(io.BytesIO(body), 0) if name == b"XMP "]
    at = places[0] if places else len(body)  # EXIF goes before XMP
    body[at:at] = chunk(b"EXIF", exif)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + bytes(body)


WEBP = Codec(
    "webp",
    "WebP",
    (".webp",),
    "image/webp",
    lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    _open,
    _save,
    in_browsers=True,
    max_side=16_383,
    lossy=True,
    gray=False,
    default_quality=95,
    carries={
        "icc": "kept",
        "exif": "kept",
        "xmp": "kept",
        "resolution": "converted",
        "texts": "converted",
        "color": "converted",
        "hdr": "converted",
    },
)
