"""How a TIFF page stores its pixels: what libvips must be spared, and what it hands through without converting it.

Sources: TIFF 6.0 (YCbCr, section 21), TIFF technical note 4 (ICCLab).
"""

from __future__ import annotations

import struct
from typing import Any

from rlfn.images import exif_tiff
from rlfn.images.codecs import vips
from rlfn.images.codecs.tiff_pages import LAB, Page, Pages
from rlfn.images.convert import icc_lab_of, lab_of
from rlfn.images.ifd import BYTE, LONG, RATIONAL, SHORT, DamagedExif
from rlfn.images.picture import Unreadable

_WHITE_IS_ZERO, _YCBCR, _ICC_LAB = 0, 6, 9
_KINDS = {_YCBCR: "YCbCr", LAB: "Lab", _ICC_LAB: "ICC Lab"}
_FOREIGN = {10: "ITU Lab", 32844: "LogL", 32845: "LogLuv"}
_JPEG = 7
_TILE = 322
_WEIGHTS, _RANGE = 529, 532
_BT601 = (0.299, 0.587, 0.114)
_FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
_DEFAULTS = {274: (range(1, 9), 1), 284: (range(1, 3), 1), 296: (range(1, 4), 2)}
"""Orientation, planes and unit: what they may be, and what they are taken for otherwise."""
_WRITTEN = {BYTE: "B", SHORT: "H", LONG: "I"}


def check(page: Page) -> None:
    """Refuse by name what cannot be decoded.

    Raises:
        Unreadable: pixels of a kind that libvips would call damaged, or show in wrong colours.
    """
    deepest = max(page.bits)
    if min(page.bits) != deepest:
        raise Unreadable("holds channels of different depths. Convert it to 8 or 16 bit first.")
    if deepest not in (1, 2, 4, 8, 16, 32):
        raise Unreadable(
            f"holds pixels of {deepest} bits a channel. Allowed: 1, 2, 4, 8 or 16 bits, or floating point of 16 or 32 "
            "bits. Convert it to 16 bit first."
        )
    if page.planes == 2 and page.samples > 1 and _TILE in page.records:
        raise Unreadable("holds tiles with separate planes, which rlfn has no decoder for. Save it with strips first.")
    if deepest < 8 and page.samples > 1 and page.compression != _JPEG:
        raise Unreadable(
            f"holds {page.samples} channels of {deepest} bits; allowed are 8 or more where there are several. "
            "Convert it to 8 bit first."
        )
    if (foreign := _FOREIGN.get(page.photometric)) is not None:
        raise Unreadable(f"holds {foreign} colours, which rlfn cannot convert. Convert it to RGB first.")
    kind = _KINDS.get(page.photometric)
    if page.photometric in (LAB, _ICC_LAB) and page.samples != 3:
        raise Unreadable(f"holds {kind} colours with further channels. Convert it to RGB first.")
    if page.photometric in (_YCBCR, _ICC_LAB) and page.compression != _JPEG and deepest != 8:
        raise Unreadable(f"holds {kind} colours of {deepest} bits a channel; allowed are 8. Convert it to RGB first.")


def repaired(found: Pages) -> bytes:
    """Return the file with the usual values in place of senseless ones that other programs take for the usual ones."""
    data: bytes | bytearray = found.data
    for page in (*found.pages, *found.below):
        for tag, (allowed, usual) in _DEFAULTS.items():
            record = page.records.get(tag)
            if record is None or record.kind not in _WRITTEN or record.amount != 1:
                continue
            if found.order.numbers(data, record, 1)[0] not in allowed:
                data = data if isinstance(data, bytearray) else bytearray(data)
                struct.pack_into(found.order.order + _WRITTEN[record.kind], data, record.field, usual)
    return bytes(data)


def load(found: Pages) -> Any:
    """Read the header of the page that is the picture; the image gives RGB, gray, CMYK or Lab."""
    data, page = repaired(found), found.page
    assert page is not None
    options: dict[str, Any] = {"page": found.number} if found.sub is None else {"subifd": found.sub}
    if page.photometric == LAB:
        relabelled = exif_tiff.tiff_lab_as_rgb(data, found.order, page.records)
        if relabelled and (image := lab_of(vips.load("tiff", relabelled, **options))) is not None:
            return image
    image = vips.load("tiff", data, **options)
    if page.photometric == _WHITE_IS_ZERO and image.format == "float":
        return _joined(1 - image[0], image)
    if page.photometric == _ICC_LAB:
        return icc_lab_of(image)
    if page.photometric == _YCBCR and page.compression != _JPEG:
        if image.bands == 4 and page.samples == 3:  # libvips has converted subsampled colours, and added alpha
            return image.extract_band(0, n=3)
        return _joined(_rgb(image.extract_band(0, n=3), found), image)
    return image


def _joined(colors: Any, image: Any) -> Any:
    """Put converted colours before the bands that follow them."""
    rest = int(image.bands - colors.bands)
    return colors.bandjoin(image.extract_band(colors.bands, n=rest)) if rest else colors


def _rgb(image: Any, found: Pages) -> Any:
    """Convert 8-bit YCbCr with the weights and the range that the page states."""
    red, green, blue = _fractions(found, _WEIGHTS, 3) or _BT601
    limits = _fractions(found, _RANGE, 6) or _FULL_RANGE
    spans = [(255 if i == 0 else 127, limits[2 * i], limits[2 * i + 1]) for i in range(3)]
    if green == 0 or any(low == high for _, low, high in spans):
        raise Unreadable("holds YCbCr colours with a senseless range or weights. Convert it to RGB first.")
    gains = [top / (high - low) for top, low, high in spans]
    centred = image.linear(gains, [-low * gain for (_, low, _), gain in zip(spans, gains, strict=True)])
    cr, cb = 2 - 2 * red, 2 - 2 * blue
    matrix = [[1, 0, cr], [1, -cb * blue / green, -cr * red / green], [1, cb, 0]]
    return (centred.recomb(matrix) + 0.5).floor().cast("uchar").copy(interpretation="srgb")


def _fractions(found: Pages, tag: int, count: int) -> tuple[float, ...] | None:
    """Return a tag's fractions; ``None`` where there are not that many."""
    page = found.page
    record = page.records.get(tag) if page is not None else None
    if record is None or record.kind != RATIONAL or record.amount != count:
        return None
    try:
        start, _ = found.order.value_at(found.data, record)
        parts = struct.unpack_from(f"{found.order.order}{2 * count}I", found.data, start)
        return tuple(above / below for above, below in zip(parts[::2], parts[1::2], strict=True))
    except (struct.error, ZeroDivisionError, DamagedExif):
        return None
