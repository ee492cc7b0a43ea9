"""Picture files to arrays, with nothing lost on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rlfn.atomic import check_name
from rlfn.errors import OptionError, PictureError, RlfnError
from rlfn.images.codecs.codec import Codec, Opened
from rlfn.images.formats import HEAD_BYTES, sniff
from rlfn.images.picture import Damaged, Picture, Unreadable
from rlfn.images.upright import upright, upright_metadata
from rlfn.numeric import is_whole
from rlfn.wording import setting

DEFAULT_MAX_PIXELS = 64_000_000
"""A picture of more pixels is refused unless the caller allows more."""

MAX_SIDE = 1_000_000
"""A picture with a longer side is refused: no format could hold the result."""

FIRST_OF = "first of"
"""How the warning begins that a file has further pages or frames."""

PictureSource = str | os.PathLike[str] | bytes
"""Where a picture is read from: a path, taken literally, or the whole file as bytes."""


@dataclass(frozen=True)
class _PictureFile:
    """An open picture file: its name for messages, its format, and what its header says."""

    name: str
    codec: Codec
    opened: Opened


def read_picture(
    source: PictureSource, *, max_pixels: int | None = DEFAULT_MAX_PIXELS, name: str = "The given data"
) -> Picture:
    """Read a picture file, or the bytes of one.

    The content decides the format, not the suffix. EXIF orientation is applied. Palettes and 1-bit pictures become RGB
    or gray, CMYK and Lab become sRGB, gray with alpha becomes RGBA with ``gray=True``. 10, 12 and 16 bit become uint16
    over 0 to 65535; floating-point pixels from 0 to 1 become uint16. Of several pages or frames the first is read. What
    was changed or lost is in ``warnings``.

    Args:
        source: a path (taken literally), or the whole file as bytes.
        max_pixels: refuse larger pictures, judged by the header before anything is decoded; ``None`` for no limit.
        name: what messages call the picture if it is given as bytes.

    Raises:
        PictureError: the file is missing, unreadable, empty, not a picture, damaged, cut short, or too large.
        MissingExtraError: a HEIC file, and pillow-heif is not installed.
    """
    file = _open(source, max_pixels, name)
    opened = file.opened
    warnings: list[str] = []
    if opened.pages != 1:
        warnings.append(f"{FIRST_OF} {opened.pages or 'several'} frames")
    try:
        content = opened.decode(warnings)
    except Exception as error:
        raise _refusal(file.name, file.codec, error) from None
    return Picture(
        upright(content.pixels, opened.orientation),
        upright_metadata(content.metadata, (opened.width, opened.height), opened.orientation, content.gray, warnings),
        file.codec.name,
        content.gray,
        content.bits,
        tuple(warnings),
        opened.coding,
        opened.orientation,
    )


def picture_size(source: PictureSource, *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> tuple[int, int]:
    """Return (width, height) after orientation, from the header alone.

    Raises:
        PictureError: as :func:`read_picture`, save for damage that only decoding shows.
        MissingExtraError: a HEIC file, and pillow-heif is not installed.
    """
    opened = _open(source, max_pixels).opened
    return (opened.height, opened.width) if opened.orientation >= 5 else (opened.width, opened.height)


def count_frames(source: PictureSource) -> int:
    """Return how many pages or frames a file has, from its header alone; 0 where there are several, not counted.

    Raises:
        PictureError: as :func:`picture_size`.
    """
    return _open(source, None).opened.pages


def check_max_pixels(max_pixels: object) -> None:
    """Refuse a limit that is not a whole number above 0; None is no limit.

    Raises:
        OptionError: it is not one.
    """
    if max_pixels is not None and not (is_whole(max_pixels) and max_pixels > 0):
        raise OptionError(
            f"{setting('max_pixels')} was given as {max_pixels!r}. Allowed: a whole number above 0, or None for no "
            "limit."
        )


@contextmanager
def explained_reading(path: Path) -> Iterator[None]:
    """Explain the operating system's errors while a picture file is read.

    Raises:
        PictureError: the file does not exist or cannot be read.
    """
    check_name(path, PictureError)
    name = f"'{path}'"
    try:
        yield
    except FileNotFoundError:
        raise PictureError(f"There is no file {name}. Check the spelling and the folder.") from None
    except IsADirectoryError:
        raise PictureError(f"{name} is a folder; a picture file is needed.") from None
    except PermissionError:
        if os.path.isdir(path):  # what Windows says of a folder
            raise PictureError(f"{name} is a folder; a picture file is needed.") from None
        raise PictureError(f"{name} may not be read by this user. Change its permissions.") from None
    except (OSError, UnicodeError) as error:
        raise PictureError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _open(source: PictureSource, max_pixels: int | None, name: str = "The given data") -> _PictureFile:
    name, data, row = _bytes_of(source, name)
    try:
        opened = row.open(data)
    except Exception as error:
        raise _refusal(name, row, error) from None
    if max_pixels is not None and opened.width * opened.height > max_pixels:
        raise PictureError(
            f"{name} has {opened.width} x {opened.height} = {opened.width * opened.height:,} pixels; the limit is "
            f"{max_pixels:,}. Raise {setting('max_pixels')} if you trust the file."
        )
    if max(opened.width, opened.height) > MAX_SIDE:
        raise PictureError(
            f"{name} has {opened.width} x {opened.height} pixels; allowed are {MAX_SIDE:,} a side, the most that any "
            "format can be written with. Cut it up first."
        )
    return _PictureFile(name, row, opened)


def _bytes_of(source: PictureSource, name: str) -> tuple[str, bytes, Codec]:
    """Return a name for messages, the bytes, and the format. A file is read only after its first bytes were judged."""
    if isinstance(source, bytes):
        return name, source, sniff(source[:HEAD_BYTES], name)
    path = Path(source)
    name = f"'{path}'"
    with explained_reading(path), path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
        row = sniff(head, name)
        return name, head + stream.read(), row


def _refusal(name: str, row: Codec, error: Exception) -> RlfnError:
    """Return what to raise for what a codec raised: decoders raise what they like on damaged files."""
    if isinstance(error, RlfnError):
        return error
    if isinstance(error, MemoryError):
        return PictureError(f"{name} needs more memory than there is. Close other programs, or cut the picture up.")
    if isinstance(error, Unreadable):
        return PictureError(f"{name} {error}")
    if isinstance(error, Damaged):
        state = str(error)
    else:
        lines = [line.strip() for line in str(error).splitlines()]
        state = f"damaged or cut short ({next((line for line in lines[1:] if line), 'its header makes no sense')})"
    article = "an" if row.title[0] in "AEIO" else "a"
    return PictureError(f"{name} is {article} {row.title} file that is {state}. Get a whole copy of it.")
