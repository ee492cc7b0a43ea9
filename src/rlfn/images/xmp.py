"""XMP packets as bytes: what an upscaled picture changes in them, and Adobe's extended XMP of JPEG.

Source: XMP specification, parts 1 and 3; Google's Photo Sphere, motion photo and
Ultra HDR formats; Metadata Working Group, guidelines 2.0 (regions).
"""

from __future__ import annotations

import re

from rlfn.images.exif import Turn

_ORIENTATION = rb"(tiff:Orientation(?:\s*=\s*[\"']|>))[2-8](?=[\"'<])"
_VIDEO = rb"((?:GCamera|Camera):(?:MicroVideo|MotionPhoto)(?:\s*=\s*[\"']|>))1(?=[\"'<])"
_GAIN_MAP = re.compile(rb"\shdrgm:\w{1,64}\s{0,9}=\s{0,9}(?:\"[^\"<]*\"|'[^'<]*')")
_APPENDED = re.compile(rb"<(hdrgm:\w{1,64}|G?Container:Directory)(?=[\s/>])[^<>]*>")
_NUMBER = rb"(\s*=\s*[\"']|>)(\d{1,9})(?=[\"'<])"
_ACROSS = b"exif:PixelXDimension|tiff:ImageWidth"
_DOWN = b"exif:PixelYDimension|tiff:ImageLength"
_ACROSS_SCALED = b"GPano:(?:FullPanoWidthPixels|CroppedAreaImageWidthPixels|CroppedAreaLeftPixels)|stDim:w"
_DOWN_SCALED = b"GPano:(?:FullPanoHeightPixels|CroppedAreaImageHeightPixels|CroppedAreaTopPixels)|stDim:h"
_SHARE = rb"(\s*=\s*[\"']|>)(-?\d{1,9}(?:\.\d{1,20})?(?:[eE]-?\d{1,2})?)(?=[\"'<])"
_AREA = re.compile(rb"<mwg-rs:Area\b[^>]{0,2000}?(?:/>|>.{0,2000}?</mwg-rs:Area\s*>)", re.DOTALL)
_APPLIED = re.compile(
    rb"<mwg-rs:AppliedToDimensions\b[^>]{0,2000}?(?:/>|>.{0,2000}?</mwg-rs:AppliedToDimensions\s*>)", re.DOTALL
)
_EXTENDED = re.compile(rb"\sxmpNote:HasExtendedXMP\s{0,9}=\s{0,9}[\"'][^\"']{0,64}[\"']")
_RDF = re.compile(rb"<rdf:RDF[^>]*>(.*)</rdf:RDF\s*>", re.DOTALL)
_WRAPPER = re.compile(rb"<\?xpacket[^>]*\?>")


def reset(packet: bytes, turn: Turn) -> bytes:
    """Return the packet for the upright, larger picture.

    Orientation becomes 1, sizes those of the picture, panoramas are scaled, regions (faces) turned. Gain maps and
    appended pictures and videos, which no output has, are not announced.

    What is not found as plain text, such as a packet in UTF-16, stays as it is.
    """
    packet = re.sub(_ORIENTATION, rb"\g<1>1", packet)
    packet = _without_appended(re.sub(_VIDEO, rb"\g<1>0", packet))
    if turn.orientation != 1:
        packet = _AREA.sub(lambda found: _turned_area(found[0], turn), packet)
    if turn.turned:
        packet = _APPLIED.sub(lambda found: _exchanged(found[0], b"stDim:w", b"stDim:h"), packet)
    for names, side in zip((_ACROSS, _DOWN), turn.after, strict=True):
        packet = re.sub(b"(" + names + b")" + _NUMBER, rb"\g<1>\g<2>" + str(side).encode(), packet)
    for names, ratio in zip((_ACROSS_SCALED, _DOWN_SCALED), turn.ratios, strict=True):
        if ratio != 1:
            packet = re.sub(b"(" + names + b")" + _NUMBER, _scaling(ratio), packet)
    return packet


def _without_appended(packet: bytes) -> bytes:
    """Remove the properties of a gain map, and the directory of the files that follow the picture's."""
    packet = _GAIN_MAP.sub(b"", packet)
    kept, at = [], 0
    while found := _APPENDED.search(packet, at):
        end = found.end()
        if not found[0].endswith(b"/>"):
            close = packet.find(b"</" + found[1], end)
            end = packet.find(b">", close) + 1
            if close < 0 or not end:
                break
        kept.append(packet[at : found.start()])
        at = end
    return b"".join((*kept, packet[at:]))


def _turned_area(element: bytes, turn: Turn) -> bytes:
    """Turn a region (a face, ...): the middle and the sides, as shares of the picture's."""
    across, down = (re.search(b"stArea:" + name + _SHARE, element) for name in (b"x", b"y"))
    if across is None or down is None:
        return element
    middle = turn.share(float(across[2]), float(down[2]))
    for name, share in zip((b"x", b"y"), middle, strict=True):
        element = re.sub(b"(stArea:" + name + b")" + _SHARE, rb"\g<1>\g<2>" + f"{share:.6g}".encode(), element)
    return _exchanged(element, b"stArea:w", b"stArea:h") if turn.turned else element


def _exchanged(element: bytes, one: bytes, other: bytes) -> bytes:
    """Let two properties in an element change their values."""
    a, b = (re.search(name + _SHARE, element) for name in (one, other))
    if a is None or b is None:
        return element
    for name, value in ((one, b[2]), (other, a[2])):
        element = re.sub(b"(" + name + b")" + _SHARE, rb"\g<1>\g<2>" + value, element)
    return element


def _scaling(ratio: float):  # type: ignore[no-untyped-def]
    return lambda found: found[1] + found[2] + str(round(int(found[3]) * ratio)).encode()


def merged(packet: bytes, extended: bytes) -> bytes | None:
    """Return one packet with all that a JPEG's two hold; ``None`` where they are not of the usual form."""
    inside = _RDF.search(extended)
    at = packet.rfind(b"</rdf:RDF")
    if inside is None or at < 0:
        return None
    return _EXTENDED.sub(b"", packet[:at], count=1) + inside[1] + packet[at:]


def split(packet: bytes) -> tuple[bytes, bytes, bytes]:
    """Return what a JPEG holds in place of a packet that is too long: a short packet, a GUID, and the extended one."""
    import hashlib

    extended = _WRAPPER.sub(b"", packet).strip()
    guid = hashlib.md5(extended, usedforsecurity=False).hexdigest().upper().encode()
    short = (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        b'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="' + guid + b'"/></rdf:RDF></x:xmpmeta>'
        b'<?xpacket end="w"?>'
    )
    return short, guid, extended
