"""JPEG XL, where pyjpegxl is installed. Source: ISO/IEC 18181 (libjxl's header files)."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import numpy as np

from rlfn.errors import MissingExtraError, OutputError
from rlfn.images.codecs.boxes import boxes
from rlfn.images.codecs.codec import Codec, Content, Encoding, Opened, starts_with, tell_lost
from rlfn.images.convert import from_float
from rlfn.images.exif import PREFIX
from rlfn.images.picture import Metadata
from rlfn.images.stated import StatedColor

_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_KNOWN = {b"JXL ", b"ftyp", b"jxlc", b"jxlp", b"jxll", b"jxli", b"Exif", b"xml ", b"brob", b"jbrd"}
_NAMES = {b"jhgm": "further pictures (HDR gain map)", b"jumb": "content credentials (C2PA, JUMBF)"}
_MADE_OF_SRGB = b"cicp\0\0\0\0\1\r"
"""In the profile that libjxl makes of sRGB, which a file states with a few bits."""


def _library() -> Any:
    try:
        import pyjpegxl
    except ImportError:
        raise MissingExtraError("JPEG XL", "jxl") from None
    return pyjpegxl


def _open(data: bytes) -> Opened:
    library = _library()
    head = library.probe(data)

    def decode(warnings: list[str]) -> Content:
        tell_lost(_lost(data), warnings)
        found, pixels = library.decode_to_numpy(data)
        return _content(found, pixels, warnings)

    pages = 0 if _is_animated(data) else 1
    # decoding turns the picture as the file says; the orientation in EXIF does not count
    return Opened(head.width, head.height, decode, pages)


def _lost(data: bytes) -> list[str]:
    if not data.startswith(_CONTAINER):
        return []
    kinds = dict.fromkeys(kind for kind, _, _ in boxes(data) if kind not in _KNOWN)
    return [_NAMES.get(kind, f"JPEG XL box {kind.decode('latin-1').strip()}") for kind in kinds]


def _content(found: Any, pixels: Any, warnings: list[str]) -> Content:
    gray = pixels.shape[2] <= 2
    bits = 8 if pixels.dtype == np.uint8 else min(max(int(found.bits_per_sample), 9), 16)
    if pixels.dtype.kind == "f":
        pixels = from_float(pixels, warnings)
    if gray:
        pixels = pixels[:, :, [0, 0, 0, 1]] if pixels.shape[2] == 2 else pixels[:, :, 0]
    icc = bytes(found.icc) if found.icc else None
    plain = icc is not None and icc[4:8] == b"jxl " and _MADE_OF_SRGB in icc
    metadata = Metadata(
        None if plain else icc,
        _exif(bytes(found.exif)) if found.exif else None,
        bytes(found.xmp) if found.xmp else None,
        color=StatedColor((1, 13)) if plain and not gray else None,
    )
    return Content(np.ascontiguousarray(pixels), gray, bits, metadata)


def _exif(box: bytes) -> bytes | None:
    """Return the block in an Exif box, which starts with an offset that some writers leave out."""
    if box[:2] not in (b"II", b"MM"):
        box = box[4 + int.from_bytes(box[:4], "big") :]
    return box.removeprefix(PREFIX) or None


class _Bits:
    """Reads numbers from the low bits up, as JPEG XL has them."""

    def __init__(self, data: bytes) -> None:
        self._value, self._at = int.from_bytes(data, "little"), 0

    def take(self, count: int) -> int:
        value = self._value >> self._at & ((1 << count) - 1)
        self._at += count
        return value

    def size(self) -> None:
        """Pass over a picture's size."""
        small = self.take(1)
        for _ in range(2):
            self.take(5 if small else (9, 13, 18, 30)[self.take(2)])
            if not _ and self.take(3):  # the width follows from the height by a ratio
                return


def _is_animated(data: bytes) -> bool:
    """Tell whether a file has several frames, which stands in its first bits."""
    if data.startswith(_CONTAINER):
        part = next(((kind, a) for kind, a, _ in boxes(data) if kind in (b"jxlc", b"jxlp")), None)
        if part is None:
            return False
        data = data[part[1] + (4 if part[0] == b"jxlp" else 0) :]
    bits = _Bits(data[2:64])
    bits.size()
    if bits.take(1) or not bits.take(1):  # all as usual, or nothing unusual of this kind
        return False
    bits.take(3)
    if bits.take(1):
        bits.size()
    return not bits.take(1) and bool(bits.take(1))  # files with a preview are not looked into further


def _save(given: Encoding, stream: BinaryIO, warnings: list[str]) -> None:
    library = _library()
    metadata = given.metadata
    # the library writes a profile into a box of its own that no other reader knows, and calls the pixels sRGB
    pixels = given.image.numpy().reshape(given.image.height, given.image.width, given.image.bands)
    try:
        data = library.encode_from_numpy(
            np.ascontiguousarray(pixels),
            quality=_distance(given.quality or 100),  # the library hands it on as a distance
            # Effort 3 takes 0.4 s a megapixel; 5 takes 1.7 s for files that are no smaller.
            speed=library.EncoderSpeed.Falcon,
        )
    except (RuntimeError, ValueError) as error:
        raise OutputError(f"The picture cannot be encoded ({error}). Try another format.") from None
    stream.write(_with_boxes(bytes(data), metadata))


def _with_boxes(data: bytes, metadata: Metadata) -> bytes:
    """Add EXIF and XMP in plain boxes; the library would compress them, and not every reader unpacks that."""
    added = b""
    if metadata.exif is not None:
        added += _box(b"Exif", bytes(4) + metadata.exif)
    if metadata.xmp is not None:
        added += _box(b"xml ", metadata.xmp)
    if not added:
        return data
    if not data.startswith(_CONTAINER):
        return _CONTAINER + _box(b"ftyp", b"jxl \0\0\0\0jxl ") + added + _box(b"jxlc", data)
    at = max(end for kind, _, end in boxes(data) if kind in (b"JXL ", b"ftyp", b"jxll"))
    return data[:at] + added + data[at:]


def _box(kind: bytes, body: bytes) -> bytes:
    if len(body) + 8 < 2**32:
        return struct.pack(">I4s", 8 + len(body), kind) + body
    return struct.pack(">I4sQ", 1, kind, 16 + len(body)) + body


def _distance(quality: int) -> float:
    """Return libjxl's measure of loss for a quality of 1 to 100, as its own JxlEncoderDistanceFromQuality does."""
    if quality >= 30:
        return 0.1 + (100 - quality) * 0.09
    return 53 / 3000 * quality**2 - 23 / 20 * quality + 25


JXL = Codec(
    "jxl",
    "JPEG XL",
    (".jxl",),
    "image/jxl",
    starts_with(b"\xff\x0a", _CONTAINER),
    _open,
    _save,
    max_side=262_144,
    depths=(8, 16),
    lossy=True,
    default_quality=90,
    carries={
        "icc": "converted",
        "exif": "kept",
        "xmp": "kept",
        "resolution": "converted",
        "texts": "converted",
        "color": "converted",
    },
    module="pyjpegxl",
    extra="jxl",
)
