"""What a video holds, found before any work: its streams, how its frames are meant, and what goes with them."""

from __future__ import annotations

import io
import struct
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from rlfn.errors import PictureError
from rlfn.images.coding import CodingInfo
from rlfn.jobs.video.color import ClipColor
from rlfn.jobs.video.detection import is_video
from rlfn.jobs.video.library import import_av
from rlfn.jobs.video.opening import (
    check_frame_size,
    decoder_options,
    decoder_pixels_for,
    main_stream,
    open_video,
    png_frames,
    png_size,
)
from rlfn.jobs.video.pixels import PixelFormat, pixel_format
from rlfn.jobs.video.settings import TimeRange
from rlfn.jobs.video.webm_alpha import addition, joined_format, states_alpha
from rlfn.wording import setting

_LOSSLESS = frozenset(
    (
        *("ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "png", "apng", "gif", "qtrle", "zmbv", "magicyuv"),
        *("v210", "lagarith", "hymt", "flashsv", "flashsv2", "tscc2", "cllc", "ylc", "wrapped_avframe", "r210"),
        *("v410", "bmp"),
    )
)
_SITINGS = {(1, 1): "topleft", (1, 2): "left", (2, 2): "center", (2, 1): "top"}
_DESCRIBED = {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "STEREO3D", "SPHERICAL"}
_LOST_SIDE_DATA = {
    "A53_CC": "closed captions inside the pictures",
    "DOVI_METADATA": "Dolby Vision",
    "DOVI_RPU_BUFFER": "Dolby Vision",
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
    "FILM_GRAIN_PARAMS": "film grain parameters",
    "AFD": "the active format description",
    "GOP_TIMECODE": "timecodes of groups of pictures",
    "S12M_TIMECODE": "timecodes of frames",
    "ICC_PROFILE": "the ICC profile",
    "EXIF": "EXIF",
}
_SIDE_DATA_KINDS = 64
"""More than FFmpeg numbers."""

_NAMELESS = {31: "EXIF"}
"""Kinds of side data that PyAV has no names for, by FFmpeg's number."""


@dataclass(frozen=True)
class HdrFacts:
    """HDR10's static metadata.

    Attributes:
        mastering: 10 fractions: the primaries red, green, blue and the white point as x, y; the lowest and the highest
            luminance in cd/m²; None where not stated.
        light: the maximum of pixels and of frames' means, in cd/m²; None where not stated.
    """

    mastering: tuple[Fraction, ...] | None = None
    light: tuple[int, int] | None = None


@dataclass(frozen=True)
class Clip:
    """A video as its container and its first frame describe it.

    Attributes:
        stream: the index of the stream that is enlarged.
        codec: FFmpeg's name of its codec.
        width, height: of its frames as they are coded, in px.
        format: of its pixels.
        separate_alpha: whether their alpha channel is coded separately, see :mod:`rlfn.jobs.video.webm_alpha`.
        time_base: the unit of its timestamps, in seconds.
        rate: approximate frames per second.
        frames: approximate number of frames; 0 where unknown.
        duration: approximate, in seconds; 0 where unknown.
        aspect: the shape of a pixel; None where not stated.
        matrix: FFmpeg's display matrix, nine numbers; empty where there is none.
        progressive: whether the stream states that its frames are whole.
        described: whether its stream's description says what only a copy of it keeps: HDR, 3D, a sphere.
        lost: what its frames carry that is not kept, by name.
        coding: how it was coded.
        decoder_pixels: the most pixels that a decoder may give a frame; None for any number.
    """

    path: Path
    container: str
    stream: int
    codec: str
    width: int
    height: int
    format: PixelFormat
    separate_alpha: bool
    time_base: Fraction
    rate: Fraction
    frames: int
    duration: float
    aspect: Fraction | None
    color: ClipColor
    hdr: HdrFacts
    matrix: tuple[int, ...]
    progressive: bool
    described: bool
    lost: tuple[str, ...]
    coding: CodingInfo
    decoder_pixels: int | None = None

    def frames_in(self, time_range: TimeRange) -> int:
        """Return the approximate number of frames in a time range; 0 where unknown."""
        if time_range.whole:
            return self.frames
        left = max(0.0, self.duration - float(time_range.start))
        taken = left if time_range.duration is None else min(left, float(time_range.duration))
        return round(taken * float(self.rate))


def probe(path: Path, max_pixels: int | None = None) -> Clip:
    """Read a video's header and its first frame.

    Args:
        path: the video.
        max_pixels: refuse larger frames, before any is decoded; None for no limit.

    Raises:
        PictureError: it is no video, its frames are too large, or none of them can be read.
        MissingExtraError: PyAV is not installed.
    """
    if max_pixels is not None and (size := png_size(path)) is not None:
        check_frame_size(path, *size, max_pixels)
    with closing(open_video(path, decoder_pixels_for(max_pixels, 0, 0))) as container:
        stream = main_stream(container, path)
        context = stream.codec_context
        check_frame_size(path, context.width, context.height, max_pixels)
        decoder_pixels = decoder_pixels_for(max_pixels, context.width, context.height)
        siting = _siting(stream)
        context.options = decoder_options(decoder_pixels)
        try:
            frame, separate_alpha = _first_frame(container, stream, path)
        except PictureError as error:
            if max_pixels is None or context.width:
                raise
            raise PictureError(
                f"{error.template} Its frames may also have many more pixels than the limit of {max_pixels:,}: raise "
                f"{setting('max_pixels')} if you trust the file."
            ) from None
        check_frame_size(path, frame.width, frame.height, max_pixels)
        sides = _side_data(frame, context.codec.canonical_name)
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)
        duration = float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / 1e6
        alone = pixel_format(frame.format.name)
        format, opaque = _joined(path, stream, alone, separate_alpha, decoder_pixels)
        return Clip(
            path=path,
            container=container.format.name,
            stream=stream.index,
            codec=context.codec.canonical_name,
            width=frame.width,
            height=frame.height,
            format=format,
            separate_alpha=format != alone,
            time_base=stream.time_base,
            rate=rate if rate > 0 else Fraction(25),
            frames=stream.frames or png_frames(path) or round(duration * float(rate)),
            duration=duration,
            aspect=stream.sample_aspect_ratio or None,
            color=ClipColor(
                int(frame.colorspace), int(frame.color_range), int(frame.color_primaries), int(frame.color_trc), siting
            ),
            hdr=_hdr(sides),
            matrix=_matrix(sides),
            progressive=context.field_order == 1,
            described=bool(_DESCRIBED & set(sides)) and "DOVI_METADATA" not in sides,
            lost=tuple(
                dict.fromkeys(
                    [text for name, text in _LOST_SIDE_DATA.items() if name in sides] + ["transparency"] * opaque
                )
            ),
            coding=CodingInfo(
                lossy=context.codec.canonical_name not in _LOSSLESS, halved=not format.rgb and format.chroma != (64, 64)
            ),
            decoder_pixels=decoder_pixels,
        )


def _joined(
    path: Path, stream: Any, alone: PixelFormat, separate_alpha: bool, decoder_pixels: int | None
) -> tuple[PixelFormat, bool]:
    """Return the format of frames with what lies beside them, and whether transparency is lost."""
    if not states_alpha(stream):
        return alone, separate_alpha
    with closing(open_video(path, decoder_pixels)) as container:
        joined = joined_format(container, main_stream(container, path), alone)
    return joined or alone, joined is None


def _first_frame(container: Any, stream: Any, path: Path) -> tuple[Any, bool]:
    """Return the first frame that can be decoded, and whether an alpha channel lies beside it."""
    av, codec, known = import_av(), stream.codec_context.codec.canonical_name, True
    for packet in container.demux(stream):
        try:
            for frame in packet.decode():
                return frame, bool(addition(packet))
        except av.error.PatchWelcomeError:
            known = False
        except av.error.FFmpegError:
            continue
    if codec == "webp" and is_video(path):
        raise PictureError(
            f"'{path}' is an animated WebP; FFmpeg does not decode it. Choose a name that ends in .webp, .gif or .png."
        )
    if not known:
        raise not_decoded(path, codec)
    raise PictureError(f"No frame of '{path}' can be read: it is empty, damaged or cut short. Get a whole copy of it.")


def not_decoded(path: Path, codec: str) -> PictureError:
    """Return the error for a kind of a codec that FFmpeg's decoder lacks."""
    return PictureError(
        f"'{path}' is {codec.upper()} of a kind that FFmpeg does not decode yet. Convert it to another first."
    )


def _side_data(frame: Any, codec: str) -> dict[str, bytes]:
    """Return what goes with a frame, by FFmpeg's names."""
    rest, found = frame, {}
    if codec in ("png", "apng"):
        # PyAV frees the name of a PNG's profile, which FFmpeg frees again: so the profile is never asked for
        rest = _filtered(frame, "mode=delete:type=ICC_PROFILE")
        if _filtered(frame, "mode=select:type=ICC_PROFILE") is not None:
            found["ICC_PROFILE"] = b""
    try:
        return found | {side.type.name: bytes(side) for side in rest.side_data}
    except ValueError:  # PyAV gives none where it has no name for one of them
        rest, nameless = _without_nameless(rest)
        return found | nameless | {side.type.name: bytes(side) for side in rest.side_data}


def _without_nameless(frame: Any) -> tuple[Any, dict[str, bytes]]:
    """Return a frame without the side data that PyAV has no names for, and those with a name here."""
    known, found = import_av().sidedata.sidedata.Type, {}
    for number in range(1 + max(one.value for one in known), _SIDE_DATA_KINDS):
        if _filtered(frame, f"mode=select:type={number}") is not None:
            frame = _filtered(frame, f"mode=delete:type={number}")
            if number in _NAMELESS:
                found[_NAMELESS[number]] = b""
    return frame, found


def _filtered(frame: Any, options: str) -> Any:
    """Return a frame behind FFmpeg's filter of side data; None where that lets none through."""
    av = import_av()
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
    )
    graph.link_nodes(source, graph.add("sidedata", options), graph.add("buffersink")).configure()
    try:
        graph.vpush(frame)
        graph.vpush(None)
        return graph.vpull()
    except (av.error.EOFError, av.error.BlockingIOError):
        return None


def _hdr(sides: dict[str, bytes]) -> HdrFacts:
    mastering = light = None
    if "MASTERING_DISPLAY_METADATA" in sides:
        data = sides["MASTERING_DISPLAY_METADATA"]
        numbers = struct.unpack_from("=22i", data)
        if numbers[20] and numbers[21] and all(numbers[1:20:2]):
            mastering = tuple(Fraction(numbers[at], numbers[at + 1]) for at in range(0, 20, 2))
    if "CONTENT_LIGHT_LEVEL" in sides:
        most, mean = struct.unpack_from("=2I", sides["CONTENT_LIGHT_LEVEL"])
        light = (most, mean)
    return HdrFacts(mastering, light)


def _matrix(sides: dict[str, bytes]) -> tuple[int, ...]:
    if "DISPLAYMATRIX" not in sides:
        return ()
    found = struct.unpack_from("=9i", sides["DISPLAYMATRIX"])
    return () if found[:5] == (65536, 0, 0, 0, 65536) else found


def _siting(stream: Any) -> str:
    """Return where chroma samples lie. PyAV does not tell: a Matroska header, made of the stream, does."""
    av = import_av()
    header = io.BytesIO()
    try:
        with av.open(header, "w", format="matroska") as container:
            container.add_stream_from_template(stream, opaque=True)
            container.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return ""
    data = header.getvalue()
    places = tuple(data[at + 3] if (at := data.find(key)) >= 0 else 0 for key in (b"\x55\xb7\x81", b"\x55\xb8\x81"))
    return _SITINGS.get(places, "")  # type: ignore[arg-type]
