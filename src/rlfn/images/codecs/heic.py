"""HEIC, which is read where pillow-heif is installed. Source: ISO/IEC 23008-12."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlfn.errors import MissingExtraError
from rlfn.images.codecs.boxes import ItemsFound, items
from rlfn.images.codecs.codec import Codec, Content, Opened, tell_lost
from rlfn.images.convert import full_range, unpremultiplied
from rlfn.images.exif import PREFIX
from rlfn.images.picture import Metadata

_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def brands(head: bytes) -> set[bytes]:
    """Return the brands in an ISO media file's first box; none for other files."""
    if head[4:8] != b"ftyp":
        return set()
    size = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))}


def _recognise(head: bytes) -> bool:
    return not _BRANDS.isdisjoint(brands(head))


def _open(data: bytes) -> Opened:
    try:
        import pillow_heif
    except ImportError:
        raise MissingExtraError("Reading HEIC pictures", "heic") from None
    heif = pillow_heif.open_heif(data, convert_hdr_to_8bit=False)
    width, height = heif.size
    found = items(data)
    return Opened(width, height, lambda warnings: _decode(heif, found, warnings), len(heif), coding=found.coding)


def _decode(heif: Any, found: ItemsFound, warnings: list[str]) -> Content:
    tell_lost(found.lost, warnings)
    bits = heif.info.get("bit_depth", 8)
    pixels = np.array(heif)  # a copy: pillow-heif keeps its own
    gray = heif.mode.startswith("L")
    if heif.mode.startswith("LA"):
        pixels = np.ascontiguousarray(pixels[..., [0, 0, 0, 1]])
    if pixels.dtype == np.uint16:
        pixels = full_range(pixels, bits)
    if found.premultiplied and pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = unpremultiplied(pixels)
    icc = heif.info.get("icc_profile") or None
    metadata = Metadata(
        icc,
        (heif.info.get("exif") or b"").removeprefix(PREFIX) or None,
        heif.info.get("xmp") or None,
        color=None if icc else found.color,
    )
    return Content(pixels, gray, bits, metadata)


HEIC = Codec(
    "heic",
    "HEIC",
    (".heic", ".heif", ".hif"),
    "image/heic",
    _recognise,
    _open,
    depths=(8, 10, 12),
    lossy=True,
    module="pillow_heif",
    extra="heic",
)
