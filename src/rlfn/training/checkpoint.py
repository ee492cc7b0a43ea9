"""Checkpoints of a run: everything needed to resume, in files that are complete or recognised as damaged.

A file is a magic line, the SHA-256 of what follows, and what follows: tensors and plain data as ``torch.save`` writes
them, read back with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import torch

from rlfn.atomic import make_folder, write_bytes
from rlfn.errors import ModelError
from rlfn.networks.checkpoints import RUN_STATE

_MAGIC = RUN_STATE + b"2\n"
_NAME = re.compile(r"iteration-(\d+)\.ckpt")


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, texts, lists, dicts) to ``path``, which appears whole or not at all.

    Raises:
        OutputError: the file cannot be written, for instance because the disk is full; an older file stays as it was.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    write_bytes(path, _MAGIC + hashlib.sha256(data).digest() + data)


def read_state(path: Path) -> dict[str, Any]:
    """Read what :func:`write_state` wrote, on the CPU.

    Raises:
        ModelError: the file is missing, is no checkpoint of a run or that of another version, or its hash is wrong.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"The checkpoint {path} cannot be read: {error.strerror}.") from error
    head, data = content[: len(_MAGIC) + 32], content[len(_MAGIC) + 32 :]
    if head.startswith(RUN_STATE) and not head.startswith(_MAGIC):
        raise ModelError(f"{path} was saved by another version of rlfn, and only that one can resume it.")
    if not head.startswith(_MAGIC):
        raise ModelError(f"{path} is not the checkpoint of a run.")
    if hashlib.sha256(data).digest() != head[len(_MAGIC) :]:
        raise ModelError(f"The checkpoint {path} is damaged: its hash is wrong.")
    state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state


class Checkpoints:
    """The numbered checkpoints in a run's folder.

    Args:
        folder: where they are; made when the first is written.
        keep: how many of the newest stay.
        milestones: checkpoints at multiples of this many iterations stay for good.
    """

    def __init__(self, folder: Path, keep: int, milestones: int | None = None) -> None:
        self.folder = folder
        self.keep = keep
        self.milestones = milestones

    def paths(self) -> list[Path]:
        """Return the checkpoints, oldest first."""
        found = [(int(match[1]), path) for path in self.folder.glob("*.ckpt") if (match := _NAME.fullmatch(path.name))]
        return [path for _, path in sorted(found)]

    def save(self, iteration: int, state: dict[str, Any]) -> Path:
        """Write the checkpoint of ``iteration``, counted over all stages, and remove those that are too old."""
        make_folder(self.folder)
        path = self.folder / f"iteration-{iteration:09d}.ckpt"
        write_state(path, state)
        for old in self.paths()[: -self.keep]:
            match = _NAME.fullmatch(old.name)
            if match and not (self.milestones and int(match[1]) % self.milestones == 0):
                old.unlink(missing_ok=True)
        return path

    def load_last(self) -> tuple[dict[str, Any], list[str]]:
        """Return the newest checkpoint that is whole, and a sentence for each damaged one that was passed over.

        Raises:
            ModelError: there is none.
        """
        passed: list[str] = []
        for path in reversed(self.paths()):
            try:
                return read_state(path), passed
            except ModelError as error:
                passed.append(str(error))
        found = " ".join(passed) or "It has none."
        raise ModelError(f"There is no usable checkpoint in {self.folder}. {found} Start the run again.")
