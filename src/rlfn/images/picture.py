"""What a picture file holds, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.images.coding import UNKNOWN_CODING, CodingInfo
from rlfn.images.stated import StatedColor

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[Any]


class Unreadable(Exception):  # noqa: N818 - it never leaves the package
    """A sound file that cannot be taken. The text goes on from the file's name: "is ...", "holds ..."."""


class Damaged(Exception):  # noqa: N818 - it never leaves the package
    """A file of which part is wrong or missing. The text goes on from "is a JPEG file that is"."""


@dataclass(frozen=True)
class Text:
    """A text in a file: under a keyword, as PNG has them (a JPEG's comment is a "Comment"), perhaps in a language."""

    keyword: str
    text: str
    language: str = ""


@dataclass(frozen=True)
class Metadata:
    """What goes with the pixels from file to file.

    ``icc`` is the profile that the pixels are meant in (``None``: sRGB, or a plain gray); ``exif`` an EXIF block from
    its ``II*``/``MM*`` header on; ``xmp`` an XMP packet; ``resolution`` horizontal and vertical pixels per millimetre
    (300 dpi is 11.81), ``None`` when the file states none; ``iptc`` IPTC-IIM records; ``texts`` free texts; ``color``
    what is said of the colours without a profile, which goes before ``icc`` where a PNG file has both; ``geo`` a block
    with GeoTIFF's tags; ``size`` the (width, height) of the picture that all this was made for, by which positions and
    sizes in it are scaled.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    resolution: tuple[float, float] | None = None
    iptc: bytes | None = None
    texts: tuple[Text, ...] = ()
    color: StatedColor | None = None
    geo: bytes | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Picture:
    """Pixels and what belongs to them, upright.

    ``pixels`` is ``(H, W)`` gray, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA with plain (not premultiplied) alpha, uint8
    or uint16 over the full range of its type, C-contiguous and writable. ``gray`` says that the colours are gray also
    where there are four channels; such a picture is written as gray with alpha. ``bits`` is the depth of the file it
    came from (8, 10, 12 or 16). ``format`` is a key of ``FORMATS``. ``warnings`` tells what reading lost or changed;
    ``coding`` how the file was coded; ``orientation`` the EXIF orientation (1 to 8) that reading applied.
    """

    pixels: Pixels
    metadata: Metadata = Metadata()
    format: str = "png"
    gray: bool = False
    bits: int = 8
    warnings: tuple[str, ...] = ()
    coding: CodingInfo = UNKNOWN_CODING
    orientation: int = 1

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])


def fitting_profile(icc: bytes, gray: bool) -> tuple[bytes | None, str]:
    """Return a profile that can go with gray or RGB pixels, without padding; or ``None`` and why there is none."""
    size = int.from_bytes(icc[:4], "big")
    if len(icc) < 132 or icc[36:40] != b"acsp" or not 132 <= size <= len(icc):
        return None, "it is damaged"
    space = icc[16:20]
    if space != (b"GRAY" if gray else b"RGB "):
        return None, f"it is meant for {space.decode('ascii', 'replace').strip()} pixels"
    return icc[:size], ""
