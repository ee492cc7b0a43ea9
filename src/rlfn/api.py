"""``rlfn.upscale``: one call for arrays, Pillow pictures and files."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from rlfn.atomic import check_path
from rlfn.errors import MissingExtraError, OptionError
from rlfn.images.exif import PREFIX as EXIF_PREFIX
from rlfn.images.files import Metadata, Picture, check_writable_size, format_for, read_picture, write_picture
from rlfn.images.resize import resize
from rlfn.inference.sizing import Wanted, check_reach, pick_model, picks
from rlfn.inference.upscaler import Upscaler

if TYPE_CHECKING:
    from PIL.Image import Image

_CARRIED = ("icc_profile", "exif", "dpi", "xmp")
_GRAY = ("LA", "La")


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
        model: packaged name or model file; a network's name, such as ``"rlfn-xs"``, for its packaged model that fits
            the scale; None for the default one.
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
    is_path = isinstance(picture, str | os.PathLike)
    if output is not None:
        _check_output(Path(picture) if is_path else None, Path(output))  # type: ignore[arg-type]
    elif not isinstance(picture, np.ndarray):
        _pillow("Returning a Pillow picture")
    asked = None if model is None else os.fspath(model)
    name = pick_model(scale, asked).name if asked is None or picks(asked) else asked
    upscaler = _upscaler(name, _stamp(name), engine, threads)
    check_reach(upscaler.model, upscaler.scale, scale)

    def enlarge(pixels: NDArray[Any]) -> NDArray[Any]:
        result = upscaler(pixels, self_ensemble=self_ensemble)
        width, height = wanted.size(pixels.shape[1], pixels.shape[0], upscaler.scale)
        return result if result.shape[:2] == (height, width) else resize(result, size=(height, width))

    if isinstance(picture, np.ndarray) and output is None:
        return enlarge(picture)
    loaded = _load(picture, upright=output is not None)
    if output is not None:
        check_writable_size(format_for(Path(output)).name, *wanted.size(loaded.width, loaded.height, upscaler.scale))
        write_picture(replace(loaded, pixels=enlarge(loaded.pixels)), output)
        return Path(output)
    if loaded.pixels.dtype == np.uint16 and loaded.pixels.ndim == 3:
        raise OptionError(
            "Pillow has no 16-bit colour pictures. Pass output= to write a PNG or TIFF, or pass the pixels as an array."
        )
    return _to_pillow(replace(loaded, pixels=enlarge(loaded.pixels)), picture)


def _check_output(source: Path | None, output: Path) -> None:
    """Refuse an output that cannot be written or would replace the input, before the work."""
    format_for(output)
    if source is not None and source.exists() and output.exists() and source.samefile(output):
        raise OptionError(f"{source} would be replaced by its own result. Inputs are never overwritten.")
    check_path(output, make_folders=False)


def _stamp(model: str) -> tuple[int, int] | None:
    """Return what changes when a model file does; None for a packaged one."""
    try:
        facts = os.stat(model)
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size


@lru_cache(maxsize=4)
def _upscaler(model: str, stamp: tuple[int, int] | None, engine: str, threads: int | None) -> Upscaler:
    return Upscaler(model, engine, threads)


def _load(picture: Any, upright: bool) -> Picture:
    """Return a file's, an array's or a Pillow picture's pixels and metadata; ``upright``: as a file is to hold them."""
    if isinstance(picture, np.ndarray):
        return Picture(picture)
    if isinstance(picture, str | os.PathLike):
        return read_picture(picture)
    if not hasattr(picture, "mode"):
        raise OptionError(
            f"Cannot upscale a {type(picture).__name__}. Allowed: a NumPy array, a Pillow picture, or a path."
        )
    if upright:
        from PIL import ImageOps

        picture = ImageOps.exif_transpose(picture)
    pixels = _from_pillow(picture)
    info = picture.info
    dots = info.get("dpi")
    metadata = Metadata(
        icc=info.get("icc_profile"),
        exif=info["exif"].removeprefix(EXIF_PREFIX) or None if "exif" in info else None,
        xmp=info.get("xmp") if isinstance(info.get("xmp"), bytes) else None,
        resolution=(float(dots[0]) / 25.4, float(dots[1]) / 25.4) if dots and min(dots) > 0 else None,
    )
    return Picture(pixels, metadata, gray=pixels.ndim == 2 or picture.mode in _GRAY, bits=8 * pixels.itemsize)


def _from_pillow(picture: Any) -> NDArray[Any]:
    mode = picture.mode
    if mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    if mode in ("L", "RGB", "RGBA"):
        return np.array(picture)
    if mode == "1":
        return np.array(picture.convert("L"))
    if mode in ("La", "RGBa"):
        return np.array(picture.convert(mode.upper()).convert("RGBA"))
    if mode in ("P", "PA", "LA"):
        return np.array(picture.convert("RGBA" if mode != "P" or "transparency" in picture.info else "RGB"))
    if mode in ("CMYK", "YCbCr", "HSV"):
        return np.array(picture.convert("RGB"))
    raise OptionError(f"Cannot upscale a Pillow picture of mode {mode}. Convert it to L, RGB, RGBA or I;16 first.")


def _to_pillow(result: Picture, source: Any) -> Image:
    """Return the result as a Pillow picture: gray with alpha for such a source, with the source's metadata."""
    made: Image = _pillow("Returning a Pillow picture").fromarray(result.pixels)
    if result.gray and made.mode == "RGBA":
        made = made.convert("LA")
    if hasattr(source, "info"):
        made.info.update({key: source.info[key] for key in _CARRIED if key in source.info})
        return made
    metadata = result.metadata
    found = {
        "icc_profile": metadata.icc,
        "exif": metadata.exif and EXIF_PREFIX + metadata.exif,
        "xmp": metadata.xmp,
        "dpi": metadata.resolution and tuple(side * 25.4 for side in metadata.resolution),
    }
    made.info.update({key: value for key, value in found.items() if value})
    return made


def _pillow(feature: str) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError(feature, "pillow") from None
    return Image
