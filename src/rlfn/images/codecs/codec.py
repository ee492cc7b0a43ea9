"""What a row of the table of codecs is, and what goes in and out of its functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, BinaryIO

from rlfn.images.carried import Fate
from rlfn.images.coding import UNKNOWN_CODING, CodingInfo
from rlfn.images.picture import Metadata, Pixels
from rlfn.wording import listing


@dataclass(frozen=True)
class Content:
    """Decoded pixels as :class:`rlfn.images.picture.Picture` has them, but not upright yet, and raw metadata."""

    pixels: Pixels
    gray: bool
    bits: int
    metadata: Metadata


@dataclass(frozen=True)
class Opened:
    """A file whose header was read.

    ``pages`` is 0 where there are several and the header does not count them. ``decode`` reads the pixels; it takes a
    list to which it adds what was lost or changed. ``coding`` says how the pixels were coded.
    """

    width: int
    height: int
    decode: Callable[[list[str]], Content]
    pages: int = 1
    orientation: int = 1
    coding: CodingInfo = UNKNOWN_CODING


@dataclass(frozen=True)
class Encoding:
    """What to encode: a pyvips image that the format holds as it is, and metadata that fits it.

    ``depth`` is the depth to write, one of the codec's; deep pixels fill the upper bits. ``quality`` is 1 to 100, None
    where the format is lossless.
    """

    image: Any
    metadata: Metadata
    depth: int
    quality: int | None


@dataclass(frozen=True)
class Codec:
    """One row of the table: a format, what it holds, and the functions that read and write it.

    ``recognise`` judges a file by its first bytes. ``open`` reads the header, and raises whatever the decoder raises
    where the file is damaged. ``save`` encodes into a stream that can be read and sought in, None where the format is
    only read; it takes a list for warnings. ``in_browsers`` says that browsers display the format. ``max_side`` is in
    pixels, of what can be written; ``depths`` are the bits a channel that a file can hold and that are kept; ``gray``
    says that it has pictures without colour; ``default_quality`` (1 to 100) exists only where ``lossy``. ``exif_max``
    are the bytes of EXIF that fit, None for no limit; ``comments`` says that it has plain comments. ``carries`` tells
    what becomes of metadata, by the names of :data:`rlfn.images.carried.KEPT_SOMEWHERE`; what it does not name is lost
    with a warning. ``module`` is the package that it needs beyond the base install, and ``extra`` installs it.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    media_type: str
    recognise: Callable[[bytes], bool]
    open: Callable[[bytes], Opened]
    save: Callable[[Encoding, BinaryIO, list[str]], None] | None = None
    in_browsers: bool = False
    max_side: int = 0
    depths: tuple[int, ...] = (8,)
    lossy: bool = False
    alpha: bool = True
    gray: bool = True
    default_quality: int | None = None
    exif_max: int | None = None
    comments: bool = False
    carries: Mapping[str, Fate] = field(default_factory=dict)
    module: str = ""
    extra: str = ""

    @property
    def installed(self) -> bool:
        """Whether the package that it needs is here."""
        return not self.module or find_spec(self.module) is not None

    @property
    def writable(self) -> bool:
        """Whether files of this format can be written."""
        return self.save is not None

    def depth_for(self, bits: int) -> int:
        """Return the depth at which pixels of ``bits`` are written: the least that keeps them, or the largest."""
        return min((depth for depth in self.depths if depth >= bits), default=max(self.depths))


def starts_with(*magic: bytes) -> Callable[[bytes], bool]:
    """Return a judge of first bytes that accepts any of ``magic``."""
    return lambda head: head.startswith(magic)


def tell_lost(things: Iterable[str], warnings: list[str]) -> None:
    """Say in one warning what a file holds that is not kept."""
    if names := listing(dict.fromkeys(things)):
        warnings.append(f"dropped: {names}")


def tell_aspect(aspect: tuple[int, int] | None, warnings: list[str]) -> None:
    """Say that a stated shape of the pixels, across to down without a unit, is not kept."""
    if aspect is not None:
        warnings.append(f"stated shape of the pixels ({aspect[0]}:{aspect[1]}) dropped: they are taken as square")
