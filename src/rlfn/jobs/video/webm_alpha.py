"""WebM's alpha channel: VP8 and VP9 hold none, so each block carries a second frame.

That frame's luma is the alpha channel. FFmpeg's own decoders leave it out, so it is decoded here, and joined to the
frame of the same packet. Source: https://wiki.webmproject.org/alpha-channel
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.jobs.video.library import import_av
from rlfn.jobs.video.pixels import PixelFormat, pixel_format

ALPHA = "alpha_mode"
"""What Matroska's metadata say of a stream whose transparency lies beside its frames."""

HOLDERS = ("matroska", "webm")
"""Containers that hold additions to frames."""

_ADDITION = "matroska_block_additional"
_KIND = (1).to_bytes(8, "big")
"""With this begins an addition that is an alpha channel."""

_CODECS = frozenset(("vp8", "vp9"))
_JOINED = {"yuv420p": "yuva420p", "yuv422p": "yuva422p", "yuv444p": "yuva444p", "gbrp": "gbrap"}


def addition(packet: Any) -> bytes:
    """Return the alpha channel that comes with a packet, as a container holds it; empty where there is none."""
    if not packet.has_sidedata(_ADDITION):
        return b""
    data = bytes(packet.get_sidedata(_ADDITION))
    return data if data.startswith(_KIND) and len(data) > len(_KIND) else b""


def add(packet: Any, data: bytes) -> None:
    """Let a packet bring an alpha channel along, which is what :func:`addition` returned."""
    kinds = import_av().packet
    side = kinds.PacketSideData(kinds.packet_sidedata_type_from_literal(_ADDITION), len(data))
    side.update(data)
    packet.set_sidedata(side, move=True)


def states_alpha(stream: Any) -> bool:
    """Tell whether a container says that a stream's transparency lies beside its frames."""
    return any(name.lower() == ALPHA and text == "1" for name, text in stream.metadata.items())


def joined_format(container: Any, stream: Any, format: PixelFormat) -> PixelFormat | None:
    """Return the format of a stream's frames with what lies beside them.

    Args:
        container: is read up to the first packet with an alpha channel; to its end where there is none, and then the
            frames are as opaque as without it.
        stream: one that :func:`states_alpha`.
        format: of its frames alone.

    Returns:
        None where it is not known how transparency is held there.
    """
    if stream.codec_context.codec.canonical_name not in _CODECS or format.name not in _JOINED:
        return None
    try:
        found = any(addition(packet) for packet in container.demux(stream))
    except import_av().error.FFmpegError:
        found = False
    return pixel_format(_JOINED[format.name]) if found else format


class AlphaJoiner:
    """Gives a stream's frames their alpha channels.

    A frame without one is opaque; where one cannot be decoded, the last one stays.

    Args:
        stream: its packets go through :meth:`look` before they are decoded.
    """

    def __init__(self, stream: Any) -> None:
        av = import_av()
        context = stream.codec_context
        context.copy_opaque = True  # what a packet carries, its frame does, whenever that is ready
        self._errors, self._packet = av.error.FFmpegError, av.Packet
        self._context = av.CodecContext.create(context.codec.canonical_name, "r")
        self._context.options = dict(context.options)
        self._context.thread_count = 1  # so that each packet gives its frame at once
        self._shaper = av.video.reformatter.VideoReformatter()
        self._last: NDArray[np.uint8] | None = None

    def look(self, packet: Any) -> bool:
        """Decode the alpha channel of a packet, which carries it from now on; tell whether that went well."""
        data, well = addition(packet), True
        if not data:
            return True
        try:
            for frame in self._context.decode(self._packet(data[len(_KIND) :])):
                self._last = _rows(frame.planes[0]).copy()
        except self._errors:
            well = False
        packet.opaque = (self._last,)  # an object of its own: PyAV drops what two packets share with the first of them
        return well

    def join(self, frame: Any) -> Any:
        """Return a frame with the alpha channel that it carries; as it is where its format has no such partner."""
        name = _JOINED.get(frame.format.name)
        (alpha,) = frame.opaque or (None,)
        if name is None:
            return frame
        made = self._shaper.reformat(frame, format=name)  # opaque, and the same else
        rows = _rows(made.planes[3])
        if alpha is not None and rows.shape == alpha.shape:
            rows[:] = alpha
        return made


def _rows(plane: Any) -> NDArray[np.uint8]:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
