"""Formats of pixels: what a source's frames hold, and which of an encoder's formats holds it too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rlfn.errors import OutputError
from rlfn.jobs.video.library import import_av
from rlfn.wording import listing

_SIDE = 64
_FLOAT = re.compile(r"f(16|32)(le|be)$")  # swscale converts from these, not to them


@dataclass(frozen=True)
class PixelFormat:
    """One of FFmpeg's formats.

    Attributes:
        name: FFmpeg's.
        bits: of the deepest channel, at most 16.
        alpha, rgb, gray: what it holds; YUV is neither RGB nor gray.
        chroma: (width, height) of the chroma planes of 64x64 px.
        planar: each channel has a plane of its own.
    """

    name: str
    bits: int
    alpha: bool
    rgb: bool
    gray: bool
    chroma: tuple[int, int]
    planar: bool

    @property
    def deep(self) -> bool:
        """Whether its images are uint16."""
        return self.bits > 8

    @property
    def image_format(self) -> str:
        """The format of its images: what NumPy sees."""
        if self.gray and not self.alpha:
            return "gray16le" if self.deep else "gray"
        if self.alpha:
            return "rgba64le" if self.deep else "rgba"
        return "rgb48le" if self.deep else "rgb24"


def pixel_format(name: str) -> PixelFormat:
    """Look a format up by FFmpeg's name; those of floats count as 16 bit."""
    found = import_av().video.format.VideoFormat(name)
    parts = found.components
    rgb = bool(found.is_rgb or found.has_palette)
    gray = not rgb and not any(part.is_chroma for part in parts) and len(parts) <= 2
    return PixelFormat(
        name,
        min(16, max(part.bits for part in parts)),
        found.has_palette or any(part.is_alpha for part in parts),
        rgb,
        gray,
        (_SIDE, _SIDE) if rgb or gray else (found.chroma_width(_SIDE), found.chroma_height(_SIDE)),
        bool(found.is_planar) and not name.startswith(("nv", "p0", "p2", "p4")),
    )


def fitting_format(source: PixelFormat, names: Iterable[str], codec: str) -> tuple[PixelFormat, tuple[str, ...]]:
    """Return the format of an encoder that holds the most of a source's, and what is lost with it.

    Raises:
        OutputError: there is none.
    """
    rows = [pixel_format(name) for name in names if not _FLOAT.search(name)]
    if not rows:
        raise OutputError(f"The encoder of {codec} takes no frames that rlfn makes. Choose another codec.")
    best = min(enumerate(rows), key=lambda row: (*_losses(source, row[1]).values(), *_waste(source, row[1]), row[0]))[1]
    lost = [what for what, amount in _losses(source, best).items() if amount]
    told = []
    if lost:
        told.append(f"{codec} holds no {listing(lost)}: written as {best.name}, the source is {source.name}")
    return best, tuple(told)


def _losses(source: PixelFormat, target: PixelFormat) -> dict[str, int]:
    width, height = source.chroma
    return {
        "colour": int(target.gray and not source.gray),
        "transparency": int(source.alpha and not target.alpha),
        f"{source.bits} bit": max(0, source.bits - target.bits),
        "RGB": int(source.rgb and not target.rgb),
        "colour at that resolution": max(0, width - target.chroma[0]) + max(0, height - target.chroma[1]),
    }


def _waste(source: PixelFormat, target: PixelFormat) -> tuple[int, ...]:
    more = target.chroma[0] - source.chroma[0] + target.chroma[1] - source.chroma[1]
    other = target.rgb != source.rgb or target.gray != source.gray
    return int(other), int(target.alpha and not source.alpha), target.bits - source.bits, more, not target.planar
