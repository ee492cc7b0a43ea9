"""Atomic file writes: a file appears complete or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import IO, Any, BinaryIO

from rlfn.errors import OutputError, RlfnError
from rlfn.wording import setting

_SPOOL_BYTES = 64 << 20

_unfinished: dict[Path, Callable[[Path], object]] = {}
"""What an interrupted process must remove, in reverse order, and how."""


def check_name(path: str | os.PathLike[str], error: type[RlfnError] = OutputError) -> None:
    """Refuse a path that no file can have, for which Python's own functions raise a ``ValueError``.

    Args:
        path: the path of a file to read or to write.
        error: the type of the error.

    Raises:
        RlfnError: the path contains a zero byte, or a character that file names cannot contain, such as half of a
            surrogate pair.
    """
    name = os.fspath(path)
    if "\0" in name:
        raise error(f"{name!r} cannot be the path of a file: it contains a zero byte. Remove the zero byte.")
    try:
        os.fsencode(name)
    except UnicodeEncodeError as found:
        raise error(
            f"{name!r} cannot be the path of a file: this system cannot encode {name[found.start]!r} in file names. "
            "Remove that character."
        ) from None


def disk_is_full(error: OSError) -> bool:
    """Return whether an error means that no space is left, on the disk or in the user's quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def check_path(path: Path, *, make_folders: bool = True) -> None:
    """Check that ``path`` can be written, as far as possible without trying, before any work.

    Args:
        path: the file to write.
        make_folders: its folder may be missing and is created later.

    Raises:
        OutputError: the file cannot be written.
    """
    check_name(path)
    with _explained(f"'{path}'"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.lstat(path)  # raises for a name that is too long, for instance
    _check_ordinary(path)
    folder = Path(os.path.realpath(path.parent))
    while make_folders and not os.path.lexists(folder):
        folder = folder.parent
    if not os.path.exists(folder):
        raise OutputError(f"'{path}' cannot be written: its folder does not exist. Make it first.")
    if not os.path.isdir(folder):
        raise OutputError(f"'{path}' cannot be written: '{folder}' is a file, not a folder. Choose another name.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"'{path}' may not be written by this user. Change permissions or write elsewhere.")


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents.

    Raises:
        OutputError: the folder cannot be created.
    """
    check_name(folder)
    with _explained(f"'{folder}'"):
        folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yield a temporary folder next to ``path``, from which complete files are renamed to their place.

    Missing parents are created. If the block fails, those that it left empty are removed again.

    Raises:
        OutputError: a folder cannot be created, or the block raised an ``OSError``.
    """
    check_path(path)
    missing = [folder for folder in (path.parent, *path.parent.parents) if not os.path.lexists(folder)]
    temporary = path.with_name(f".rlfn-{os.urandom(8).hex()}.part")
    with _explained(f"'{path}'"):
        _unfinished.update((folder, os.rmdir) for folder in reversed(missing))
        _unfinished[temporary] = shutil.rmtree
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
            yield temporary
        except BaseException:
            _remove([*missing[::-1], temporary])
            raise
        finally:
            _remove([temporary])
            for folder in missing:
                _unfinished.pop(folder, None)


def to_path(path: Path, encode: Callable[[BinaryIO], None]) -> None:
    """Run ``encode`` on a temporary file next to ``path``, then rename it to ``path``, replacing an existing file.

    A link to a file is replaced, not followed. A replaced file keeps its mode. On any failure, including a keyboard
    interrupt, no partial file remains and the old file is unchanged.

    Raises:
        OutputError: the target cannot be written.
    """
    check_name(path)
    _check_ordinary(path)
    temporary = path.with_name(f".rlfn-{os.urandom(8).hex()}.part")
    with _explained(f"'{path}'"):
        mode = None if path.is_symlink() or not path.exists() else path.stat().st_mode & 0o7777
        _unfinished[temporary] = Path.unlink
        try:
            with temporary.open("x+b") as stream:
                encode(stream)
            if mode is not None:
                with contextlib.suppress(OSError):
                    temporary.chmod(mode)
            os.replace(temporary, path)
        except BaseException:
            _remove([temporary])
            raise
        finally:
            _unfinished.pop(temporary, None)


def drop_unfinished() -> None:
    """Remove unfinished temporary files and folders, for a process that is about to exit without unwinding."""
    _remove([*_unfinished])


def _remove(paths: list[Path]) -> None:
    """Remove those of ``paths`` that are unfinished, the last one first."""
    for path in reversed(paths):
        remove = _unfinished.pop(path, None)
        if remove is not None:
            with contextlib.suppress(OSError):
                remove(path)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically (see :func:`to_path`)."""
    to_path(path, lambda stream: _all(stream, data))


def _all(stream: BinaryIO, data: bytes) -> None:
    stream.write(data)


def hold(file: IO[Any]) -> bool:
    """Lock an open file for this process until it is closed; return whether nobody else holds it.

    A system or a file system without locks counts as one where nobody does.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def to_stream(stream: BinaryIO, encode: Callable[[BinaryIO], None]) -> None:
    """Run ``encode`` on a seekable temporary file, then copy all of it to ``stream``.

    Raises:
        OutputError: the stream or the temporary file cannot be written.
    """
    with _explained("The output stream"), tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
        encode(spool)  # type: ignore[arg-type]
        spool.seek(0)
        shutil.copyfileobj(spool, stream, 1 << 20)
        stream.flush()


def _check_ordinary(path: Path) -> None:
    if os.path.isdir(path):
        raise OutputError(f"'{path}' is a folder; the name of a file is needed.")
    if os.path.exists(path) and not os.path.isfile(path):
        raise OutputError(
            f"'{path}' is not an ordinary file. Write to an ordinary file, or pipe with {setting('output', '-')}."
        )


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise OutputError(f"{what} cannot be written: its folder does not exist. Make it first.") from None
    except PermissionError:
        raise OutputError(f"{what} may not be written by this user. Change permissions or write elsewhere.") from None
    except BrokenPipeError:
        raise OutputError(f"{what} was closed by its reader before the picture was complete.") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        remedy = "Free some space or write elsewhere" if disk_is_full(error) else "Write elsewhere"
        raise OutputError(f"{what} cannot be written: {reason}. {remedy}.") from error


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Defer Ctrl-C and the signals that end a process until the block ends.

    An exception raised while C code calls back into Python is printed and ignored, so an interrupted save would look
    like a failed one, and a folder job would continue.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    taken = {number: handler for number, handler in handlers.items() if callable(handler)}
    struck: list[tuple[int, FrameType | None]] = []
    for number in taken:
        signal.signal(number, lambda number, frame: struck.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
        if struck:
            taken[struck[0][0]](*struck[0])
