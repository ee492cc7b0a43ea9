"""PNG's chunks: a walker, a writer, and what they say beside the pixels (:class:`rlfn.images.picture.Metadata`).

Sources: PNG, third edition; ImageMagick's raw profiles, as ExifTool documents them.
"""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from rlfn.images import photoshop
from rlfn.images.exif import PREFIX
from rlfn.images.ifd import exhausting
from rlfn.images.picture import Metadata, Text
from rlfn.images.stated import StatedColor

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP = "XML:com.adobe.xmp"
_RAW = "Raw profile type "
_TEXT_MAX = 16 << 20  # bytes of all texts together, unpacked
MAX_CHUNKS = 200_000
"""The most chunks that are searched for metadata."""

# Chunks that say how the pixels are stored, or are taken from the image that libvips gives.
_KNOWN = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"iCCP", b"sBIT", b"acTL", b"fcTL", b"fdAT"))


@dataclass
class ChunksFound:
    """What a walk over the chunks found."""

    pages: int = 1
    resolution: tuple[float, float] | None = None
    aspect: tuple[int, int] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    icc: bytes | None = None
    iptc: bytes | None = None
    texts: list[Text] = field(default_factory=list)
    gamma: int | None = None
    chromaticities: tuple[int, ...] | None = None
    intent: int | None = None
    codes: tuple[int, int] | None = None
    full: bool = True
    lost: dict[str, None] = field(default_factory=dict)
    room: int = _TEXT_MAX

    @property
    def color(self) -> StatedColor | None:
        """The colours that the chunks state; a cICP chunk goes before the others."""
        if self.codes is not None:
            return StatedColor(self.codes, full=self.full)
        if self.gamma is None and self.chromaticities is None and self.intent is None:
            return None
        return StatedColor(None, self.intent, self.gamma, self.chromaticities)


def walk(data: bytes) -> ChunksFound:
    """Go over the chunks of a file; a damaged one ends the walk."""
    found = ChunksFound()
    late = 0
    for name, start, size in islice(iter_chunks(io.BytesIO(data)), MAX_CHUNKS):
        if start + size + 4 > len(data):
            break
        if name == b"IDAT":
            late = 1
        elif name not in _KNOWN or name == b"acTL":
            body = data[start : start + size]
            try:
                _take(name, body, found)
            except (struct.error, zlib.error, ValueError):
                found.lost[f"damaged PNG chunk {name.decode('latin-1')}"] = None
        if name == b"IEND":
            end = start + size + 4
            if late and any(data[end : end + 4096]):
                found.lost[f"{len(data) - end:,} bytes behind the end of the picture"] = None
            break
    return found


def iter_chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Go through the chunks of a file: name, and position and size of the body, of which the end may be missing."""
    at = len(SIGNATURE)
    stream.seek(at)
    while len(head := stream.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        yield name, at + 8, size
        at += 12 + size
        stream.seek(at)


def _take(name: bytes, body: bytes, found: ChunksFound) -> None:
    """Note what one chunk says."""
    if name in (b"tEXt", b"zTXt", b"iTXt"):
        _take_text(name, body, found)
    elif name == b"acTL":
        found.pages = struct.unpack_from(">I", body)[0]
    elif name == b"eXIf":
        _take_exif(body, found)
    elif name == b"pHYs":
        across, down, unit = struct.unpack(">IIB", body)
        if unit == 1 and across and down:
            found.resolution = across / 1000, down / 1000
        elif across != down and across and down:
            found.aspect = across, down
    elif name == b"gAMA":
        found.gamma = struct.unpack(">I", body)[0]
    elif name == b"cHRM":
        found.chromaticities = struct.unpack(">8I", body)
    elif name == b"sRGB":
        found.intent = struct.unpack(">B", body)[0]
    elif name == b"cICP":
        primaries, transfer, _, full = struct.unpack(">4B", body)
        found.codes, found.full = (primaries, transfer), bool(full)
    elif name == b"caBX":
        found.lost["content credentials (C2PA, JUMBF)"] = None
    else:
        found.lost[f"PNG chunk {name.decode('latin-1')}"] = None


def _take_exif(data: bytes, found: ChunksFound) -> None:
    block = data.removeprefix(PREFIX)
    if exhausting(block):
        found.lost["damaged EXIF"] = None
    else:
        found.exif = found.exif or block


def _take_text(name: bytes, body: bytes, found: ChunksFound) -> None:
    """Note a text, or the profile that it holds."""
    key, _, rest = body.partition(b"\0")
    language = b""
    if name == b"tEXt":
        raw, coding = rest, "latin-1"
    elif name == b"zTXt":
        raw, coding = _unpacked(rest[1:], found), "latin-1"
    else:
        packed = rest[:1] == b"\1"
        language, _, rest = rest[2:].partition(b"\0")
        raw, coding = rest.partition(b"\0")[2], "utf-8"
        raw = _unpacked(raw, found) if packed else raw
    keyword = key.decode("latin-1")
    found.room -= len(raw)
    if found.room < 0:
        found.lost["texts of more than 16 MB"] = None
    elif keyword == _XMP:
        found.xmp = found.xmp or raw
    elif keyword.startswith(_RAW):
        _take_profile(keyword.removeprefix(_RAW), raw, found)
    else:
        found.texts.append(Text(keyword, raw.decode(coding, "replace"), language.decode("latin-1")))


def _unpacked(data: bytes, found: ChunksFound) -> bytes:
    return zlib.decompressobj().decompress(data, max(found.room, 0) + 1)


def _take_profile(kind: str, raw: bytes, found: ChunksFound) -> None:
    """Note a profile that ImageMagick or ExifTool wrote as hexadecimal text: its name, its length, its bytes."""
    parts = raw.split(None, 2)
    data = bytes.fromhex(parts[2].decode("latin-1"))
    kind = kind.strip().lower()
    if kind == "app1" and data.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
        kind, data = "xmp", data.partition(b"\0")[2]
    if kind in ("exif", "app1"):
        _take_exif(data, found)
    elif kind == "xmp":
        found.xmp = found.xmp or data
    elif kind in ("icc", "icm"):
        found.icc = data
    elif kind in ("iptc", "8bim"):
        data = data.removeprefix(photoshop.NAME)
        iptc, lost = photoshop.iptc_of(data) if data.startswith(b"8BIM") else (data, [])
        found.iptc = found.iptc or iptc
        found.lost.update(dict.fromkeys(lost))
    else:
        found.lost[f"PNG raw profile {kind[:20]}"] = None


def chunk(name: bytes, body: bytes) -> bytes:
    """Return a whole chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def chunks_of(metadata: Metadata) -> bytes:
    """Return the chunks that carry metadata, save profile and resolution."""
    made = b""
    if metadata.color is not None:
        made += _color_chunks(metadata.color, metadata.icc is not None)
    if metadata.exif is not None:
        made += chunk(b"eXIf", metadata.exif)
    if metadata.xmp is not None:
        made += chunk(b"iTXt", _XMP.encode() + b"\0\0\0\0\0" + metadata.xmp)
    if metadata.iptc is not None:
        resources = photoshop.with_iptc(metadata.iptc)
        text = f"\niptc\n{len(resources):8}\n" + _lines(resources.hex())
        made += chunk(b"zTXt", _RAW.encode() + b"iptc\0\0" + zlib.compress(text.encode()))
    return made + b"".join(_text_chunk(text) for text in metadata.texts)


def _lines(text: str) -> str:
    return "".join(text[at : at + 72] + "\n" for at in range(0, len(text), 72))


def _color_chunks(color: StatedColor, beside_profile: bool) -> bytes:
    made = b""
    if color.codes is not None and (color.codes != (1, 13) or beside_profile or not color.full):
        made += chunk(b"cICP", bytes((*color.codes, 0, color.full)))
    elif color.intent is not None or color.codes is not None:
        made += chunk(b"sRGB", bytes((color.intent or 0,)))
    if color.gamma is not None:
        made += chunk(b"gAMA", struct.pack(">I", color.gamma))
    if color.chromaticities is not None:
        made += chunk(b"cHRM", struct.pack(">8I", *color.chromaticities))
    return made


def _text_chunk(text: Text) -> bytes:
    key = text.keyword.encode("latin-1", "replace")[:79]
    if not text.language:
        with contextlib.suppress(UnicodeEncodeError):
            return chunk(b"tEXt", key + b"\0" + text.text.encode("latin-1"))
    language = text.language.encode("latin-1", "replace")
    return chunk(b"iTXt", key + b"\0\0\0" + language + b"\0\0" + text.text.encode("utf-8", "replace"))
