"""Keys that tell whether two paths are the same file or name."""

from __future__ import annotations

import os
import sys


def file_key(path: str | os.PathLike[str]) -> str:
    """Return a key shared by all paths of one file, with links resolved and case folded where it does not matter."""
    return _cased(os.path.realpath(path))


def name_key(path: str | os.PathLike[str]) -> str:
    """Return a key shared by all spellings of one path; links are not resolved."""
    return _cased(os.path.abspath(path))


def output_key(path: str | os.PathLike[str]) -> str:
    """Return a key shared by all paths that write one file: links are resolved in the folder, not in the file name."""
    folder, name = os.path.split(os.path.abspath(path))
    return _cased(os.path.join(os.path.realpath(folder), name))


def _cased(path: str) -> str:
    return path.casefold() if sys.platform == "darwin" else os.path.normcase(path)
