"""``rlfn.upscale``: one call for arrays, Pillow pictures, bytes, file objects and paths."""

from __future__ import annotations

import inspect
import io
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from rlfn.api import pool
from rlfn.api.arguments import as_given, check_given, check_output, check_progress, load
from rlfn.errors import PictureWarning
from rlfn.images.files import DEFAULT_MAX_PIXELS, result_format
from rlfn.images.formats import check_quality
from rlfn.images.pillow import check_pillow_can, is_pillow, to_pillow
from rlfn.images.reading import check_max_pixels
from rlfn.inference.engines import AUTO, CPU, Engine
from rlfn.inference.enlarge import Enlarger
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.sizing import Wanted
from rlfn.jobs.picture import upscale_picture
from rlfn.jobs.record import Details
from rlfn.wording import as_argument, worded

if TYPE_CHECKING:
    from PIL.Image import Image


class _Options(TypedDict, total=False):
    """The options of :func:`upscale` but for ``output``, which decides what is returned."""

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
    progress: Callable[[float], None] | None


class UpscaleOptions(_Options, total=False):
    """The keyword options of :func:`upscale_with_details`, see :func:`upscale`."""

    output: str | os.PathLike[str] | BinaryIO | None


@dataclass(frozen=True)
class Upscaled(Details):
    """What :func:`upscale_with_details` returns. ``rlfn upscale --json`` and the server use the same names.

    Attributes:
        picture: what :func:`upscale` returns.
        input_size, output_size: (width, height) in px.
        format: the format that ``picture`` or the output is encoded in, such as ``"png"``; None for arrays and Pillow
            pictures.
        model, engine, precision, device: what computed it; the device is ``"cpu"``, or the GPU's name.
        restore, restore_reason: how strongly it was restored, 0 to 1, and why.
        warnings: what was changed, lost, or computed differently than requested, a sentence each.
        seconds: the time for reading, loading the model, inference and writing.
    """

    picture: Any


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
def upscale(
    picture: bytes | bytearray | memoryview,
    scale: float | None = ...,
    *,
    output: None = ...,
    **options: Unpack[_Options],
) -> bytes: ...
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
    progress: Callable[[float], None] | None = None,
) -> Any:
    """Upscale a picture and return the same kind of object; a path gives a Pillow picture.

    What was changed, lost, or computed differently than requested is reported as a :class:`rlfn.PictureWarning`.
    Loaded models are kept, so later calls do not load them again; :func:`rlfn.unload_models` releases them.

    Args:
        picture: uint8 or uint16 array, gray (H, W) or (H, W, 1), RGB (H, W, 3) or RGBA (H, W, 4); a Pillow picture; the
            content of a picture file as bytes, bytearray or memoryview, which gives bytes; a binary file object, which
            gives an ``io.BytesIO``; or a path.
        scale: any factor up to the model's; for smaller factors the model's result is reduced with bicubic. None for
            the model's own.
        width, height: the output size in px, instead of ``scale``; with only one of them the aspect ratio is kept.
        model: a packaged model; a family such as ``"rlfn-xs"``, whose model is chosen by the size; or the path of a
            model file. None for the default family.
        output: a path or a binary file object to write to, with the picture's metadata. An existing file is replaced.
            The path or the file object is returned.
        engine, precision, threads, tile: see :class:`rlfn.Upscaler`, which runs one model on arrays and never restores.
        self_ensemble: average over the eight flips and rotations.
        wrap: the picture is a tile of a seamless texture: each border continues at the opposite side.
        restore: how strongly noise and compression artefacts are removed, from 0 or ``"off"`` to 1, in steps of 0.25;
            ``"auto"`` chooses by the picture. Requires a family that has photo weights.
        keep_hidden: upscale the colours under transparent pixels unchanged, as game textures need.
        device: ``"cpu"``; ``"gpu"`` for the first Vulkan GPU, ``"gpu:1"`` for GPU number 1. If no GPU can be used, the
            CPU is, and a warning says why.
        format: the format to write, such as ``"png"``; None for the path's suffix, otherwise the input's format,
            otherwise PNG.
        quality: 1 to 100, for lossy formats.
        max_pixels: refuse picture files with more pixels; None for no limit.
        progress: called with the share of the pixels that are done, above 0 to 1; an exception that it raises ends the
            work and is passed on.

    Raises:
        OptionError: an argument is not allowed, or no model reaches the size.
        PictureError, ModelError, OutputError: the picture, the model or the output cannot be used.
        MissingExtraError: the call needs packages that are not installed.
        ForkedError: this process was forked from one that had already used a library that the call needs.

    >>> import numpy as np
    >>> upscale(np.zeros((20, 30), np.uint8), 3).shape
    (60, 90)
    """
    result = _upscaled(
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
        progress=progress,
    )
    for text in result.warnings:
        warnings.warn(text, PictureWarning, stacklevel=2)
    return result.picture


_SIGNATURE = inspect.signature(upscale)


def upscale_with_details(picture: Any, scale: float | None = None, **options: Unpack[UpscaleOptions]) -> Upscaled:
    """Upscale a picture and return it with what computed it and what was lost; no Python warning is issued.

    Args:
        picture, scale, options: the arguments of :func:`upscale`, with the same defaults.

    Raises:
        OptionError, PictureError, ModelError, OutputError, MissingExtraError, ForkedError: as :func:`upscale`.

    >>> import numpy as np
    >>> upscale_with_details(np.zeros((20, 30), np.uint8), 2, model="rlfn-xs").model
    'rlfn-xs-x2'
    """
    given = _SIGNATURE.bind(picture, scale, **options)
    given.apply_defaults()
    return _upscaled(**given.arguments)


def _upscaled(
    picture: Any,
    *,
    scale: float | None,
    width: int | None,
    height: int | None,
    output: str | os.PathLike[str] | BinaryIO | None,
    format: str | None,
    quality: int | None,
    max_pixels: int | None,
    progress: Callable[[float], None] | None,
    **how: Any,
) -> Upscaled:
    """Upscale a picture; ``how`` are fields of :class:`EnlargeOptions`."""
    began = time.perf_counter()
    check_quality(quality)
    check_max_pixels(max_pixels)
    check_progress(progress)
    enlarger = Enlarger(EnlargeOptions(Wanted(scale, width, height), **how), pool.POOL)
    check_given(picture)
    picture = bytes(picture) if isinstance(picture, bytearray | memoryview) else picture
    check_output(picture, output, format)
    loaded = load(picture, max_pixels, upright=output is not None)
    encoded = output is not None or isinstance(picture, bytes) or hasattr(picture, "read")
    path = output if isinstance(output, str | os.PathLike) else None
    written = result_format(format, path, loaded.format) if encoded else None
    if written is None and not isinstance(picture, np.ndarray):
        check_pillow_can(loaded)
    made = upscale_picture(loaded, enlarger.with_auto_engine(loaded.width * loaded.height), written, progress=progress)
    messages = list(made.warnings)
    if written is not None:
        target = io.BytesIO() if output is None else output
        messages = list(made.write(target, quality))
        returned = _returned(picture, output, target)
    elif isinstance(picture, np.ndarray):
        returned = as_given(made.picture.pixels, picture)
    else:
        returned = to_pillow(made.picture, picture if is_pillow(picture) else None, messages)
    return Upscaled.of(
        made,
        picture=returned,
        warnings=tuple(worded(text, as_argument) for text in messages),
        seconds=time.perf_counter() - began,
    )


def _returned(picture: Any, output: Any, target: Any) -> Any:
    """Return what :func:`upscale` returns for a picture that was encoded into ``target``."""
    if output is not None:
        return Path(output) if isinstance(output, str | os.PathLike) else output
    if isinstance(picture, bytes):
        return target.getvalue()
    target.seek(0)
    return target
