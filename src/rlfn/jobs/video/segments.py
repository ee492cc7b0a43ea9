"""Finished segments of a video, kept next to the output until it is complete: a rerun continues after them.

A segment's file holds its packets as the encoder made them, then a table in JSON, then the SHA-256 of all before. It
has its name only when it is whole. The folder says in ``job.json`` what it belongs to: another source, other settings
or another version of a library, and the work starts over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rlfn.atomic import disk_is_full, hold, write_bytes
from rlfn.errors import OutputError
from rlfn.jobs.video.webm_alpha import addition

_MAGIC = b"rlfn video segment 1\n"
_TAIL = struct.Struct("<Q32s")
_READ = 1 << 20


@dataclass(frozen=True)
class PacketRow:
    """One packet in a segment.

    Attributes:
        at, size: its place in the file, in bytes.
        pts: when it is shown.
        key: whether decoding can begin with it.
        alpha_size: number of bytes after it that hold its alpha channel.
    """

    at: int
    size: int
    pts: int
    key: bool
    alpha_size: int = 0


@dataclass(frozen=True)
class Segment:
    """A finished segment.

    Attributes:
        path: its file.
        frames: (timestamp, duration) of each frame, in the order in which they are shown; duration 0 where unknown.
        packets: in the order in which they are decoded.
        extradata: of its encoder.
        facts: what is counted over a job: names and numbers.
    """

    path: Path
    frames: tuple[tuple[int, int], ...]
    packets: tuple[PacketRow, ...]
    extradata: bytes
    facts: dict[str, int]

    def read(self) -> Iterator[tuple[PacketRow, bytes, bytes]]:
        """Yield the packets, with what lies beside them."""
        with self.path.open("rb") as stream:
            for packet in self.packets:
                stream.seek(packet.at)
                yield packet, stream.read(packet.size), stream.read(packet.alpha_size)


class SegmentWriter:
    """Writes one segment; nothing has its name before :meth:`finish`."""

    def __init__(self, path: Path) -> None:
        self._path, self._part = path, path.with_suffix(".part")
        self._frames: list[tuple[int, int]] = []
        self._packets: list[PacketRow] = []
        self._hash = hashlib.sha256()
        with _explained(path.parent):
            self._stream: BinaryIO = self._part.open("wb")
        self._at = 0
        self._write(_MAGIC)

    @property
    def frames(self) -> int:
        """How many frames were announced."""
        return len(self._frames)

    def frame(self, pts: int, duration: int) -> None:
        """Announce a frame, in the order of showing."""
        self._frames.append((pts, duration))

    def packet(self, packet: Any) -> None:
        """Write a packet of the encoder's."""
        data, alpha = bytes(packet), addition(packet)
        self._packets.append(PacketRow(self._at, len(data), int(packet.pts), bool(packet.is_keyframe), len(alpha)))
        self._write(data + alpha)

    def finish(self, extradata: bytes, facts: dict[str, int]) -> Segment:
        """Write the table and give the file its name."""
        table = {
            "frames": self._frames,
            "packets": [[row.at, row.size, row.pts, int(row.key), row.alpha_size] for row in self._packets],
            "extradata": extradata.hex(),
            "facts": facts,
        }
        text = json.dumps(table, separators=(",", ":")).encode()
        self._write(text)
        with _explained(self._path.parent):
            self._stream.write(_TAIL.pack(len(text), self._hash.digest()))
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            os.replace(self._part, self._path)
        return Segment(self._path, tuple(self._frames), tuple(self._packets), extradata, facts)

    def drop(self) -> None:
        """Remove what was written."""
        with contextlib.suppress(OSError):
            self._stream.close()
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        with _explained(self._path.parent):
            self._stream.write(data)
        self._hash.update(data)
        self._at += len(data)


class SegmentStore:
    """The folder of one job's segments, held while the ``with`` block runs: one call at a time makes an output.

    Args:
        target: the output; the folder lies hidden beside it.
        identity: everything that determines the result, ready for JSON.
    """

    def __init__(self, target: Path, identity: dict[str, Any]) -> None:
        self.folder = store_folder(target)
        self._target = target
        self._text = json.dumps(identity, sort_keys=True, indent=1).encode()
        self._lock: Any = None

    def __enter__(self) -> SegmentStore:
        """Make the folder and hold it.

        Raises:
            OutputError: it cannot be made, or another call holds it.
        """
        with _explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / "lock").open("wb")
        if not hold(self._lock):
            self._lock.close()
            raise OutputError(f"'{self._target}' is being made by another call. Wait for it, or choose another name.")
        return self

    def __exit__(self, *error: object) -> None:
        """Let go of it."""
        self._lock.close()

    def open(self) -> list[Segment]:
        """Return the segments that are whole, from the first on without a gap; what belongs to another job is removed.

        Raises:
            OutputError: the folder cannot be read or written.
        """
        with _explained(self.folder):
            if _bytes(self.folder / "job.json") != self._text:
                for path in self.folder.iterdir():
                    if path.name != "lock":
                        path.unlink()
                write_bytes(self.folder / "job.json", self._text)
        found: list[Segment] = []
        while (segment := _verified(self._path(len(found)))) is not None:
            found.append(segment)
        return found

    def writer(self, number: int) -> SegmentWriter:
        """Begin segment ``number``."""
        return SegmentWriter(self._path(number))

    def finish(self, write: Callable[[Path], None]) -> None:
        """Have the output written into the folder, give it its name when it is whole, and remove the folder.

        Raises:
            OutputError: it cannot be written.
        """
        whole = self.folder / "whole.part"
        with _explained(self._target):
            write(whole)
            if self._target.is_file() and not self._target.is_symlink():
                shutil.copymode(self._target, whole)
            os.replace(whole, self._target)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.segment"


def store_folder(target: Path) -> Path:
    """Return where the segments of an output lie."""
    return target.with_name(f".rlfn-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.video")


def _verified(path: Path) -> Segment | None:
    """Return a segment if its file is whole."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            stream.seek(max(0, size - _TAIL.size))
            length, digest = _TAIL.unpack(stream.read(_TAIL.size))
            stream.seek(0)
            hashed, left = hashlib.sha256(), size - _TAIL.size
            while left > 0 and (data := stream.read(min(_READ, left))):
                hashed.update(data)
                left -= len(data)
            if hashed.digest() != digest or length > size:
                return None
            stream.seek(size - _TAIL.size - length)
            table = json.loads(stream.read(length))
        return Segment(
            path,
            tuple((pts, duration) for pts, duration in table["frames"]),
            tuple(PacketRow(at, size, pts, bool(key), alpha) for at, size, pts, key, alpha in table["packets"]),
            bytes.fromhex(table["extradata"]),
            dict(table["facts"]),
        )
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


@contextlib.contextmanager
def _explained(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        remedy = "Free some space" if disk_is_full(error) else "Remove the cause"
        raise OutputError(
            f"'{place}' cannot be written: {reason}. {remedy}; finished work is kept, and the same call continues from "
            "there."
        ) from error
