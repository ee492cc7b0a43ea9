"""``rlfn.upscale``: one call for arrays, Pillow pictures and files."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import MissingExtraError, OptionError
from rlfn.inference.batch import pick_model
from rlfn.inference.sizing import Wanted
from rlfn.inference.upscaler import Upscaler

if TYPE_CHECKING:
    from PIL.Image import Image

    from rlfn.images.files import Picture

_CARRIED = ("icc_profile", "exif", "dpi", "xmp")


@overload
def upscale(
    picture: NDArray[Any],
    scale: float = ...,
    *,
    model: str | os.PathLike[str] | None = ...,
    output: None = ...,
    engine: str = ...,
    threads: int | None = ...,
    self_ensemble: bool = ...,
) -> NDArray[Any]: ...


@overload
def upscale(
    picture: Image | str | os.PathLike[str],
    scale: float = ...,
    *,
    model: str | os.PathLike[str] | None = ...,
    output: None = ...,
    engine: str = ...,
    threads: int | None = ...,
    self_ensemble: bool = ...,
) -> Image: ...


@overload
def upscale(
    picture: NDArray[Any] | Image | str | os.PathLike[str],
    scale: float = ...,
    *,
    model: str | os.PathLike[str] | None = ...,
    output: str | os.PathLike[str],
    engine: str = ...,
    threads: int | None = ...,
    self_ensemble: bool = ...,
) -> Path: ...


def upscale(
    picture: NDArray[Any] | Image | str | os.PathLike[str],
    scale: float = 4,
    *,
    model: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    engine: str = "auto",
    threads: int | None = None,
    self_ensemble: bool = False,
) -> NDArray[Any] | Image | Path:
    """Upscale a picture: array in, array out; Pillow in, Pillow out; path in, Pillow out.

    Args:
        picture: uint8 or uint16 array, gray (H, W), RGB (H, W, 3) or RGBA (H, W, 4); a Pillow picture; or a path.
        scale: any factor up to the model's; below it, the result is reduced with the bicubic of :mod:`rlfn.images`.
        model: packaged name or model file; None for the packaged model that fits the scale.
        output: a file to write instead: metadata is kept, an existing file is replaced, and its path is returned.
        engine: see :class:`rlfn.Upscaler`, which is the better choice for many pictures of several models.
        threads: CPU threads; None for all cores.
        self_ensemble: average over the eight flips and rotations.

    Raises:
        OptionError: an array or a Pillow mode that cannot be handled, or a scale that no model reaches.
        PictureError, ModelError, OutputError: the picture, the model or the output.

    >>> import numpy as np
    >>> upscale(np.zeros((20, 30), np.uint8), 3).shape
    (60, 90)
    """
    wanted = Wanted(scale=scale)
    upscaler = _upscaler(str(model) if model is not None else pick_model(scale).name, engine, threads)
    if scale > upscaler.scale + 1e-9:
        raise OptionError(f"A factor of {scale:g} was asked for, but {upscaler.model} upscales x{upscaler.scale}.")

    def enlarge(pixels: NDArray[Any]) -> NDArray[Any]:
        from rlfn.images.resize import resize

        result = upscaler(pixels, self_ensemble=self_ensemble)
        width, height = wanted.size(pixels.shape[1], pixels.shape[0], upscaler.scale)
        return result if result.shape[:2] == (height, width) else resize(result, size=(height, width))

    if isinstance(picture, np.ndarray) and output is None:
        return enlarge(picture)
    if (
        isinstance(picture, str | os.PathLike)
        and output is not None
        and Path(picture).resolve() == Path(output).resolve()
    ):
        raise OptionError(f"{picture} would be replaced by its own result. Inputs are never overwritten.")
    loaded = _load(picture)
    from dataclasses import replace

    result = replace(loaded, pixels=enlarge(loaded.pixels))
    if output is not None:
        from rlfn.images.files import write_picture

        write_picture(result, Path(output))
        return Path(output)
    return _to_pillow(result, picture)


@lru_cache(maxsize=4)
def _upscaler(model: str, engine: str, threads: int | None) -> Upscaler:
    return Upscaler(model, engine, threads)


def _load(picture: Any) -> Picture:
    """Return a file's, an array's or a Pillow picture's pixels and metadata."""
    from rlfn.images.files import Metadata, Picture, read_picture

    if isinstance(picture, np.ndarray):
        return Picture(picture)
    if isinstance(picture, str | os.PathLike):
        return read_picture(picture)
    pixels = _from_pillow(picture)
    dots = picture.info.get("dpi")
    resolution = (dots[0] / 25.4, dots[1] / 25.4) if dots else None
    metadata = Metadata(
        icc=picture.info.get("icc_profile"), exif=None, xmp=picture.info.get("xmp"), resolution=resolution
    )
    return Picture(pixels, metadata, gray=pixels.ndim == 2)


def _from_pillow(picture: Any) -> NDArray[Any]:
    mode = getattr(picture, "mode", None)
    if mode is None:
        raise OptionError(
            f"Cannot upscale a {type(picture).__name__}. Allowed: a NumPy array, a Pillow picture, or a path."
        )
    if mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    if mode in ("L", "RGB", "RGBA"):
        return np.array(picture)
    if mode == "1":
        return np.array(picture.convert("L"))
    if mode in ("P", "PA", "LA", "La", "RGBa"):
        return np.array(picture.convert("RGBA" if mode != "P" or "transparency" in picture.info else "RGB"))
    if mode in ("CMYK", "YCbCr", "HSV"):
        return np.array(picture.convert("RGB"))
    raise OptionError(f"Cannot upscale a Pillow picture of mode {mode}. Convert it to L, RGB, RGBA or I;16 first.")


def _to_pillow(result: Picture, source: Any) -> Image:
    try:
        from PIL import Image as pillow  # noqa: N813
    except ImportError:
        raise MissingExtraError("Returning a Pillow picture", "pillow") from None
    pixels = result.pixels
    if pixels.dtype == np.uint16 and pixels.ndim == 3:
        raise OptionError(
            "Pillow has no 16-bit colour pictures. Pass output= to write a PNG or TIFF, or pass the pixels as an array."
        )
    made = pillow.fromarray(pixels)
    if hasattr(source, "info"):
        made.info.update({key: source.info[key] for key in _CARRIED if key in source.info})
    else:
        metadata = result.metadata
        made.info.update({"icc_profile": metadata.icc} if metadata.icc else {})
        made.info.update({"exif": b"Exif\0\0" + metadata.exif} if metadata.exif else {})
    return made
