"""GIF, which is read. Source: GIF89a."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from rlfn.images.codecs import vips
from rlfn.images.codecs.codec import Codec, Content, Opened, starts_with, tell_lost
from rlfn.images.picture import Metadata, Text

_XMP = b"XMP DataXMP"
_SILENT = (b"NETSCAPE2.0", b"ANIMEXTS1.0", _XMP)
_MAX_BLOCKS = 1_000_000


def _open(data: bytes) -> Opened:
    image = vips.load("gif", data)

    def decode(warnings: list[str]) -> Content:
        metadata, lost, clear = _extensions(data)
        tell_lost(lost, warnings)
        content = vips.content(image, metadata, warnings)
        return content if clear else _without_alpha(content)

    return Opened(image.width, image.height, decode, vips.field(image, "n-pages") or 1)


def _without_alpha(content: Content) -> Content:
    """Take away alpha that only later frames need: the decoder gives it to all of them."""
    pixels = content.pixels
    if pixels.ndim == 2 or pixels.shape[2] != 4 or pixels[..., 3].min() < 255:
        return content
    return replace(content, pixels=np.ascontiguousarray(pixels[..., 0] if content.gray else pixels[..., :3]))


def _extensions(data: bytes) -> tuple[Metadata, dict[str, None], bool]:
    """Return comments and XMP, the names of what is lost, and whether the first frame has a transparent colour."""
    texts: list[Text] = []
    xmp = icc = None
    lost: dict[str, None] = {}
    frames = 0
    clear = False
    at = 13 + _colors(data, 10)
    for _ in range(_MAX_BLOCKS):
        kind = data[at : at + 1]
        if kind == b"\x2c":
            frames += 1
            at += 11 + _colors(data, at + 9)
            at = _skip(data, at)
        elif kind == b"\x21":
            label, start = data[at + 1 : at + 2], at + 2
            at = _skip(data, start)
            if label == b"\xfe":
                texts.append(Text("Comment", _joined(data, start, at).decode("utf-8", "replace")))
            elif label == b"\xf9" and not frames:
                clear = bool(int.from_bytes(data[start + 1 : start + 2], "big") & 1)
            elif label == b"\x01":
                lost["GIF plain text"] = None
            elif label == b"\xff":
                name = data[start + 1 : start + 12]
                if name == _XMP:  # the packet is not cut into blocks; a trailer of descending bytes follows it
                    packet = re.match(rb"(.*?<\?xpacket end[^>]{0,16}\?>)", data[start + 12 : at], re.DOTALL)
                    xmp = packet[1] if packet else None
                elif name == b"ICCRGBG1012":
                    icc = _joined(data, start + 12, at)
                elif name not in _SILENT:
                    lost[f"GIF extension {name[:8].decode('latin-1').strip()}"] = None
        else:
            break
    return Metadata(icc=icc, xmp=xmp, texts=tuple(texts)), lost, clear


def _colors(data: bytes, at: int) -> int:
    """Return the bytes of the table of colours that flags announce."""
    flags = int.from_bytes(data[at : at + 1], "big")
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip(data: bytes, at: int) -> int:
    """Return where the blocks that start at ``at`` end."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1


def _joined(data: bytes, at: int, end: int) -> bytes:
    parts = []
    while at < end - 1 and data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts)


GIF = Codec("gif", "GIF", (".gif",), "image/gif", starts_with(b"GIF87a", b"GIF89a"), _open, in_browsers=True)
