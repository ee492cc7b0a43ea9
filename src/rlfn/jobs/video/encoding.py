"""Frames to packets: one encoder for each segment, with everything that the source states of its frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rlfn.errors import OutputError
from rlfn.jobs.video.codecs import CODECS
from rlfn.jobs.video.color import ClipColor
from rlfn.jobs.video.library import import_av
from rlfn.jobs.video.pixels import PixelFormat
from rlfn.jobs.video.probe import HdrFacts
from rlfn.jobs.video.scheduling import ordinary_scheduling

_PROGRESSIVE = 1
"""FFmpeg's number for progressive frames."""

_MOST_FRAMES = {"av1": Fraction(240)}
"""Highest frame rate that an encoder accepts."""

_CHROMATICITY, _LUMINANCE = 50_000, 10_000
"""The units of H.265's message on the mastering display: 0.00002, and 0.0001 cd/m²."""


@dataclass(frozen=True)
class EncodePlan:
    """How frames are encoded.

    Attributes:
        codec: a row of :data:`~rlfn.jobs.video.codecs.CODECS`.
        options: of the encoder.
        format: of the frames.
        width, height: of the frames in px.
        time_base: of their timestamps.
        rate: approximate frames per second.
        color: what is stated.
        aspect: the shape of a pixel; None where not stated.
        hdr: what is stated of it.
        progressive: whether it is stated that frames are whole.
        threads: of the encoder.
    """

    codec: str
    options: dict[str, str]
    format: PixelFormat
    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    color: ClipColor
    aspect: Fraction | None
    hdr: HdrFacts
    progressive: bool
    threads: int

    @property
    def encoder(self) -> str:
        """FFmpeg's name of the encoder."""
        row = CODECS[self.codec]
        return row.rgb if row.rgb and self.format.rgb else row.encoder


class FrameEncoder:
    """One encoder, from its first frame to its last.

    Args:
        plan: see there.

    Raises:
        OutputError: it cannot be set up like that.
    """

    def __init__(self, plan: EncodePlan) -> None:
        av = import_av()
        self._errors = av.error.FFmpegError
        self._plan = plan
        self._context = av.CodecContext.create(plan.encoder, "w")
        set_up(self._context, plan)
        try:
            with ordinary_scheduling():
                self._context.open()
        except self._errors as error:
            raise OutputError(
                f"The encoder {plan.encoder} refuses {plan.width}x{plan.height} in {plan.format.name} "
                f"({str(error).splitlines()[0][:120]}). Choose another size or another codec."
            ) from error

    @property
    def extradata(self) -> bytes:
        """What a container's header needs to know of the stream."""
        return bytes(self._context.extradata or b"")

    def encode(self, frame: Any, pts: int) -> Iterable[Any]:
        """Encode one frame; return the packets that are ready."""
        frame.pts, frame.time_base = pts, self._plan.time_base
        frame.pict_type = 0
        color = self._plan.color
        frame.colorspace, frame.color_range = color.matrix, color.range
        frame.color_primaries, frame.color_trc = color.primaries, color.transfer
        return self._packets(frame)

    def finish(self) -> Iterable[Any]:
        """Return the packets that are left."""
        return self._packets(None)

    def _packets(self, frame: Any) -> Iterable[Any]:
        try:
            return list(self._context.encode(frame))
        except self._errors as error:
            raise OutputError(f"The encoder {self._plan.encoder} failed: {str(error)[:200]}.") from error


def set_up(context: Any, plan: EncodePlan) -> None:
    """Tell a codec's context what the frames are and what is stated of them."""
    av = import_av()
    describe(context, plan)
    context.time_base = plan.time_base
    context.thread_count = plan.threads
    context.flags |= int(av.codec.context.Flags.global_header)
    options = dict(plan.options)
    if plan.color.siting:
        options["chroma_sample_location"] = plan.color.siting
    if plan.codec == "hevc":
        options["x265-params"] = ":".join(["log-level=none", *_x265(plan.hdr)])
    elif plan.codec == "av1" and _svt(plan.hdr):
        options["svtav1-params"] = ":".join(_svt(plan.hdr))
    context.options = options


def describe(context: Any, plan: EncodePlan) -> None:
    """State size, format, colour and rate in a codec's context."""
    context.width, context.height, context.pix_fmt = plan.width, plan.height, plan.format.name
    context.framerate = min(plan.rate, _MOST_FRAMES.get(plan.codec, plan.rate))  # the timestamps carry the real times
    context.colorspace, context.color_range = plan.color.matrix, plan.color.range
    context.color_primaries, context.color_trc = plan.color.primaries, plan.color.transfer
    if plan.progressive:
        context.field_order = _PROGRESSIVE
    if plan.aspect:
        context.sample_aspect_ratio = plan.aspect


def _x265(hdr: HdrFacts) -> list[str]:
    told = []
    if hdr.mastering is not None:
        red, green, blue, white = (
            f"({round(hdr.mastering[at] * _CHROMATICITY)},{round(hdr.mastering[at + 1] * _CHROMATICITY)})"
            for at in (0, 2, 4, 6)
        )
        low, high = (round(value * _LUMINANCE) for value in hdr.mastering[8:])
        told.append(f"master-display=G{green}B{blue}R{red}WP{white}L({high},{low})")
    if hdr.light is not None:
        told.append(f"max-cll={hdr.light[0]},{hdr.light[1]}")
    return told


def _svt(hdr: HdrFacts) -> list[str]:
    told = []
    if hdr.mastering is not None:
        red, green, blue, white = (
            f"({float(hdr.mastering[at]):.5f},{float(hdr.mastering[at + 1]):.5f})" for at in (0, 2, 4, 6)
        )
        low, high = (float(value) for value in hdr.mastering[8:])
        told.append(f"mastering-display=G{green}B{blue}R{red}WP{white}L({high:.4f},{low:.4f})")
    if hdr.light is not None:
        told.append(f"content-light={hdr.light[0]},{hdr.light[1]}")
    return told
