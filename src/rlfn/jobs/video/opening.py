"""Opening videos: the file, the stream that is enlarged, and the limit on the size of its frames."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rlfn.atomic import check_name
from rlfn.errors import PictureError
from rlfn.images.apng import read_control, read_size
from rlfn.jobs.video.detection import is_animated_png
from rlfn.jobs.video.library import import_av
from rlfn.wording import setting

_PADDING = 256
"""Pixels that decoders add to a side, at most."""

_FFMPEG_MAX_PIXELS = 2**31 - 1


def check_frame_size(path: Path, width: int, height: int, max_pixels: int | None) -> None:
    """Refuse a video whose frames are larger than ``max_pixels``; None is no limit.

    Raises:
        PictureError: they are.
    """
    if max_pixels is not None and width * height > max_pixels:
        raise PictureError(
            f"'{path}' has frames of {width} x {height} pixels; the limit is {max_pixels:,}. "
            f"Raise {setting('max_pixels')} if you trust the file."
        )


def open_video(path: Path, decoder_pixels: int | None = None) -> Any:
    """Open a file with FFmpeg, which decodes a frame where the header does not describe it.

    Args:
        path: the file.
        decoder_pixels: refuse to decode larger frames; None for no limit.

    Raises:
        PictureError: it is missing, or no video.
        MissingExtraError: PyAV is not installed.
    """
    av = import_av()
    check_name(path, PictureError)
    try:
        # FFmpeg looks for a PNG's animation in its first bytes alone, and takes "12:30.mp4" for a protocol
        format = "apng" if is_animated_png(path) else None
        options = decoder_options(decoder_pixels)
        return av.open(os.path.abspath(path), format=format, options=options, metadata_errors="replace")
    except FileNotFoundError:
        raise PictureError(f"There is no file '{path}'. Check the spelling and the folder.") from None
    except PermissionError:
        raise PictureError(f"'{path}' may not be read by this user. Change its permissions.") from None
    except (av.error.FFmpegError, OSError) as error:
        raise PictureError(
            f"'{path}' is not a video that can be read, or it is damaged ({_reason(error)}). Get a whole copy of it."
        ) from None


def decoder_options(decoder_pixels: int | None) -> dict[str, str]:
    """Return FFmpeg's options for decoders that refuse larger frames."""
    return {} if decoder_pixels is None else {"max_pixels": str(min(decoder_pixels, _FFMPEG_MAX_PIXELS))}


def main_stream(container: Any, path: Path) -> Any:
    """Return the video stream that is enlarged: the first default one, or the first; never an attached picture.

    Raises:
        PictureError: there is none, or its codec is not known.
    """
    av = import_av()
    attached = av.stream.Disposition.attached_pic
    streams = [one for one in container.streams.video if not one.disposition & attached]
    if not streams:
        held = ", ".join(dict.fromkeys(one.type for one in container.streams)) or "nothing"
        picture = " A picture is attached to it; extract that first." if container.streams.video else ""
        raise PictureError(f"'{path}' has no video stream. It holds: {held}.{picture}")
    found = next((one for one in streams if one.disposition & av.stream.Disposition.default), streams[0])
    if found.codec_context is None:
        raise PictureError(f"The video stream of '{path}' has a codec that is not known here. Convert it first.")
    return found


def png_size(path: Path) -> tuple[int, int] | None:
    """Return (width, height) of an animated PNG; None of any other file, and of what cannot be read."""
    try:
        with path.open("rb") as file:
            return read_size(file) if is_animated_png(path) else None
    except (OSError, ValueError):
        return None


def png_frames(path: Path) -> int:
    """Return how many frames an animated PNG states; 0 for any other file."""
    with path.open("rb") as file:
        control = read_control(file)
    return 0 if control is None else control[0]


def decoder_pixels_for(max_pixels: int | None, width: int, height: int) -> int | None:
    """Return how many pixels a decoder may give a frame.

    FFmpeg counts the padding of lines and blocks too, and the size may change within a stream.
    """
    if max_pixels is None:
        return None
    return max(2 * max_pixels, (width + _PADDING) * (height + _PADDING))


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text).split(":")[0].lower()
