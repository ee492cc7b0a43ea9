"""A trial output of one black frame and the other streams, so that what a container refuses fails before the work."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rlfn.jobs.video.encoding import FrameEncoder
from rlfn.jobs.video.frames import TimedFrame
from rlfn.jobs.video.muxing import MuxPlan
from rlfn.jobs.video.planning import VideoPlan
from rlfn.jobs.video.segments import SegmentWriter
from rlfn.jobs.video.streams import mux_beginning


def check_muxing(plan: VideoPlan, first: TimedFrame, folder: Path) -> None:
    """Write an output of one frame to ``folder``, and remove it.

    Args:
        plan: of the video.
        first: the first frame that is taken.
        folder: where files can be written.

    Raises:
        OutputError: the encoder or the container refuses it, or the disk is full.
    """
    way, (width, height) = plan.color_converter(), plan.size
    image = way.image(first.frame)
    segment_path, whole = folder / "trial.segment", folder / "trial.part"
    try:
        encoder, writer = FrameEncoder(plan.encode), SegmentWriter(segment_path)
        writer.frame(first.pts, first.duration)
        black = way.frame(np.zeros((height, width, *image.shape[2:]), image.dtype))
        for packets in (encoder.encode(black, first.pts), encoder.finish()):
            for packet in packets:
                writer.packet(packet)
        segment = writer.finish(encoder.extradata, {"frames": 1})
        trimmed = not plan.settings.time_range.whole
        mux_beginning(MuxPlan(plan.clip, plan.encode, [segment], plan.muxer, plan.turned, trimmed), whole)
    finally:
        for path in (segment_path, whole):
            path.unlink(missing_ok=True)
