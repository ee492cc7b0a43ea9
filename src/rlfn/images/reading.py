"""Picture files to arrays, with nothing lost on the way."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from rlfn.errors import MissingExtraError, PictureError
from rlfn.images import exif as exif_block
from rlfn.images.convert import as_srgb, from_float, full_range, lab_of, upright
from rlfn.images.formats import HEAD_BYTES, Format, sniff
from rlfn.images.picture import Metadata, Picture, Pixels, profile_problem

DEFAULT_MAX_PIXELS = 64_000_000
"""A picture of more pixels is refused unless the caller allows more."""

Source = str | os.PathLike[str] | bytes

# pyvips passes libvips' remarks to this logger; without a handler Python would print them to the user's terminal.
logging.getLogger("pyvips").addHandler(logging.NullHandler())

_UNSTATED = (1.0, 1.0)  # libvips' resolution for a TIFF, WebP or AVIF file that states none, in pixels a millimetre
_DTYPES = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32, "double": np.float64}
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))[2-8]")


@dataclass(frozen=True)
class _File:
    """An open picture: its bytes, and what its header says."""

    name: str
    data: bytes
    format: Format
    width: int
    height: int
    pages: int  # 0: several, and the header does not count them
    orientation: int
    image: Any  # a pyvips.Image whose pixels are not decoded yet, or a pillow_heif.HeifFile


def read_picture(source: Source, *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> Picture:
    """Read a picture file, or the bytes of one.

    The content decides the format, not the suffix. EXIF orientation is applied. Palettes and 1-bit pictures become RGB
    or gray, CMYK and Lab become sRGB, gray with alpha becomes RGBA with ``gray=True``. 10, 12 and 16 bit become uint16
    over 0 to 65535; floating-point pixels from 0 to 1 become uint16. Of several pages or frames the first is read. What
    was changed or lost is in ``warnings``.

    Args:
        source: a path (taken literally), or the whole file as bytes.
        max_pixels: refuse larger pictures, judged by the header before anything is decoded; ``None`` for no limit.

    Raises:
        PictureError: the file is missing, unreadable, empty, not a picture, damaged, cut short, or too large.
        MissingExtraError: a HEIC file, and pillow-heif is not installed.
    """
    file = _open(source, max_pixels)
    warnings: list[str] = []
    if file.pages != 1:
        warnings.append(f"first of {file.pages or 'several'} frames")
    heic = file.format.name == "heic"
    try:
        pixels, gray, bits, metadata = (_decode_heic if heic else _decode)(file, warnings)
    except (pyvips.Error, OSError, RuntimeError, ValueError, EOFError, SyntaxError) as error:
        raise _damaged(file.name, file.format, error) from None
    return Picture(
        upright(pixels, file.orientation),
        _normal(metadata, file, gray, warnings),
        file.format.name,
        gray,
        bits,
        tuple(warnings),
    )


def picture_size(source: Source, *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> tuple[int, int]:
    """Return (width, height) after orientation, from the header alone.

    Raises:
        PictureError: as :func:`read_picture`, save for damage that only decoding shows.
        MissingExtraError: a HEIC file, and pillow-heif is not installed.
    """
    file = _open(source, max_pixels)
    return (file.height, file.width) if file.orientation >= 5 else (file.width, file.height)


def _open(source: Source, max_pixels: int | None) -> _File:
    name, data, row = _bytes_of(source)
    try:
        file = _open_heic(name, data, row) if row.name == "heic" else _open_vips(name, data, row)
    except (pyvips.Error, OSError, RuntimeError, ValueError, EOFError, SyntaxError) as error:
        if isinstance(error, MissingExtraError):
            raise
        raise _damaged(name, row, error) from None
    if max_pixels is not None and file.width * file.height > max_pixels:
        raise PictureError(
            f"{name} has {file.width} x {file.height} = {file.width * file.height:,} pixels; the limit is "
            f"{max_pixels:,}. Raise it with --max-pixels (max_pixels=... in Python) if you trust the file."
        )
    return file


def _bytes_of(source: Source) -> tuple[str, bytes, Format]:
    """Return a name for messages, the bytes, and the format. A file is read only after its first bytes were judged."""
    if isinstance(source, bytes):
        return "the given data", source, sniff(source[:HEAD_BYTES], "The given data")
    path = Path(source)
    name = f"'{path}'"
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
            row = sniff(head, name)
            return name, head + stream.read(), row
    except FileNotFoundError:
        raise PictureError(f"There is no file {name}. Check the spelling and the folder.") from None
    except IsADirectoryError:
        raise PictureError(f"{name} is a folder; a picture file is needed.") from None
    except PermissionError:
        if os.path.isdir(path):  # what Windows says of a folder
            raise PictureError(f"{name} is a folder; a picture file is needed.") from None
        raise PictureError(f"{name} may not be read by this user. Change its permissions.") from None
    except (OSError, ValueError) as error:
        raise PictureError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _damaged(name: str, row: Format, error: Exception) -> PictureError:
    lines = [line.strip() for line in str(error).splitlines()]
    detail = next((line for line in lines[1:] if line), "its header makes no sense")
    article = "an" if row.title[0] in "AEIO" else "a"
    return PictureError(
        f"{name} is {article} {row.title} file that is damaged or cut short ({detail}). Get a whole copy of it."
    )


def _field(image: Any, name: str) -> Any:
    return image.get(name) if image.get_typeof(name) else None


def _open_vips(name: str, data: bytes, row: Format) -> _File:
    """Read the header by the one loader that the first bytes call for."""
    loader = {"jpg": "jpeg", "avif": "heif"}.get(row.name, row.name)
    load = getattr(pyvips.Image, f"{loader}load_buffer")
    pyvips.vips_lib.vips_error_clear()  # or a later message would repeat remarks on other files
    image = None
    if row.name == "tiff" and (relabelled := exif_block.tiff_lab_as_rgb(data)):
        image = lab_of(load(relabelled, access="sequential", fail_on="error", revalidate=True))
    if image is None:
        image = load(data, access="sequential", fail_on="error", revalidate=True)
    pages = _field(image, "n-pages") or 1
    if row.name == "png" and (at := data.find(b"acTL", 0, data.find(b"IDAT"))) > 0:
        pages = int.from_bytes(data[at + 4 : at + 8], "big")
    if row.name == "avif" and data[8:12] == b"avis":
        pages = 0
    # libheif has applied a HEIF file's own rotation, and the standard says that the one in EXIF does not count there.
    turn = 1 if loader == "heif" else (_field(image, "orientation") or 1)
    return _File(name, data, row, image.width, image.height, pages, turn, image)


def _decode(file: _File, warnings: list[str]) -> tuple[Pixels, bool, int, Metadata]:
    image = file.image
    stated = _field(image, "bits-per-sample") or _field(image, "heif-bitdepth") or 8
    metadata = Metadata(
        _field(image, "icc-profile-data"),
        _exif_of(file, warnings),
        _field(image, "xmp-data"),
        _resolution_of(file),
    )
    if image.interpretation in ("cmyk", "lab", "labs", "labq"):
        image = as_srgb(image, stated, warnings)
        metadata = replace(metadata, icc=None)
    if image.bands > 4:
        warnings.append(f"{image.bands - 4} extra channels dropped")
        image = image.extract_band(0, n=4)
    gray = image.bands <= 2
    if image.bands == 2:
        image = image.extract_band(0).bandjoin([image.extract_band(0), image.extract_band(0), image.extract_band(1)])
    if image.format not in _DTYPES:
        raise PictureError(
            f"{file.name} holds pixels of type {image.format}. Allowed: 8 or 16 bit, or floating point from 0 to 1. "
            "Convert it to 16 bit first."
        )
    shape = (image.height, image.width, image.bands)[: 2 if image.bands == 1 else 3]
    pixels = np.frombuffer(image.write_to_memory(), _DTYPES[image.format]).reshape(shape)
    if b"Corrupt JPEG data" in pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer()):
        warnings.append("damaged JPEG data: part of the picture may be wrong")
    if pixels.dtype.kind == "f":
        return from_float(file.name, pixels, warnings), gray, 16, metadata
    if pixels.dtype == np.uint8:
        return pixels, gray, 8, metadata
    bits = stated if file.format.name == "avif" else 16
    return full_range(pixels, bits), gray, bits, metadata


def _resolution_of(file: _File) -> tuple[float, float] | None:
    """Return the resolution that the file states; libvips fills in one of its own where there is none."""
    image = file.image
    if file.format.name == "jpg":
        stated = image.get_typeof("resolution-unit") != 0
    elif file.format.name == "png":
        stated = file.data.find(b"pHYs", 0, file.data.find(b"IDAT")) > 0
    else:
        stated = (image.xres, image.yres) != _UNSTATED
    return (image.xres, image.yres) if stated else None


def _exif_of(file: _File, warnings: list[str]) -> bytes | None:
    if file.format.name != "tiff":
        block = _field(file.image, "exif-data")
        return block.removeprefix(exif_block.PREFIX) if block else None
    try:
        return exif_block.from_tiff(file.data)
    except exif_block.DamagedExif:
        warnings.append("EXIF of this TIFF file, if it has any, is lost: its tables are damaged or those of a BigTIFF")
        return None


def _normal(metadata: Metadata, file: _File, gray: bool, warnings: list[str]) -> Metadata:
    """Make metadata fit the upright picture: orientation 1, a sound profile of the right kind."""
    icc, exif, xmp, resolution = metadata.icc, metadata.exif, metadata.xmp, metadata.resolution
    turned = file.orientation >= 5
    if icc is not None and (problem := profile_problem(icc, gray)):
        warnings.append(f"colour profile dropped: {problem}")
        icc = None
    if exif is not None:
        width, height = (file.height, file.width) if turned else (file.width, file.height)
        try:
            exif = exif_block.reset(exif, width, height)
        except exif_block.DamagedExif:
            warnings.append("damaged EXIF dropped")
            exif = None
    if xmp is not None and (file.orientation > 1 or file.format.name in ("avif", "heic")):
        xmp = _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
    if resolution is None and exif is not None:
        resolution = exif_block.resolution(exif)
    if resolution is not None and turned:
        resolution = resolution[::-1]
    return Metadata(icc, exif, xmp, resolution)


def _open_heic(name: str, data: bytes, row: Format) -> _File:
    try:
        import pillow_heif
    except ImportError:
        raise MissingExtraError("Reading HEIC pictures", "heic") from None
    heif = pillow_heif.open_heif(data, convert_hdr_to_8bit=False)
    width, height = heif.size
    return _File(name, data, row, width, height, len(heif), 1, heif)


def _decode_heic(file: _File, warnings: list[str]) -> tuple[Pixels, bool, int, Metadata]:
    heif = file.image
    bits = heif.info.get("bit_depth", 8)
    pixels = np.array(heif)  # a copy: pillow-heif keeps its own
    gray = heif.mode.startswith("L")
    if heif.mode.startswith("LA"):
        pixels = np.ascontiguousarray(pixels[..., [0, 0, 0, 1]])
    metadata = Metadata(
        heif.info.get("icc_profile") or None,
        (heif.info.get("exif") or b"").removeprefix(exif_block.PREFIX) or None,
        heif.info.get("xmp") or None,
    )
    return (full_range(pixels, bits) if pixels.dtype == np.uint16 else pixels), gray, bits, metadata
