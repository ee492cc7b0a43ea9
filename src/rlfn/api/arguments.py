"""The arguments of the public functions: checked before the work, and read."""

from __future__ import annotations

import io
import os
import reprlib
import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.atomic import check_path
from rlfn.errors import OptionError
from rlfn.images.files import Picture, format_for, read_picture
from rlfn.images.pillow import from_pillow, is_pillow, require_pillow
from rlfn.wording import setting

_ALLOWED = "a NumPy array, a Pillow picture, bytes or another buffer of them, a binary file object, or a path"


def check_given(picture: Any) -> None:
    """Refuse what is no kind of picture."""
    if isinstance(picture, io.TextIOBase):
        raise OptionError("A text file object was given. Open the file in binary mode ('rb').")
    known = isinstance(picture, np.ndarray | bytes | bytearray | memoryview | str | os.PathLike) or hasattr(
        picture, "read"
    )
    if not (known or is_pillow(picture)):
        raise OptionError(f"Cannot upscale a {type(picture).__name__}. Allowed: {_ALLOWED}.")


def check_output(picture: Any, output: Any, format: str | None) -> None:
    """Refuse an output that cannot be written or would replace the input, before the work."""
    if format is not None:
        if not isinstance(format, str):
            raise OptionError(f"{setting('format')} was given as {format!r}. Allowed: a name such as 'png', or None.")
        format_for(format)
    if output is None:
        if isinstance(picture, str | os.PathLike):
            require_pillow()
        return
    check_not_replaced(picture, output)
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
    if format is None:
        format_for(path)
    check_path(path, make_folders=False)


def check_progress(progress: Any) -> None:
    """Refuse what cannot be called."""
    if progress is not None and not callable(progress):
        raise OptionError(f"{setting('progress')} was given as {progress!r}. Allowed: a function, or None.")


def check_not_replaced(source: Any, target: Any) -> None:
    """Refuse an output that would replace its own input; each is a path or a file object."""
    before, after = _file_status(source), _file_status(target)
    if before is not None and after is not None and os.path.samestat(before, after):
        name = next((given for given in (source, target) if isinstance(given, str | os.PathLike)), "The input")
        raise OptionError(f"{name} would be replaced by its own result. Inputs are never overwritten.")


def _file_status(given: Any) -> os.stat_result | None:
    """Return the status of the ordinary file that a path or a file object stands for, if there is one."""
    try:
        found = os.stat(given if isinstance(given, str | os.PathLike) else given.fileno())
    except (AttributeError, OSError, ValueError):
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def checked_path(name: str, value: Any, advice: str) -> Path:
    """Return the argument ``name`` as a path; refuse what is none, with a sentence of advice."""
    if not isinstance(value, str | os.PathLike):
        raise OptionError(f"{setting(name)} was given as {reprlib.repr(value)}. Allowed: a path. {advice}")
    return Path(value)


def load(picture: Any, max_pixels: int | None, *, upright: bool) -> Picture:
    """Return pixels, gray as (H, W), and metadata; ``upright``: a Pillow picture is turned as a file is to hold it."""
    if isinstance(picture, np.ndarray):
        return Picture(picture[:, :, 0] if _is_single(picture) else picture)
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


def as_given(image: NDArray[Any], given: NDArray[Any]) -> NDArray[Any]:
    """Return a gray image (H, W) as (H, W, 1) if the array given has that form."""
    return image[:, :, None] if _is_single(given) else image


def _is_single(array: NDArray[Any]) -> bool:
    return array.ndim == 3 and array.shape[2] == 1
