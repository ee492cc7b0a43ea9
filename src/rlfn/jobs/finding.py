"""Expansion of inputs: files, the content of folders, and glob patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rlfn.errors import PictureError
from rlfn.images.files import READABLE_SUFFIXES, looks_like_picture
from rlfn.jobs.keys import name_key
from rlfn.jobs.video.detection import VIDEO_SUFFIXES, is_video
from rlfn.jobs.walking import UnreadableEntry, file_status, walk_files
from rlfn.wording import listing

_GLOB = set("*?[")


@dataclass
class FolderContent:
    """The content of a folder, sorted.

    Attributes:
        pictures: files with the suffix of a readable format, and videos if requested.
        others: pictures in unsupported formats.
        unreadable: (path, error message) of sub-folders and files that cannot be read, and of broken links.
    """

    pictures: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)


def collect(inputs: Iterable[str]) -> tuple[list[Path], list[Path]]:
    """Return the files and the folders among ``inputs`` in order, without duplicates, with patterns expanded.

    Raises:
        PictureError: an input is missing, or matches nothing.
    """
    files: dict[str, Path] = {}
    folders: dict[str, Path] = {}
    missing = []
    for name in inputs:
        found = [name] if os.path.exists(name) else _matches(name)
        for path in found:
            (folders if os.path.isdir(path) else files).setdefault(name_key(path), Path(path))
        if not found:
            missing.append(name)
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise PictureError(f"There is no file, folder or match for {listing(missing[:3])}{more}. Check the names.")
    return list(files.values()), list(folders.values())


def folder_content(folder: Path, *, recursive: bool, videos: bool = False) -> FolderContent:
    """Return the content of a folder without hidden files and folders.

    Args:
        folder: the folder to list.
        recursive: include sub-folders.
        videos: include files that are videos by suffix and content.

    Raises:
        PictureError: the folder itself does not exist or cannot be read.
    """
    found = FolderContent()

    def note(entry: UnreadableEntry) -> None:
        found.unreadable.append((Path(entry.path), entry.error))

    for name in walk_files(str(folder), note, recursive=recursive):
        path = Path(name)
        known = path.suffix.lower() in READABLE_SUFFIXES or (videos and _is_video(path))
        if (known or looks_like_picture(path)) and file_status(name, note):
            (found.pictures if known else found.others).append(path)
    found.pictures.sort()
    found.others.sort()
    return found


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and is_video(path)


def _matches(pattern: str) -> list[str]:
    """Expand a pattern; leading folders that exist under exactly that name are taken literally, brackets included."""
    if not _GLOB & set(pattern):
        return []
    parts = Path(pattern).parts
    literal = 0
    while literal < len(parts) - 1 and os.path.isdir(os.path.join(*parts[: literal + 1])):
        literal += 1
    escaped = [glob.escape(part) for part in parts[:literal]]
    return sorted(glob.glob(os.path.join(*escaped, *parts[literal:]), recursive=True))
