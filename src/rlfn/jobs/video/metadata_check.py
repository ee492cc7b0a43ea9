"""Metadata of the source that the finished file lacks."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

from rlfn.jobs.video.muxing import TURNING, Muxed, MuxPlan, is_attached, is_generated, plain_metadata, stream_name
from rlfn.jobs.video.opening import main_stream, open_video
from rlfn.wording import listing


def check_metadata(plan: MuxPlan, path: Path, done: Muxed) -> None:
    """Read the output's header, and add to ``done`` what the container did not take, by name."""
    with closing(open_video(plan.clip.path)) as source, closing(open_video(path)) as output:
        kept = [
            one
            for one in source.streams
            if not any(f"(stream {one.index}) dropped: " in text for text in done.warnings)
            and not is_generated(one, source)
        ]
        if plan.muxer == "matroska":
            kept.sort(key=lambda one: one.type == "attachment" or is_attached(one))  # where its readers find files
        for before, after in zip(kept, output.streams, strict=False):
            stated = plain_metadata(before.metadata, enlarged=before.index == plan.clip.stream)
            lost = _lost_keys(stated, after.metadata)
            if lost:
                done.warnings.append(f"metadata of {stream_name(before)} dropped: {listing(lost)}")
            if before.disposition & ~after.disposition & ~1:
                done.warnings.append(f"disposition of {stream_name(before)} dropped")
            if before.index == plan.clip.stream and after.time_base != before.time_base:
                _tell_rounding(plan, after.time_base, done)
        if plan.muxer == "nut" and not plan.trimmed and _first_time(output) > plan.times[0][0] * plan.clip.time_base:
            done.warnings.append("all streams begin a little later: NUT holds no times before 0")
        lost = _lost_keys(source.metadata, output.metadata)
        if lost:
            done.warnings.append(f"metadata dropped: {listing(lost)}")
        if len(source.chapters()) > len(output.chapters()) and not plan.trimmed:
            done.warnings.append("chapters dropped")
    if plan.clip.matrix and not plan.turned and plan.muxer not in TURNING:
        done.warnings.append("the display matrix is dropped")


def _lost_keys(before: dict[str, str], after: dict[str, str]) -> list[str]:
    have = {key.lower() for key in after}
    lost = [key for key in plain_metadata(before) if key.lower() not in have and key != "handler_name"]
    return [key for key in lost if (key, before[key]) != ("language", "und")]  # not determined


def _first_time(output: Any) -> Fraction:
    packets = output.demux(main_stream(output, Path(output.name)))
    return next((packet.pts * packet.time_base for packet in packets if packet.pts is not None), Fraction(0))


def _tell_rounding(plan: MuxPlan, base: Fraction, done: Muxed) -> None:
    if any((pts * plan.clip.time_base / base).denominator != 1 for pts, _ in plan.times):
        done.warnings.append(f"timestamps are rounded to the container's unit of {base} s")
