"""Arrays to picture files: whole or not at all, with all that belongs to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyvips

from rlfn.atomic import interrupts_held, to_path, to_stream
from rlfn.errors import OptionError, OutputError
from rlfn.images import exif as exif_block
from rlfn.images.containers import JPEG_EXIF_MAX, JPEG_XMP_MAX, Splice, splice_for
from rlfn.images.formats import Format, check_quality, check_writable_size, format_for
from rlfn.images.picture import Metadata, Picture, profile_problem

_SAVERS: dict[str, tuple[str, dict[str, Any]]] = {
    # Full colour resolution. Optimal tables would make files a few per cent smaller, but hold the whole picture as
    # coefficients: twice the memory of its pixels once more.
    "jpg": ("jpegsave_target", {"subsample_mode": "off"}),
    # benchmarks/png_level.py, 8 bit: level 2 with the one filter "up" takes 0.037 s a megapixel for 1.45 MB. libvips'
    # default (6, "none") takes 0.087 s for 2.43 MB; the smallest (6, "all") 0.158 s for 1.32 MB.
    "png": ("pngsave_target", {"compression": 2, "filter": "up"}),
    # "exact" keeps the colours under transparent pixels.
    "webp": ("webpsave_target", {"smart_subsample": True, "exact": True}),
    # The one lossless compression that every TIFF reader has; with the predictor 0.05 s a megapixel.
    "tiff": ("tiffsave_target", {"compression": "lzw", "predictor": "horizontal", "resunit": "inch"}),
    # Effort 1 takes 0.26 s a megapixel; 2 takes 0.62 s for 4 % less, 4 takes 3.9 s for 16 % less.
    "avif": ("heifsave_target", {"compression": "av1", "effort": 1, "subsample_mode": "off"}),
}
_DEFAULT_RESOLUTION = 72 / 25.4  # what readers assume where nothing is stated
_CLASSIC_TIFF_MAX = 4_000_000_000


def write_picture(
    picture: Picture,
    target: str | os.PathLike[str] | BinaryIO,
    *,
    format: str | None = None,
    quality: int | None = None,
) -> tuple[str, ...]:
    """Write ``picture`` as an upright picture file and return warnings about what the format could not keep.

    A path is written under a temporary name in the same folder and then renamed, replacing what was there; whatever
    goes wrong, nothing partial stays. A stream gets the file's bytes once it has been encoded as a whole.

    Args:
        picture: what to write; its ``warnings`` are not repeated.
        target: a path, or a binary stream.
        format: a writable name of ``FORMATS``; by default the path's suffix, and ``png`` for a stream.
        quality: 1 to 100 for lossy formats; by default the format's ``default_quality``.

    Raises:
        OptionError: unknown format, quality out of range, or an array of the wrong kind.
        OutputError: too large for the format, or the target cannot be written.
    """
    is_path = isinstance(target, (str, os.PathLike))
    row = format_for(format if format is not None else (Path(target) if is_path else "png"))  # type: ignore[arg-type]
    _check_kind(picture)
    check_writable_size(row.name, picture.width, picture.height)
    warnings: list[str] = []
    quality = _quality(row, quality, warnings)
    metadata = _fitting(picture, row, warnings)
    image = _fitting_pixels(picture, row, warnings)

    def encode(stream: BinaryIO) -> None:
        _encode(image, picture, metadata, row, quality, stream, warnings)

    if is_path:
        to_path(Path(target), encode)  # type: ignore[arg-type]
    else:
        to_stream(target, encode)  # type: ignore[arg-type]
    return tuple(warnings)


def _check_kind(picture: Picture) -> None:
    pixels = picture.pixels
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise OptionError(
            f"A picture cannot be an array of {pixels.dtype} with shape {pixels.shape}. "
            "Allowed: uint8 or uint16, (H, W), (H, W, 3) or (H, W, 4)."
        )
    if 0 in pixels.shape:
        raise OptionError(f"A picture needs at least one pixel; this array has shape {pixels.shape}.")


def _quality(row: Format, quality: int | None, warnings: list[str]) -> int | None:
    if quality is None:
        return row.default_quality
    check_quality(quality)
    if row.lossy:
        return quality
    warnings.append(f"quality {quality} ignored: {row.title} keeps every pixel")
    return None


def _is_gray(picture: Picture) -> bool:
    return picture.gray or picture.pixels.ndim == 2


def _fitting(picture: Picture, row: Format, warnings: list[str]) -> Metadata:
    """Make metadata fit the pixels and the format."""
    metadata = picture.metadata
    icc, exif, xmp = metadata.icc, metadata.exif, metadata.xmp
    if icc is not None and (problem := profile_problem(icc, _is_gray(picture))):
        warnings.append(f"colour profile dropped: {problem}")
        icc = None
    if icc is not None and not row.gray and _is_gray(picture):
        warnings.append(f"gray colour profile dropped: {row.title} stores gray as RGB")
        icc = None
    if exif is not None:
        try:
            exif = exif_block.reset(exif, picture.width, picture.height)
        except exif_block.DamagedExif:
            warnings.append("damaged EXIF dropped")
            exif = None
    elif metadata.resolution is not None and row.name in ("webp", "avif"):  # which have no other place for it
        exif = exif_block.from_resolution(metadata.resolution)
    if row.name == "jpg":
        if exif is not None and len(exif) > JPEG_EXIF_MAX:
            warnings.append(f"EXIF of {len(exif):,} bytes dropped: JPEG holds {JPEG_EXIF_MAX:,}")
            exif = None
        if xmp is not None and len(xmp) > JPEG_XMP_MAX:
            warnings.append(f"XMP of {len(xmp):,} bytes dropped: JPEG holds {JPEG_XMP_MAX:,}")
            xmp = None
    return replace(metadata, icc=icc, exif=exif, xmp=xmp)


def _fitting_pixels(picture: Picture, row: Format, warnings: list[str]) -> Any:
    """Wrap the pixels, without a copy, in a pyvips image that converts to what the format holds as it is read."""
    pixels = picture.pixels
    image = pyvips.Image.new_from_array(pixels if pixels.flags.c_contiguous else np.ascontiguousarray(pixels))
    deep = pixels.dtype == np.uint16
    if _is_gray(picture) and image.bands >= 3:
        image = image.extract_band(0) if image.bands == 3 else image.extract_band(0).bandjoin(image.extract_band(3))
    top = 65_535 if deep else 255
    shallow = deep and max(row.depths) == 8
    flat = image.bands in (2, 4) and not row.alpha
    if flat:
        warnings.append(f"transparency flattened over white: {row.title} has none")
        alpha = image.extract_band(image.bands - 1).cast("double")
        colours = image.extract_band(0, n=image.bands - 1).cast("double")
        image = colours * alpha / top + (top - alpha)
    if shallow:
        warnings.append(f"16 bit reduced to 8: {row.title} has no more")
        image = (image / 257 + 0.5).floor().cast("uchar")
    elif flat:
        image = (image + 0.5).floor().cast("ushort" if deep else "uchar")
    elif deep and row.name == "avif":
        bits = _avif_bits(picture)
        image = (image * ((2**bits - 1) / 65_535) + 0.5).floor().cast("ushort") << (16 - bits)
        if bits < picture.bits:
            warnings.append(f"{picture.bits} bit reduced to {bits}: AVIF has no more")
    kinds = ("grey16", "rgb16") if deep and not shallow else ("b-w", "srgb")
    return image.copy(interpretation=kinds[image.bands >= 3])


def _avif_bits(picture: Picture) -> int:
    """Return the depth for AVIF: that of the source, at most 12."""
    if picture.pixels.dtype == np.uint8:
        return 8
    return 10 if picture.bits == 10 else 12


def _encode(
    image: Any,
    picture: Picture,
    metadata: Metadata,
    row: Format,
    quality: int | None,
    stream: BinaryIO,
    warnings: list[str],
) -> None:
    """Encode into ``stream``, which can be read and sought in."""
    xres, yres = metadata.resolution or (_DEFAULT_RESOLUTION, _DEFAULT_RESOLUTION)
    image = image.copy(xres=xres, yres=yres)
    name, options = _SAVERS[row.name]
    options = dict(options)
    keep = ["icc"]
    if quality is not None:
        options["Q"] = quality
    if row.name == "avif":
        options["bitdepth"] = _avif_bits(picture)
        if metadata.exif is not None:
            keep.append("exif")
            image.set_type(pyvips.GValue.blob_type, "exif-data", exif_block.PREFIX + metadata.exif)
    if row.name == "tiff":
        options["bigtiff"] = picture.pixels.nbytes > _CLASSIC_TIFF_MAX
    if metadata.icc is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", metadata.icc)
    if metadata.xmp is not None and row.name not in ("jpg", "png"):  # the splice adds it there
        keep.append("xmp")
        image.set_type(pyvips.GValue.blob_type, "xmp-data", metadata.xmp)
    sink = _Sink(stream, splice_for(row.name, metadata, picture.width, picture.height))
    sink.take(lambda target: getattr(image, name)(target, keep="|".join(keep), **options))
    if row.name == "tiff" and metadata.exif is not None:
        try:
            exif_block.into_tiff(stream, metadata.exif)
        except exif_block.DamagedExif:
            warnings.append("EXIF dropped: it is damaged, or the TIFF file is over 4 GB")


class _Sink:
    """Hands what libvips encodes to a Python stream, and Python's errors past libvips to the caller."""

    def __init__(self, stream: BinaryIO, splice: Splice | None) -> None:
        self._stream = stream
        self._splice = splice
        self._head = b""
        self._error: BaseException | None = None

    def take(self, save: Callable[[Any], object]) -> None:
        """Run ``save`` on a libvips target that writes here.

        Raises:
            OutputError: libvips cannot encode the picture.
            OSError: the stream cannot be written.
        """
        target = pyvips.TargetCustom()
        target.on_write(self._guarded(self._write, -1))
        target.on_read(self._guarded(self._stream.read, None))
        target.on_seek(self._guarded(self._stream.seek, -1))
        try:
            with interrupts_held():
                save(target)
        except pyvips.Error as error:
            if self._error is None:
                detail = " ".join(str(error).split())
                raise OutputError(f"The picture cannot be encoded ({detail}). Try another format.") from None
        if self._error is not None:
            raise self._error
        if self._splice is not None:
            raise OutputError("The encoded picture has no place for its metadata. Try another format.")

    def _guarded(self, call: Callable[..., Any], failed: object) -> Callable[..., Any]:
        """Wrap ``call`` so that no exception crosses libvips' C code; take() raises it again."""

        def guarded(*args: Any) -> Any:
            try:
                return call(*args)
            except BaseException as error:
                self._error = self._error or error
                return failed

        return guarded

    def _write(self, chunk: Any) -> int:
        data = bytes(chunk)
        size = len(data)
        if self._splice is not None:
            self._head += data
            spliced = self._splice(self._head)
            if spliced is None:
                return size
            data, self._splice, self._head = spliced, None, b""
        self._stream.write(data)
        return size
