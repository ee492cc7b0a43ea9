"""Whether a container accepts a copied stream, and with which tags: tried with a header and one packet."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

from rlfn.jobs.video.codecs import is_carried
from rlfn.jobs.video.library import import_av
from rlfn.jobs.video.muxing import codec_name
from rlfn.jobs.video.opening import open_video

_PACKETS, _BYTES = 1000, 64 << 20
"""Number of packets, and of bytes, searched for the first packet of each stream."""


@dataclass(frozen=True)
class StreamTags:
    """What describes a copied stream besides its source.

    Attributes:
        tag: the four characters by which the container names the codec; empty for the container's own choice.
        layout: of the channels, as FFmpeg names it; empty where it stays as it is.
    """

    tag: str = ""
    layout: str = ""

    def apply(self, made: Any) -> None:
        """Describe a stream of an output."""
        if self.tag:
            made.codec_context.codec_tag = self.tag
        if self.layout:
            made.codec_context.layout = self.layout


def first_packets(path: Path) -> dict[int, bytes]:
    """Return the first packet of each stream that has one near the beginning of a file, by the stream's index."""
    av, found, read = import_av(), dict[int, bytes](), 0
    with closing(open_video(path)) as source, suppress(av.error.FFmpegError):
        for packet in islice(source.demux(), _PACKETS):
            if packet.size and packet.stream_index not in found:
                found[packet.stream_index] = bytes(packet)
            read += packet.size
            if len(found) == len(source.streams) or read > _BYTES:
                break
    return found


def describe_for(stream: Any, muxer: str, packets: Mapping[int, bytes], *, same_family: bool) -> StreamTags | None:
    """Return how a stream has to be described for a container to take it; None where it takes it in no way.

    Args:
        stream: of the source.
        muxer: FFmpeg's name of the container.
        packets: see :func:`first_packets`.
        same_family: whether the source is of the same family, so that its name of the codec is worth keeping.
    """
    if not is_carried(muxer, stream.type, codec_name(stream)):
        return None
    tags, layouts = [""], [""]
    if stream.codec_context is not None:
        tag = stream.codec_context.codec_tag
        if same_family and tag and tag.isprintable() and "\0" not in tag:
            tags.insert(0, tag)
        if stream.type == "audio":
            # a source may state how many channels there are, and not which: MP4 wants both
            layouts.append(import_av().AudioLayout(f"{stream.codec_context.layout.nb_channels}c").name)
    candidates = (StreamTags(tag, layout) for layout, tag in product(layouts, tags))
    return next((tags for tags in candidates if _is_taken(stream, muxer, packets.get(stream.index), tags)), None)


def _is_taken(stream: Any, muxer: str, data: bytes | None, tags: StreamTags) -> bool:
    av = import_av()
    try:
        with av.open(io.BytesIO(), "w", format=muxer) as trial:
            made = trial.add_stream_from_template(stream, opaque=True)
            tags.apply(made)
            made.disposition = stream.disposition
            trial.start_encoding()
            if data is not None:
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = made, stream.time_base, True
                packet.pts = packet.dts = 0
                packet.duration = 1
                trial.mux(packet)
    except (av.error.FFmpegError, ValueError):
        return False
    return True
