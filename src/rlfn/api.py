"""``rlfn.upscale``: one call for arrays, Pillow pictures, bytes, file objects and paths."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from rlfn.atomic import check_path
from rlfn.errors import OptionError, OutputError, PictureWarning, as_argument, setting, worded
from rlfn.images.files import (
    DEFAULT_MAX_PIXELS,
    FORMATS,
    Picture,
    check_writable_size,
    format_for,
    read_picture,
    write_picture,
)
from rlfn.images.formats import check_quality
from rlfn.images.pillow import check_pillow_can, from_pillow, is_pillow, require_pillow, to_pillow
from rlfn.inference.engines import AUTO, CPU, Engine
from rlfn.inference.enlarge import Enlarged, EnlargeOptions, Enlarger, UpscalerPool
from rlfn.inference.sizing import Wanted

if TYPE_CHECKING:
    from PIL.Image import Image

_POOL = UpscalerPool()
"""The models that calls of this module have loaded."""

_ALLOWED = "a NumPy array, a Pillow picture, bytes, a binary file object, or a path"


class _Options(TypedDict, total=False):
    width: int | None
    height: int | None
    model: str | os.PathLike[str] | None
    engine: str | Engine
    precision: str
    threads: int | None
    tile: int | Literal["auto"]
    self_ensemble: bool
    wrap: bool
    restore: float | str
    keep_hidden: bool
    device: str
    format: str | None
    quality: int | None
    max_pixels: int | None


class UpscaleOptions(_Options, total=False):
    """The options of :func:`upscale` by name, see there."""

    scale: float | None
    output: str | os.PathLike[str] | BinaryIO | None


@dataclass(frozen=True)
class Upscaled:
    """What :func:`upscale_with_details` returns.

    Attributes:
        picture: what :func:`upscale` returns.
        size: its (width, height) in px.
        model, engine, precision, device: what computed it; the device is ``"cpu"``, or the GPU's name.
        restore, restore_reason: how strongly it was restored, 0 to 1, and why.
        warnings: what was changed or lost on the way, a sentence each.
    """

    picture: Any
    size: tuple[int, int]
    model: str
    engine: str
    precision: str
    restore: float
    restore_reason: str
    device: str
    warnings: tuple[str, ...]


@overload
def upscale(
    picture: Any, scale: float | None = ..., *, output: str | os.PathLike[str], **options: Unpack[_Options]
) -> Path: ...
@overload
def upscale(picture: Any, scale: float | None = ..., *, output: BinaryIO, **options: Unpack[_Options]) -> BinaryIO: ...
@overload
def upscale(
    picture: NDArray[Any], scale: float | None = ..., *, output: None = ..., **options: Unpack[_Options]
) -> NDArray[Any]: ...
@overload
def upscale(picture: bytes, scale: float | None = ..., *, output: None = ..., **options: Unpack[_Options]) -> bytes: ...
@overload
def upscale(
    picture: Image | str | os.PathLike[str],
    scale: float | None = ...,
    *,
    output: None = ...,
    **options: Unpack[_Options],
) -> Image: ...
@overload
def upscale(
    picture: BinaryIO, scale: float | None = ..., *, output: None = ..., **options: Unpack[_Options]
) -> io.BytesIO: ...


def upscale(
    picture: Any,
    scale: float | None = None,
    *,
    width: int | None = None,
    height: int | None = None,
    model: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | BinaryIO | None = None,
    engine: str | Engine = AUTO,
    precision: str = AUTO,
    threads: int | None = None,
    tile: int | Literal["auto"] = "auto",
    self_ensemble: bool = False,
    wrap: bool = False,
    restore: float | str = AUTO,
    keep_hidden: bool = False,
    device: str = CPU,
    format: str | None = None,
    quality: int | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
) -> Any:
    """Upscale a picture: what goes in comes out, larger; a path gives a Pillow picture.

    What was changed or lost on the way is a :class:`rlfn.PictureWarning`.

    Args:
        picture: uint8 or uint16 array, gray (H, W), RGB (H, W, 3) or RGBA (H, W, 4); a Pillow picture; the bytes of a
            picture file, which give bytes; a binary file object, which gives an ``io.BytesIO``; or a path.
        scale: any factor up to the model's; below it, the result is reduced with bicubic. None for the model's own.
        width, height: the size wanted in px, in place of ``scale``; one side keeps the proportions.
        model: a packaged model, a family such as ``"rlfn-xs"`` for its model that fits the size, or the path of a model
            file; None for the default family.
        output: a path or a binary file object to write to instead: metadata is kept, an existing file is replaced. The
            path, or the file object, is returned.
        engine, precision, threads, tile: see :class:`rlfn.Upscaler`, which is the better choice for many images.
        self_ensemble: average over the eight flips and rotations.
        wrap: the picture is a tile of a seamless texture, so its borders are continued by the opposite side.
        restore: how strongly noise and traces of lossy coding are removed, from 0 or ``"off"`` to 1, in steps of a
            quarter; ``"auto"`` chooses by the picture. It takes a family with weights for photographs.
        keep_hidden: colours under transparent pixels are upscaled as they are, as game textures need it.
        device: ``"cpu"``; ``"gpu"`` for the first GPU that Vulkan has, ``"gpu:1"`` for the one of that number. Where
            none can do the work, the processor does it, and a warning says why.
        format: of what is written, such as ``"png"``; None for what the path says, else the input's own, else PNG.
        quality: 1 to 100, of lossy formats.
        max_pixels: larger picture files are refused; None for no limit.

    Raises:
        OptionError: an argument that is not allowed, or a size that no model reaches.
        PictureError, ModelError, OutputError: the picture, the model or the output.

    >>> import numpy as np
    >>> upscale(np.zeros((20, 30), np.uint8), 3).shape
    (60, 90)
    """
    result = upscale_with_details(
        picture,
        scale=scale,
        width=width,
        height=height,
        model=model,
        output=output,
        engine=engine,
        precision=precision,
        threads=threads,
        tile=tile,
        self_ensemble=self_ensemble,
        wrap=wrap,
        restore=restore,
        keep_hidden=keep_hidden,
        device=device,
        format=format,
        quality=quality,
        max_pixels=max_pixels,
    )
    for text in result.warnings:
        warnings.warn(text, PictureWarning, stacklevel=2)
    return result.picture


def upscale_with_details(picture: Any, **options: Unpack[UpscaleOptions]) -> Upscaled:
    """Upscale a picture and say what computed it and what was lost; no Python warning is issued.

    Args:
        picture: see :func:`upscale`.
        options: those of :func:`upscale`.

    Raises:
        OptionError, PictureError, ModelError, OutputError: as :func:`upscale`.

    >>> import numpy as np
    >>> upscale_with_details(np.zeros((20, 30), np.uint8), model="rlfn-xs", scale=2).model
    'rlfn-xs-x2'
    """
    for name in options:
        if name not in UpscaleOptions.__annotations__:
            raise TypeError(f"upscale_with_details() got an unexpected keyword argument '{name}'")
    output, format = options.get("output"), options.get("format")
    check_quality(options.get("quality"))
    _check_limit(options.get("max_pixels"))
    enlarger = Enlarger(
        EnlargeOptions(
            Wanted(options.get("scale"), options.get("width"), options.get("height")),
            options.get("model"),
            options.get("engine", AUTO),
            options.get("precision", AUTO),
            options.get("threads"),
            options.get("tile", "auto"),
            options.get("self_ensemble", False),
            options.get("wrap", False),
            options.get("restore", AUTO),
            options.get("keep_hidden", False),
            options.get("device", CPU),
        ),
        _POOL,
    )
    _check_given(picture)
    _check_output(picture, output, format)
    loaded = _load(picture, options.get("max_pixels", DEFAULT_MAX_PIXELS), upright=output is not None)
    encoded = output is not None or isinstance(picture, bytes) or hasattr(picture, "read")
    if encoded:
        format = _format(loaded, output, format)
        check_writable_size(format, *enlarger.size(loaded.width, loaded.height))
    elif not isinstance(picture, np.ndarray):
        check_pillow_can(loaded)
    made = enlarger.with_auto_engine(loaded.width * loaded.height)(loaded.pixels, coding=loaded.coding)
    result = replace(loaded, pixels=made.image)
    if not encoded:
        if isinstance(picture, np.ndarray):
            return _details(made.image, result, made)
        missing: list[str] = []
        given_back = to_pillow(result, picture if is_pillow(picture) else None, missing)
        return _details(given_back, result, made, tuple(missing))
    target = io.BytesIO() if output is None else output
    lost = write_picture(result, target, format=format, quality=options.get("quality"))
    return _details(_handed_back(picture, output, target), result, made, lost)


def _details(given_back: Any, result: Picture, made: Enlarged, lost: tuple[str, ...] = ()) -> Upscaled:
    told = tuple(worded(text, as_argument) for text in (*result.warnings, *made.warnings, *lost))
    restore = made.restore
    return Upscaled(
        given_back,
        (result.width, result.height),
        made.model,
        made.engine,
        made.precision,
        restore.strength,
        restore.reason,
        made.device,
        told,
    )


def _handed_back(picture: Any, output: Any, target: Any) -> Any:
    """Return what the caller gets of a picture that was encoded into ``target``."""
    if output is not None:
        return Path(output) if isinstance(output, str | os.PathLike) else output
    if isinstance(picture, bytes):
        return target.getvalue()
    target.seek(0)
    return target


def _check_limit(pixels: Any) -> None:
    """Refuse what is no limit of pixels."""
    if pixels is not None and not (isinstance(pixels, Integral) and int(pixels) > 0):
        raise OptionError(
            f"{setting('max_pixels')} was given as {pixels!r}. Allowed: a whole number above 0, or None for no limit."
        )


def _check_given(picture: Any) -> None:
    """Refuse what is no kind of picture."""
    if isinstance(picture, io.TextIOBase):
        raise OptionError("A text file object was given. Open the file in binary mode ('rb').")
    known = isinstance(picture, np.ndarray | bytes | str | os.PathLike) or hasattr(picture, "read")
    if not (known or is_pillow(picture)):
        raise OptionError(f"Cannot upscale a {type(picture).__name__}. Allowed: {_ALLOWED}.")


def _check_output(picture: Any, output: Any, format: str | None) -> None:
    """Refuse an output that cannot be written or would replace the input, before the work."""
    if format is not None:
        if not isinstance(format, str):
            raise OptionError(f"{setting('format')} was given as {format!r}. Allowed: a name such as 'png', or None.")
        format_for(format)
    if output is None:
        if isinstance(picture, str | os.PathLike):
            require_pillow()
        return
    if isinstance(output, io.TextIOBase):
        raise OptionError("The output is a text file object. Open the file in binary mode ('wb').")
    if not isinstance(output, str | os.PathLike):
        if not hasattr(output, "write"):
            raise OptionError(
                f"Cannot write to a {type(output).__name__}. Allowed as {setting('output')}: a path, or a binary file "
                "object."
            )
        return
    path = Path(output)
    if "\0" in str(path):
        raise OutputError(f"{str(path)!r} cannot be a file's name: it holds a zero byte.")
    if format is None:
        format_for(path)
    if isinstance(picture, str | os.PathLike):
        source = Path(picture)
        if source.exists() and path.exists() and source.samefile(path):
            raise OptionError(f"{source} would be replaced by its own result. Inputs are never overwritten.")
    check_path(path, make_folders=False)


def _format(loaded: Picture, output: Any, format: str | None) -> str:
    """Return the format to write."""
    if format is not None:
        return format_for(format).name
    if isinstance(output, str | os.PathLike):
        return format_for(Path(output)).name
    return loaded.format if FORMATS[loaded.format].writable else "png"


def _load(picture: Any, max_pixels: int | None, *, upright: bool) -> Picture:
    """Return pixels and metadata; ``upright``: a Pillow picture is turned as a file is to hold it."""
    if isinstance(picture, np.ndarray):
        return Picture(picture)
    if is_pillow(picture):
        return from_pillow(picture, upright=upright)
    if not hasattr(picture, "read"):
        return read_picture(picture, max_pixels=max_pixels)
    try:
        data = picture.read()
    except ValueError as error:
        raise OptionError(f"The file object cannot be read: {error}. Give one that is open.") from error
    if not isinstance(data, bytes | bytearray | memoryview):
        raise OptionError(
            f"The file object gave {type(data).__name__}, not bytes. Open the file in binary mode ('rb')."
        )
    return read_picture(bytes(data), max_pixels=max_pixels)
