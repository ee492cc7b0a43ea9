"""The check of a file that a command is about to write."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from rlfn.atomic import check_path
from rlfn.errors import OutputError
from rlfn.wording import setting


def check_target(target: Path, overwrite: bool, inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse to replace an input, or any other file without ``--overwrite``, and a path that cannot be written.

    Args:
        target: the file to write.
        overwrite: whether a file that exists may be replaced.
        inputs: the files that the command reads; packaged models' names among them are ignored.

    Raises:
        OutputError: ``target`` exists and may not be replaced, or cannot be written.
    """
    check_path(target)
    if not target.exists():
        return
    if any(os.path.exists(source) and os.path.samefile(target, source) for source in inputs):
        raise OutputError(f"{target} is the input itself. Inputs are never overwritten: choose another name.")
    if not overwrite:
        raise OutputError(f"{target} exists. Replace it with {setting('overwrite')}, or choose another name.")
