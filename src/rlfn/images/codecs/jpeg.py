"""JPEG. Sources: JFIF 1.02, Exif 2.32."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from rlfn.images import photoshop, xmp
from rlfn.images.codecs import vips
from rlfn.images.codecs.codec import Codec, Content, Encoding, Opened, starts_with, tell_aspect, tell_lost
from rlfn.images.codecs.jpeg_scan import EXTENDED_XMP, XMP, Structure, walk
from rlfn.images.exif import PREFIX
from rlfn.images.picture import Damaged, Metadata, Text, Unreadable

_SEGMENT_MAX = 65_533
_XMP_MAX = _SEGMENT_MAX - len(XMP)
"""Bytes of XMP that fit into a segment, beside its 29-byte name."""
_EXTENDED_PART = 65_400
_RESOURCES_PART = 65_500
_CUT_SHORT = 0.1
"""A picture that lacks more than this share of itself is refused."""
_HAS_EXTENDED = re.compile(rb"HasExtendedXMP\s*(?:=\s*[\"']|>)([0-9A-Fa-f]{32})")
_END = b"\xff\xd9"


def _open(data: bytes) -> Opened:
    structure = walk(data)
    if structure.frame == 0xF7 or structure.precision not in (0, 8):
        raise _not_built_in(structure)
    if structure.too_little(len(data)):
        raise Damaged("cut short: most of its data are missing")
    ended = structure.end is not None or structure.gave_up
    whole = data if ended else data + _END
    try:
        image = vips.load("jpeg", whole)
    except vips.Error:
        if structure.foreign():
            raise _not_built_in(structure) from None
        raise

    def decode(warnings: list[str]) -> Content:
        return _decode(image, whole, structure, ended, warnings)

    return Opened(image.width, image.height, decode, 1, vips.orientation(image), structure.coding())


def _not_built_in(structure: Structure) -> Unreadable:
    return Unreadable(f"is a {structure.foreign()}, which rlfn has no decoder for. Convert it to PNG or TIFF first.")


def _decode(image: Any, data: bytes, structure: Structure, ended: bool, warnings: list[str]) -> Content:
    found = vips.metadata(image)
    iptc, lost = photoshop.iptc_of(structure.resources)
    packet = found.xmp
    if packet is not None and (guid := _HAS_EXTENDED.search(packet)):
        extended = structure.extended_xmp(guid[1])
        joined = xmp.merged(packet, extended) if extended else None
        if joined is None:
            lost.append("extended XMP, which is damaged,")
        packet = joined or packet
    tell_lost([*structure.lost, *lost], warnings)
    tell_aspect(structure.aspect, warnings)
    found = replace(
        found,
        xmp=packet,
        iptc=iptc,
        resolution=(image.xres, image.yres) if image.get_typeof("resolution-unit") and not structure.aspect else None,
        texts=tuple(Text("Comment", _text(comment)) for comment in structure.comments if comment.strip(b"\0 ")),
    )
    try:
        content = vips.content(image, found, warnings)
    except vips.Error:
        if structure.foreign():
            raise _not_built_in(structure) from None
        raise
    remarks = vips.remarks()
    premature = b"premature end" in remarks
    missing = structure.missing_coefficients()
    if premature and missing < _CUT_SHORT:
        missing = max(missing, _missing_rows(data))
    if missing > _CUT_SHORT:
        raise Damaged(f"cut short: {missing:.0%} of the picture is missing")
    if missing > 0:
        warnings.append(f"cut short: {max(missing, 0.001):.1%} of the JPEG data are missing")
    elif b"Corrupt JPEG data" in remarks:
        warnings.append("damaged JPEG data: part of the picture may be wrong")
    elif not ended:
        warnings.append("the JPEG file lacks its end marker; the picture is whole")
    return content


def _missing_rows(data: bytes) -> float:
    """Return the share of rows below the last that the data reach.

    Where the data end too early, the decoder goes on with whatever follows. So the rows that change with other bytes
    before the end marker are those that are missing.
    """
    vips.FORK_GUARD.enter()
    at = data.rfind(_END)
    other = np.random.default_rng(0).integers(1, 255, 4096, np.uint8).tobytes()
    one, two = (vips.load("jpeg", data[:at] + more + data[at:], fail_on="none") for more in (b"", other))
    _, rows = (one - two).abs().project()
    changed = np.flatnonzero(rows.numpy().reshape(one.height, -1).any(axis=1))
    return 1 - int(changed[0]) / int(one.height) if changed.size else 0.0


def _text(data: bytes) -> str:
    try:
        return data.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return data.rstrip(b"\0").decode("latin-1")


def _save(given: Encoding, stream: BinaryIO, warnings: list[str]) -> None:
    metadata = given.metadata
    kept = tuple(text for text in metadata.texts if len(_comment(text)) <= _SEGMENT_MAX)
    if len(kept) < len(metadata.texts):
        warnings.append(f"{len(metadata.texts) - len(kept)} texts dropped: a JPEG comment holds {_SEGMENT_MAX:,} bytes")
    head = _segments(replace(metadata, texts=kept))
    # Full colour resolution. Optimal tables would make files a few per cent smaller, but hold the whole picture as
    # coefficients: twice the memory of its pixels once more.
    vips.save("jpeg", given, stream, splice=lambda data: _spliced(data, head), subsample_mode="off")


def _spliced(head: bytes, segments: bytes) -> bytes | None:
    return None if len(head) < 2 else head[:2] + segments + head[2:]


def _segments(metadata: Metadata) -> bytes:
    """Return what comes first in a file: JFIF (resolution), EXIF, XMP, IPTC, comments."""
    unit, across, down = 0, 1, 1
    if metadata.resolution is not None:
        per_inch = [value * 25.4 for value in metadata.resolution]
        per_cm = [value * 10 for value in metadata.resolution]
        unit, values = min(((1, per_inch), (2, per_cm)), key=lambda pair: sum(abs(v - round(v)) for v in pair[1]))
        across, down = (min(max(round(value), 1), 65_535) for value in values)
    added = _segment(0xE0, struct.pack(">5sHBHHBB", b"JFIF\0", 0x0102, unit, across, down, 0, 0))
    if metadata.exif is not None:
        added += _segment(0xE1, PREFIX + metadata.exif)
    if metadata.xmp is not None and len(metadata.xmp) <= _XMP_MAX:
        added += _segment(0xE1, XMP + metadata.xmp)
    elif metadata.xmp is not None:
        short, guid, extended = xmp.split(metadata.xmp)
        added += _segment(0xE1, XMP + short)
        for at in range(0, len(extended), _EXTENDED_PART):
            place = guid + struct.pack(">II", len(extended), at)
            added += _segment(0xE1, EXTENDED_XMP + place + extended[at : at + _EXTENDED_PART])
    if metadata.iptc is not None:
        resources = photoshop.with_iptc(metadata.iptc)
        for at in range(0, len(resources), _RESOURCES_PART):
            added += _segment(0xED, photoshop.NAME + resources[at : at + _RESOURCES_PART])
    return added + b"".join(_segment(0xFE, _comment(text)) for text in metadata.texts)


def _segment(code: int, body: bytes) -> bytes:
    return b"\xff" + bytes((code,)) + struct.pack(">H", 2 + len(body)) + body


def _comment(text: Text) -> bytes:
    return (text.text if text.keyword == "Comment" else f"{text.keyword}: {text.text}").encode("utf-8", "replace")


JPEG = Codec(
    "jpg",
    "JPEG",
    (".jpg", ".jpeg", ".jpe", ".jfif"),
    "image/jpeg",
    starts_with(b"\xff\xd8\xff"),
    _open,
    _save,
    in_browsers=True,
    max_side=65_500,
    lossy=True,
    alpha=False,
    default_quality=95,
    exif_max=_SEGMENT_MAX - len(PREFIX),
    comments=True,
    carries={
        "icc": "kept",
        "exif": "kept",
        "xmp": "kept",
        "iptc": "kept",
        "resolution": "kept",
        "texts": "converted",
        "color": "converted",
        "hdr": "converted",
    },
)
