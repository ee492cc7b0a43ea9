"""Frames to images and back, by the stream's own matrix and range, so that colours are preserved.

8-bit frames become uint8 images, deeper ones uint16 over the full range. The way there and the way back are made with
the same numbers: an engine that changes nothing gives the source's colours within one level. What lies outside of RGB
(brighter than white, for instance) is brought to its border, as on a screen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.images.stated import StatedColor
from rlfn.jobs.video.library import import_av
from rlfn.jobs.video.pixels import PixelFormat, pixel_format

UNSPECIFIED = 2
"""H.273's number for what a stream does not state."""

LIMITED, FULL = 1, 2
"""FFmpeg's numbers of ranges; 0 is not stated."""

# H.273's matrices as swscale numbers them
_SWSCALE = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_STAND_IN = 9

_SIXTEEN = {(32, 32): "420", (32, 64): "422", (64, 64): "444"}

_GRAY_FLOATS = {"grayf32le": "<f4", "grayf32be": ">f4"}

_SD_WIDTH, _SD_HEIGHT = 1280, 576
_BT709, _BT601 = 1, 6

_UNSTATED = (0, UNSPECIFIED)
_LIKE_BT709 = (_BT709, 5, _BT601, 7)
_SHOWN_ALIKE = (_BT709, 4, 5, _BT601, 7, 13, 14, 15)
"""H.273's transfer functions of ordinary videos, which players show as if they were the same, and sRGB's."""


@dataclass(frozen=True)
class ClipColor:
    """How the numbers of a clip's frames are meant, in H.273's numbers; 2 where the stream does not say.

    Attributes:
        matrix, primaries, transfer: the three.
        range: FFmpeg's number: 1 limited, 2 full, 0 not stated.
        siting: where chroma samples lie: ``left``, ``topleft``, ``center``, ``top``, or empty where not stated.
    """

    matrix: int = UNSPECIFIED
    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    siting: str = ""


def assumed_matrix(width: int, height: int) -> int:
    """Return the matrix that players take for a video that states none: by its size."""
    return _BT709 if width >= _SD_WIDTH or height > _SD_HEIGHT else _BT601


def stated_color(
    color: ClipColor, source: PixelFormat, target: PixelFormat, before: tuple[int, int], after: tuple[int, int]
) -> tuple[ClipColor, tuple[str, ...]]:
    """Return what is stated of the encoded frames, and the warnings: the source's own statement, except where

    - the source states no matrix and players would take another for the size after: then the one it had is stated;
    - RGB becomes YUV, which has a matrix and a range of its own;
    - the format of pixels stands for a range.

    Args:
        color, source: of the source; ``target``: the format to encode.
        before, after: (width, height).
    """
    told: tuple[str, ...] = ()
    if target.rgb:
        return replace(color, matrix=0), told
    if source.rgb:
        return replace(color, matrix=assumed_matrix(*after), range=LIMITED, siting=""), told
    if not source.gray and color.matrix == UNSPECIFIED and assumed_matrix(*before) != assumed_matrix(*after):
        color = replace(color, matrix=assumed_matrix(*before))
        told = ("the matrix, which the source leaves open, is stated: players guess another by size",)
    elif not source.gray and color.matrix != UNSPECIFIED and color.matrix not in _SWSCALE:
        told = (f"matrix {color.matrix} is treated as BT.2020: the colours come back as they were",)
    return replace(color, range=FULL) if target.name.startswith("yuvj") else color, told


def picture_color(color: ClipColor) -> StatedColor | None:
    """Return what pictures of the frames state; None where that is close to sRGB, as in ordinary videos."""
    primaries = _BT709 if color.primaries in _UNSTATED else color.primaries
    transfer = _BT709 if color.transfer in _UNSTATED else color.transfer
    if primaries in _LIKE_BT709 and transfer in _SHOWN_ALIKE:
        return None
    return StatedColor((primaries, transfer))


class ColorConverter:
    """Converts one clip's frames to images, and images to the frames that are encoded.

    Args:
        color: what the stream states.
        source: the source's format.
        target: the format to encode.
        size: (width, height) of the source.
        stated: what is stated of the frames to encode, where it differs.
    """

    def __init__(
        self,
        color: ClipColor,
        source: PixelFormat,
        target: PixelFormat,
        size: tuple[int, int],
        stated: ClipColor | None = None,
    ) -> None:
        av = import_av()
        flags = av.video.reformatter.Interpolation
        self._flags = int(flags.BICUBIC | flags.ACCURATE_RND | flags.FULL_CHR_H_INT | flags.FULL_CHR_H_INP)
        self._point = int(flags.POINT)
        self._source, self._target = source, target
        matrix = color.matrix if color.matrix != UNSPECIFIED else assumed_matrix(*size)
        self._matrix = _SWSCALE.get(matrix, _STAND_IN)
        self._full = color.range == FULL or source.name.startswith("yuvj")
        self._target_full = self._full or target.name.startswith("yuvj")
        if source.rgb and stated is not None:
            self._matrix, self._target_full = _SWSCALE.get(stated.matrix, _STAND_IN), stated.range == FULL
        self._gray_limited = source.gray and color.range == LIMITED
        self._reader, self._writer, self._shaper = (av.video.reformatter.VideoReformatter() for _ in range(3))
        self._canvas: Any = None
        self._wide: Any = None
        self._pattern: Any = None

    def image(self, frame: Any) -> NDArray[Any]:
        """Return a frame as uint8 or uint16: gray (H, W), RGB or RGBA (H, W, 3|4)."""
        source = self._source
        if self._pattern is None:
            self._pattern = frame
        if source.name in _GRAY_FLOATS:
            return _gray_of_floats(frame, _GRAY_FLOATS[source.name])
        if source.gray and not source.alpha:
            image = self._reader.reformat(frame, format=_deep_gray(source)).to_ndarray()
            return _gray_in(image, max(8, source.bits), self._gray_limited)
        if source.rgb:
            return np.asarray(self._reader.reformat(frame, format=source.image_format).to_ndarray())
        full = self._full
        if full and _has_sixteen(source):
            frame, full = self._as_limited(frame), False
        made = self._reader.reformat(
            frame,
            format=source.image_format,
            interpolation=self._flags,
            src_colorspace=self._matrix,
            src_color_range=FULL if full else LIMITED,
            dst_color_range=FULL,
        )
        return np.asarray(made.to_ndarray())

    def frame(self, image: NDArray[Any]) -> Any:
        """Return an image as a frame to encode; it has no timestamp yet."""
        source, target = self._source, self._target
        if source.gray and not source.alpha:
            image = _gray_out(image, max(8, source.bits), self._gray_limited)
            canvas = self._filled(image, _deep_gray(source))
            return self._writer.reformat(canvas, format=target.name) if target.gray else self._yuv(canvas)
        canvas = self._filled(image, source.image_format)
        return self._writer.reformat(canvas, format=target.name) if target.rgb else self._yuv(canvas)

    def _yuv(self, canvas: Any) -> Any:
        target, full = self._target, self._target_full
        deep = full and _has_sixteen(target)
        made = self._writer.reformat(
            canvas,
            format=_sixteen(target) if deep else target.name,
            interpolation=self._flags,
            dst_colorspace=self._matrix,
            src_color_range=FULL,
            dst_color_range=FULL if full and not deep else LIMITED,
        )
        return self._as_full(made) if deep else made

    def _filled(self, image: NDArray[Any], name: str) -> Any:
        """Return a frame of an image: always the same one, which states what the source's frames do."""
        height, width = image.shape[:2]
        if self._canvas is None:
            self._canvas = self._writer.reformat(
                self._pattern, width=width, height=height, format=name, interpolation=self._point
            )
            if self._canvas is self._pattern:
                self._canvas = import_av().VideoFrame(width, height, name)
            self._pattern = None
        _write(self._canvas.planes[0], image)
        return self._canvas

    def _as_limited(self, frame: Any) -> Any:
        """Bring a deep frame of full range to 16 bit of limited range: swscale's own way is too coarse."""
        planar = pixel_format(frame.format.name)
        if not planar.planar:
            frame = self._shaper.reformat(frame, format=f"yuv420p{planar.bits}le")
        if self._wide is None:
            self._wide = self._shaper.reformat(
                frame, format=_sixteen(self._source), src_color_range=LIMITED, dst_color_range=LIMITED
            )
        top = (1 << self._source.bits) - 1
        for number, (given, made) in enumerate(zip(frame.planes, self._wide.planes, strict=True)):
            _write(made, np.take(_limits(top, chroma=number > 0), np.minimum(_read(given, 2), top)))
        return self._wide

    def _as_full(self, frame: Any) -> Any:
        """Undo :meth:`_as_limited` for the target's depth."""
        made = import_av().VideoFrame(frame.width, frame.height, self._target.name)
        top = (1 << self._target.bits) - 1
        for number, plane in enumerate(made.planes):  # of gray the first alone
            given = frame.planes[number]
            low, span = (4096, 56064) if number == 0 else (32768, 57344)
            values = (_read(given, 2).astype(np.float32) - low) * (top / span)
            values += (0 if number == 0 else (top + 1) >> 1) + 0.5
            _write(plane, np.clip(values, 0, top).astype(np.uint16))
        return made


def _limits(top: int, *, chroma: bool) -> NDArray[np.uint16]:
    """Return 16-bit limited values for the full-range values 0 to ``top``."""
    values = np.arange(top + 1, dtype=np.float64)
    if chroma:
        return np.rint(32768 + (values - ((top + 1) >> 1)) * (57344 / top)).astype(np.uint16)
    return np.rint(4096 + values * (56064 / top)).astype(np.uint16)


def _has_sixteen(format: PixelFormat) -> bool:
    """Tell whether a format goes the way by 16 bit of limited range; 4:4:0 has none."""
    return format.deep and not format.alpha and format.chroma in _SIXTEEN


def _sixteen(format: PixelFormat) -> str:
    return f"yuv{_SIXTEEN[format.chroma]}p16le"


def _deep_gray(source: PixelFormat) -> str:
    return f"gray{source.bits}le" if source.deep else "gray"


def _gray_of_floats(frame: Any, kind: str) -> NDArray[np.uint16]:
    """Return 16-bit gray of floats from 0 to 1, which swscale takes for those of limited range."""
    rows = np.frombuffer(frame.planes[0], kind).reshape(frame.height, -1)[:, : frame.width]
    return np.asarray(np.rint(rows.clip(0, 1) * 65535), np.uint16)


def _gray_in(image: NDArray[Any], bits: int, limited: bool) -> NDArray[Any]:
    top = 65535 if bits > 8 else 255
    low, high = (16 << (bits - 8), 235 << (bits - 8)) if limited else (0, (1 << bits) - 1)
    if (low, high) == (0, top):
        return image
    values = np.clip((np.arange(1 << bits) - low) * (top / (high - low)), 0, top)
    return np.take(np.floor(values + 0.5).astype(image.dtype), image)


def _gray_out(image: NDArray[Any], bits: int, limited: bool) -> NDArray[Any]:
    top = 65535 if bits > 8 else 255
    low, high = (16 << (bits - 8), 235 << (bits - 8)) if limited else (0, (1 << bits) - 1)
    if (low, high) == (0, top):
        return image
    values = low + np.arange(top + 1) * ((high - low) / top)
    return np.take(np.floor(values + 0.5).astype(image.dtype), image)


def _read(plane: Any, itemsize: int) -> NDArray[np.uint16]:
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
    return rows[:, : plane.width * itemsize].view(np.uint16)


def _write(plane: Any, pixels: NDArray[Any]) -> None:
    """Copy rows into a plane, whose lines may be longer."""
    lines = np.frombuffer(plane, np.uint8)
    flat = np.ascontiguousarray(pixels).view(np.uint8).reshape(plane.height, -1)
    lines.reshape(-1, plane.line_size)[: plane.height, : flat.shape[1]] = flat
