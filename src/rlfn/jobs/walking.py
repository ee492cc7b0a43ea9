"""Walks over local folders that report what cannot be read."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rlfn.errors import PictureError


class UnreadableEntry(NamedTuple):
    """A folder that cannot be listed, a broken link, or a file that cannot be accessed.

    Attributes:
        path: its path.
        is_folder: whether it is a folder.
        error: an error message.
    """

    path: str
    is_folder: bool
    error: str


OnUnreadable = Callable[[UnreadableEntry], None]
"""Called with each entry that cannot be read."""


def raise_error(entry: UnreadableEntry) -> None:
    """Raise the error of an entry that cannot be read.

    Raises:
        PictureError: always.
    """
    raise PictureError(entry.error)


def walk_files(
    root: str, on_unreadable: OnUnreadable, *, recursive: bool = True, may_be_missing: bool = False
) -> Iterator[str]:
    """Yield the paths of the files and links below a folder, without hidden ones and hidden folders.

    Folders that vanish during the walk are left out.

    Args:
        root: the folder.
        on_unreadable: called with each entry that cannot be read.
        recursive: whether folders in it are walked too.
        may_be_missing: whether the folder counts as empty where it does not exist.

    Raises:
        PictureError: the folder itself cannot be read, or does not exist.
    """

    def note(error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            if error.filename == root and not may_be_missing:
                raise PictureError(f"The folder {root} does not exist. Check its name.") from error
            return
        message = f"The folder {_cannot_be_read(str(error.filename), error)}"
        if error.filename == root:
            raise PictureError(message) from error
        on_unreadable(UnreadableEntry(error.filename, True, message))

    for home, below, names in os.walk(root, onerror=note):
        below[:] = sorted(name for name in below if recursive and not name.startswith("."))
        if names and not os.access(home, os.X_OK):
            note(PermissionError(errno.EACCES, os.strerror(errno.EACCES), home))
            below.clear()
            continue
        yield from (os.path.join(home, name) for name in sorted(names) if not name.startswith("."))


def file_status(path: str, on_unreadable: OnUnreadable) -> os.stat_result | None:
    """Return the status of a regular file, links followed; None if it is none, cannot be accessed or has vanished."""
    try:
        status = os.stat(path)
    except OSError as error:
        broken = isinstance(error, (FileNotFoundError, NotADirectoryError)) or error.errno == errno.ELOOP
        if not broken:
            on_unreadable(UnreadableEntry(path, False, _cannot_be_read(path, error)))
        elif os.path.islink(path):
            on_unreadable(UnreadableEntry(path, False, f"The link {path} is broken. Remove it or fix it."))
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _cannot_be_read(path: str, error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    remedy = "Change its permissions." if isinstance(error, PermissionError) else "Check the disk or network share."
    return f"{path} cannot be read: {reason}. {remedy}"
