"""When two paths are one."""

from __future__ import annotations

import os
import sys


def file_key(path: str | os.PathLike[str]) -> str:
    """Return a name that all paths of one file share, through links too, and where case does not count."""
    return _cased(os.path.realpath(path))


def name_key(path: str | os.PathLike[str]) -> str:
    """Return a name that all spellings of one path share; a link is not what it points to."""
    return _cased(os.path.abspath(path))


def output_key(path: str | os.PathLike[str]) -> str:
    """Return a name that all paths share that would write one file: a link of that name is replaced, not followed."""
    folder, name = os.path.split(os.path.abspath(path))
    return _cased(os.path.join(os.path.realpath(folder), name))


def _cased(path: str) -> str:
    return path.casefold() if sys.platform == "darwin" else os.path.normcase(path)
