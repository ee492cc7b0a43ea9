"""Which page of a TIFF file is its picture, how that is stored, and what goes beside it.

Sources: TIFF 6.0, TIFF technical notes, DNG 1.7, IPTC and Photoshop tags as Adobe documents them.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from rlfn.images import exif as exif_block
from rlfn.images import exif_tiff, geo, photoshop
from rlfn.images.ifd import SIZES, DamagedExif, Layout, TagRecord, layout
from rlfn.images.picture import Metadata, Unreadable

_MAX_PAGES = 1000
_SUBFILE, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _SUBIFDS, _EXTRA = 254, 259, 262, 277, 330, 338
_BITS, _PLANES = 258, 284
_MAKE, _XMP, _IPTC, _PHOTOSHOP, _ICC, _LAYERS, _C2PA = 271, 700, 33723, 34377, 34675, 37724, 52545
_XRES, _YRES, _UNIT = 282, 283, 296
_CFA, _LINEAR_RAW = 32803, 34892
_DNG_VERSION = 50706
_COLOR_BANDS = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3, 9: 3}
LAB = 8

_COMPRESSIONS = {
    6: "old-style JPEG",
    9: "JBIG",
    10: "JBIG",
    34661: "JBIG",
    34712: "JPEG 2000",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34887: "LERC",
    34892: "lossy DNG JPEG",
    34925: "LZMA",
    34926: "Zstandard",
    34933: "PNG",
    34934: "JPEG XR",
    50000: "Zstandard",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
"""Compressions that the decoder does not support, by number."""

_STORAGE = exif_tiff.OF_PIXELS | {_XMP, _IPTC, _PHOTOSHOP, _ICC, _LAYERS, _C2PA}
"""Tags that say how the pixels are stored, or that are read elsewhere."""
_NAMES = {301: "TransferFunction", 318: "WhitePoint", 319: "PrimaryChromaticities", 333: "InkNames", 33628: "MetaMorph"}
_NAMES |= {50838: "ImageJ", 50839: "ImageJ", 33629: "MetaMorph", 34412: "Zeiss LSM", 50844: "RPC", 33550: "GeoTIFF"}


@dataclass
class Page:
    """One table of tags and what it says of the pixels."""

    at: int
    records: dict[int, TagRecord]
    reduced: bool
    photometric: int
    compression: int
    subs: tuple[int, ...]
    samples: int
    extra: tuple[int, ...]
    bits: tuple[int, ...]
    planes: int


@dataclass
class Pages:
    """What a file holds: its pages, those below the first, and the one to read, perhaps of the latter (``sub``)."""

    data: bytes
    order: Layout
    pages: list[Page] = field(default_factory=list)
    below: list[Page] = field(default_factory=list)
    number: int = 0
    sub: int | None = None
    page: Page | None = None

    @property
    def count(self) -> int:
        """How many pages are pictures of their own."""
        return max(sum(not page.reduced for page in self.pages), 1)

    def alpha(self, bands: int) -> tuple[int, int] | None:
        """Return how many bands are colours, and which is alpha, 0 for none; None where decoding makes other bands."""
        page = self.page
        if page is None or bands != page.samples:
            return None
        colors = max(page.samples - len(page.extra), 1)
        if not page.extra and page.photometric in _COLOR_BANDS:
            colors = min(_COLOR_BANDS[page.photometric], page.samples)
        alpha = next((colors + i for i, kind in enumerate(page.extra) if kind in (1, 2)), 0)
        return colors, alpha


def look(data: bytes) -> Pages:
    """Find the picture in a file.

    Raises:
        Unreadable: a camera raw file, or a compression that is not built in.
        DamagedExif: the tables cannot be followed.
    """
    order = layout(data)
    found = Pages(data, order)
    for at in order.chain(data, _MAX_PAGES):
        try:
            found.pages.append(_page(data, order, at))
        except DamagedExif:
            if not found.pages:
                raise
            break
    if not found.pages:
        raise DamagedExif("no pages")
    first = found.pages[0]
    for at in first.subs:
        with contextlib.suppress(DamagedExif):
            found.below.append(_page(data, order, at))
    if _DNG_VERSION in first.records or any(page.photometric in (_CFA, _LINEAR_RAW) for page in (first, *found.below)):
        kind = "DNG" if _DNG_VERSION in first.records else _maker(data, order, first)
        raise Unreadable(f"is a camera raw file ({kind}), which rlfn does not develop. Make it a TIFF or JPEG first.")
    found.page = first
    if first.reduced:
        _take_full(found)
    if (name := _COMPRESSIONS.get(found.page.compression)) is not None:
        raise Unreadable(
            f"is a TIFF file compressed as {name}, which rlfn has no decoder for. Save it with LZW or Deflate first."
        )
    return found


def _take_full(found: Pages) -> None:
    """Choose a picture that is not a reduced one."""
    for number, page in enumerate(found.pages):
        if not page.reduced:
            found.number, found.page = number, page
            return
    for number, page in enumerate(found.below):
        if not page.reduced:
            found.sub, found.page = number, page
            return


def _page(data: bytes, order: Layout, at: int) -> Page:
    records: dict[int, TagRecord] = {}
    for record in order.records(data, at):
        records.setdefault(record.tag, record)

    def number(tag: int, default: int) -> int:
        values = order.numbers(data, records[tag], 1) if tag in records else ()
        return values[0] if values else default

    def numbers(tag: int) -> tuple[int, ...]:
        return order.numbers(data, records[tag]) if tag in records else ()

    return Page(
        at,
        records,
        bool(number(_SUBFILE, 0) & 1),
        number(_PHOTOMETRIC, 1),
        number(_COMPRESSION, 1),
        numbers(_SUBIFDS),
        number(_SAMPLES, 1),
        numbers(_EXTRA),
        numbers(_BITS) or (1,),
        number(_PLANES, 1),
    )


def _maker(data: bytes, order: Layout, page: Page) -> str:
    if _MAKE not in page.records:
        return "raw"
    start, size = order.value_at(data, page.records[_MAKE])
    return data[start : start + min(size, 32)].partition(b"\0")[0].decode("latin-1").strip() or "raw"


def metadata(found: Pages, warnings: list[str], lost: list[str]) -> Metadata:
    """Return what the page says, save profile and what the codec reads; ``lost`` gets the names of the rest.

    What it does not say itself is taken from the first page, which speaks of the photograph in files that begin with a
    reduced one.
    """
    page, data, order = found.page, found.data, found.order
    assert page is not None
    exif = place = None
    try:
        exif = exif_tiff.from_tiff(data, order, page.at, None if page is found.pages[0] else found.pages[0].at)
        place = geo.from_tiff(data, order, page.at)
    except DamagedExif:
        warnings.append("EXIF of this TIFF file, if it has any, is lost: its tables are damaged")
    iptc = _bytes(found, _IPTC)
    if (resources := _bytes(found, _PHOTOSHOP)) is not None:
        inside, names = photoshop.iptc_of(resources)
        iptc = iptc or inside
        lost += names
    if _LAYERS in page.records:
        lost.append("Photoshop layers")
    if _C2PA in page.records:
        lost.append("content credentials (C2PA)")
    known = _STORAGE | exif_tiff.CARRIED | geo.TAGS
    odd = [tag for tag, record in page.records.items() if tag not in known and record.kind in SIZES]
    lost += [f"TIFF tag {_NAMES.get(tag, tag)}" for tag in sorted(odd)[:8]]
    if len(odd) > 8:
        lost.append(f"{len(odd) - 8} more TIFF tags")
    return Metadata(exif=exif, xmp=_bytes(found, _XMP), iptc=iptc, geo=place)


def resolution(found: Pages) -> tuple[tuple[float, float] | None, tuple[int, int] | None]:
    """Return pixels per millimetre, or where no unit is stated the shape of the pixels, if it is not square."""
    page = found.page
    assert page is not None
    try:
        block = exif_block.parse(found.data, found.order, page.at, frozenset((_XRES, _YRES, _UNIT)))
    except DamagedExif:
        return None, None
    stated = exif_block.stated_resolution(block)
    values = {entry.tag: entry.value for entry in block}
    if stated is None and values.get(_UNIT) == b"\1\0" and values.get(_XRES) != values.get(_YRES):
        return None, exif_block.ratio(block)
    return stated, None


def _bytes(found: Pages, tag: int) -> bytes | None:
    """Return the value of a tag of the picture, or else of the first page."""
    page = next((page for page in (found.page, found.pages[0]) if page is not None and tag in page.records), None)
    if page is None:
        return None
    try:
        start, size = found.order.value_at(found.data, page.records[tag])
    except DamagedExif:
        return None
    value = found.data[start : start + size]
    return value if 0 < size == len(value) <= 16 << 20 else None
