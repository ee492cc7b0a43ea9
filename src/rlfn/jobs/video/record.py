"""The record of each video."""

from __future__ import annotations

from dataclasses import dataclass

from rlfn.jobs.record import Record


@dataclass(frozen=True)
class VideoRecord(Record):
    """What became of one video. What a video shares with a picture is said in :class:`~rlfn.jobs.record.Record`.

    Attributes:
        frames: in the output.
        repeated: of these, those that show the same as the one before: they took no inference.
        reused: the share of the others' tiles that were the same as before and not computed again, 0 to 1.
        frames_per_second: of this call, decoding, inference and encoding together.
        codec: of the output.
        missing: the share of what was to be enlarged that the source lacks because it was cut short, 0 to 1; 0 where
            its container does not tell.
        streams: what became of each stream that is in the output.
    """

    frames: int = 0
    repeated: int = 0
    reused: float = 0.0
    frames_per_second: float = 0.0
    codec: str | None = None
    missing: float = 0.0
    streams: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """The numbers of frames, and what was copied, in a few words."""
        parts = [f"{self.frames} frames, {self.frames_per_second:.1f} a second"]
        if self.repeated:
            parts.append(f"{self.repeated} repeated")
        if self.reused:
            parts.append(f"{self.reused:.0%} of tiles reused")
        parts += [one for one in self.streams if not one.startswith("video") or "copied" in one]
        return "; " + "; ".join(parts)
