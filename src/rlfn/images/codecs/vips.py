"""What the codecs that libvips decodes and encodes have in common."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
import pyvips

from rlfn.atomic import interrupts_held
from rlfn.errors import OutputError
from rlfn.forked import ForkGuard
from rlfn.images import exif as exif_block
from rlfn.images.codecs.codec import Content, Encoding
from rlfn.images.codecs.exif_guard import GUARDED, without_exhausting
from rlfn.images.convert import as_srgb, from_float, full_range, unpremultiplied
from rlfn.images.picture import Metadata, Unreadable
from rlfn.images.stated import StatedColor
from rlfn.wording import one_line

FORK_GUARD = ForkGuard("libvips", "read or write pictures")
"""What decodes and encodes; reading a header starts none."""

Error = pyvips.Error
"""What libvips raises."""

Splice = Callable[[bytes], bytes | None]
"""Takes the first bytes of an encoded file; returns them with metadata added, or ``None`` when it needs more.

libvips would take an EXIF block apart and rebuild it, add tags that nobody wrote, leave long XMP out of JPEG, and
put it into a compressed chunk of PNG that few readers look at. Such blocks are added to the encoded file instead, while
it streams by.
"""


def _silence(domains: Iterable[bytes]) -> None:
    """Let what libvips and the libraries beneath it remark go nowhere.

    pyvips hands it to Python's logging. That runs Python code on libvips' own threads while they hold its locks, and a
    garbage collection that strikes there takes images apart and aborts the process. So the handler is a C function that
    does nothing with the domain's name: strlen. Errors do not go this way.
    """
    library = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)
    nothing = pyvips.ffi.cast("GLogFunc", ctypes.cast(library.strlen, ctypes.c_void_p).value)
    levels = pyvips.GLogLevelFlags
    every = sum(levels.LEVEL_TO_LOGGER) | levels.FLAG_FATAL | levels.FLAG_RECURSION
    for domain in domains:
        pyvips.glib_lib.g_log_set_handler(domain, every, nothing, pyvips.ffi.NULL)


_silence((b"VIPS", b"GLib", b"GLib-GObject", b"GLib-GIO", b"GModule"))

_UNSTATED = (1.0, 1.0)  # libvips' resolution for a TIFF, WebP or AVIF file that states none, in pixels a millimetre
_DEFAULT_RESOLUTION = 72 / 25.4  # what readers assume where nothing is stated
_CONVERTED = ("cmyk", "lab", "labs", "labq")
_TAMED = "rlfn-tamed"
_DTYPES = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32, "double": np.float64}


def load(loader: str, data: bytes, *, fail_on: str = "error", **options: Any) -> Any:
    """Read the header by the one loader that the first bytes call for."""
    pyvips.vips_lib.vips_error_clear()  # or a later message would repeat remarks on other files
    tame = without_exhausting(loader, data) if loader in GUARDED else data
    image = getattr(pyvips.Image, f"{loader}load_buffer")(
        tame, access="sequential", fail_on=fail_on, revalidate=True, **options
    )
    if tame is not data:
        image = image.copy()
        image.set_type(pyvips.GValue.gint_type, _TAMED, 1)
    return image


def remarks() -> bytes:
    """Return what libvips and its decoders have remarked since the last header was read."""
    return bytes(pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer()))


def field(image: Any, name: str) -> Any:
    """Return a field of a libvips image, None where it has no such field."""
    return image.get(name) if image.get_typeof(name) else None


def orientation(image: Any) -> int:
    """Return the EXIF orientation (1 to 8) that the header states."""
    return field(image, "orientation") or 1


def resolution(image: Any) -> tuple[float, float] | None:
    """Return the resolution that the file states; libvips fills in one of its own where there is none."""
    stated = (image.xres, image.yres)
    return None if stated == _UNSTATED else stated


def metadata(image: Any) -> Metadata:
    """Return the blocks that libvips hands through."""
    block = field(image, "exif-data")
    return Metadata(
        field(image, "icc-profile-data"),
        block.removeprefix(exif_block.PREFIX) if block else None,
        field(image, "xmp-data"),
        resolution(image),
    )


def content(
    image: Any,
    found: Metadata,
    warnings: list[str],
    *,
    bits: int | None = None,
    color: StatedColor | None = None,
    channels: tuple[int, int] | None = None,
    premultiplied: bool = False,
) -> Content:
    """Decode the pixels.

    Args:
        image: whose header was read.
        found: the metadata that goes with it.
        warnings: gets what was lost or changed.
        bits: the depth of 16-bit values that lie in their upper bits.
        color: what is said of the colours.
        channels: how many bands are colours, and the number of the one that is alpha, 0 for none; None for what the
            decoder takes them for.
        premultiplied: the colours are multiplied by alpha.

    Raises:
        Unreadable: pixels of a kind that cannot be taken.
        ForkedError: libvips works in the process that this one was forked from.
    """
    FORK_GUARD.enter()
    if image.format not in _DTYPES and image.interpretation not in _CONVERTED:
        raise Unreadable(
            f"holds pixels of type {image.format}. Allowed: 8 or 16 bit, or floating point from 0 to 1. "
            "Convert it to 16 bit first."
        )
    if image.get_typeof(_TAMED) and found.exif is None and not any("damaged EXIF" in text for text in warnings):
        warnings.append("damaged EXIF dropped")
    image, alpha = _parted(image, channels, warnings)
    if image.interpretation in _CONVERTED:
        image = as_srgb(image, field(image, "bits-per-sample") or 8, warnings)
        found, color = replace(found, icc=None), None
    found = replace(found, color=color)
    gray = image.bands <= 2
    if alpha is not None:
        image = image.bandjoin([image, image, alpha] if gray else alpha)
    shape = (image.height, image.width, image.bands)[: 2 if image.bands == 1 else 3]
    pixels = np.frombuffer(image.write_to_memory(), _DTYPES[image.format]).reshape(shape)
    depth = 8
    if pixels.dtype.kind == "f":
        depth, pixels = 16, from_float(pixels, warnings)
    elif pixels.dtype == np.uint16:
        depth = bits or 16
        pixels = full_range(pixels, depth)
    return Content(unpremultiplied(pixels) if premultiplied and alpha is not None else pixels, gray, depth, found)


def _parted(image: Any, channels: tuple[int, int] | None, warnings: list[str]) -> tuple[Any, Any]:
    """Return the bands that are colours, and the one that is alpha, or None."""
    colors = 4 if image.interpretation == "cmyk" else 1 if image.bands <= 2 else 3
    alpha = colors if image.bands > colors else 0
    if channels is not None and image.bands >= channels[0] + (channels[1] > 0) and channels[0] in (1, 3, 4):
        colors, alpha = channels
    extra = image.bands - colors - (alpha > 0)
    if extra > 0:
        warnings.append(f"{extra} extra channel{'s' if extra > 1 else ''} dropped")
    band = image.extract_band(alpha) if alpha else None
    return (image.extract_band(0, n=colors) if image.bands > colors else image), band


def save(
    saver: str,
    given: Encoding,
    stream: BinaryIO,
    *,
    keep: Iterable[str] = ("icc",),
    splice: Splice | None = None,
    **options: Any,
) -> None:
    """Encode into ``stream`` by one of libvips' savers.

    Args:
        saver: its name, as in ``"png"``.
        given: what to encode.
        stream: can be read and sought in.
        keep: which blocks libvips shall write: "icc", "exif", "xmp".
        splice: what adds other blocks.
        options: of the saver.

    Raises:
        OutputError: libvips cannot encode the picture.
        OSError: the stream cannot be written.
    """
    FORK_GUARD.enter()
    xres, yres = given.metadata.resolution or (_DEFAULT_RESOLUTION, _DEFAULT_RESOLUTION)
    image = given.image.copy(xres=xres, yres=yres)
    exif = given.metadata.exif
    blocks = {
        "icc": ("icc-profile-data", given.metadata.icc),
        "exif": ("exif-data", exif and exif_block.PREFIX + exif),
        "xmp": ("xmp-data", given.metadata.xmp),
    }
    kept = ["none"]
    for kind in keep:
        name, block = blocks[kind]
        if block is not None:
            image.set_type(pyvips.GValue.blob_type, name, block)
            kept.append(kind)
    if given.quality is not None:
        options["Q"] = given.quality
    sink = _Sink(stream, splice)
    sink.take(lambda target: getattr(image, f"{saver}save_target")(target, keep="|".join(kept), **options))


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
                raise OutputError(f"The picture cannot be encoded ({one_line(error)}). Try another format.") from None
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
