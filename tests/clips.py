"""Videos made up for tests, and what is read back of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rlfn.models.traits import Traits

av = pytest.importorskip("av")

Planes = Callable[[int], Sequence[NDArray[Any]]]


class Doubled:
    """An engine that repeats pixels twice."""

    name = "doubled"
    precision = "fp32"
    takes_grid = False
    traits = Traits("doubled", scale=2, min_side=15, margin=12, stride=6)

    def __init__(self) -> None:
        self.pixels = 0

    def __call__(self, lr: NDArray[np.float32], grid: object = None) -> NDArray[np.float32]:
        self.pixels += lr.shape[2] * lr.shape[3]
        return lr.repeat(2, axis=2).repeat(2, axis=3)


def frame_of(planes: Sequence[NDArray[Any]], name: str) -> Any:
    """Make a frame of a format from its planes."""
    height, width = planes[0].shape[:2]
    frame = av.VideoFrame(width, height, name)
    for plane, pixels in zip(frame.planes, planes, strict=True):
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        flat = np.ascontiguousarray(pixels).view(np.uint8).reshape(plane.height, -1)
        lines[: plane.height, : flat.shape[1]] = flat
    return frame


def planes_of(frame: Any) -> list[NDArray[Any]]:
    """Return a planar frame's planes."""
    kind = np.uint16 if max(part.bits for part in frame.format.components) > 8 else np.uint8
    found = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
        found.append(rows[:, : plane.width * kind().itemsize].copy().view(kind))
    return found


def moving(name: str, width: int, height: int, seed: int = 0) -> Planes:
    """Return frames of a format whose brightness is noise and whose colour is flat; all of it exists in RGB."""
    format = av.video.format.VideoFormat(name)
    bits = max(part.bits for part in format.components)
    unit, kind = 1 << (bits - 8), np.uint16 if bits > 8 else np.uint8
    chroma = (format.chroma_height(height), format.chroma_width(width))

    def planes(number: int) -> list[NDArray[Any]]:
        random = np.random.default_rng((seed, number))
        luma = random.integers(70 * unit, 180 * unit, (height, width)).astype(kind)
        if len(format.components) == 1:
            return [luma]
        tones = (128 * unit + 17 * unit + number % 3, 128 * unit - 12 * unit)
        return [luma, *(np.full(chroma, tone, kind) for tone in tones)]

    return planes


def write_clip(
    path: Path,
    planes: Planes,
    *,
    codec: str = "ffv1",
    name: str = "yuv420p",
    times: Sequence[int] = tuple(range(0, 240, 40)),
    base: Fraction = Fraction(1, 1000),
    options: dict[str, str] | None = None,
    stated: dict[str, Any] | None = None,
    more: Callable[[Any], Callable[[], None] | None] | None = None,
    turned: float | None = None,
) -> Path:
    """Write a video whose frame ``number`` is ``planes(number)``, shown at ``times[number]``.

    Args:
        path: its suffix says the container.
        planes: see above.
        codec, name, options: of the encoder, and the format of pixels.
        times: in units of ``base``.
        base: in seconds.
        stated: attributes of the encoder, such as ``colorspace``.
        more: adds streams to the container, and returns what writes them.
        turned: degrees of a display matrix.
    """
    height, width = planes(0)[0].shape
    extra = {"video_track_timescale": str(base.denominator)} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", container_options=extra) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, name
        stream.codec_context.time_base = stream.time_base = base
        for key, value in (stated or {}).items():
            setattr(stream.codec_context, key, value)
        if turned is not None:
            stream.set_display_rotation(turned)
        write_more = more(container) if more is not None else None
        for number, time in enumerate(times):
            frame = frame_of(planes(number), name)
            frame.pts, frame.time_base = time, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if write_more is not None:
            write_more()
    return path


def frames_of(path: Path) -> list[tuple[Fraction, list[NDArray[Any]]]]:
    """Return the time in seconds and the planes of each frame."""
    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, planes_of(frame)) for frame in container.decode(video=0)]


def packets_of(path: Path, kind: str) -> list[tuple[int, Fraction | None, bytes]]:
    """Return (stream among its kind, time, bytes) of all packets of a kind of stream."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        places = {stream.index: number for number, stream in enumerate(streams)}
        return [
            (places[packet.stream_index], packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(*streams)
            if packet.size
        ]
