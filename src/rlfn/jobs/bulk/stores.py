"""Stores of files: a folder of this machine, or a place in any file system that fsspec knows."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rlfn.atomic import make_folder, write_bytes
from rlfn.errors import MissingExtraError, OptionError, OutputError, PictureError, RlfnError, listing

_PAUSES = (0.5, 2.0, 6.0)
"""Seconds between attempts at a store that does not answer."""

_WHOLE = {"abfs", "az", "gcs", "gs", "memory", "oci", "oss", "s3", "s3a"}
"""Protocols of object stores: what is put there appears whole."""

_PACKAGES = {"abfs": "adlfs", "az": "adlfs", "gcs": "gcsfs", "gs": "gcsfs", "s3": "s3fs", "s3a": "s3fs"}

_HERE = ("", "file", "local")
"""Protocols of this machine's folders."""

_ALIASES = {"s3a": "s3", "gcs": "gs", "abfs": "az"}

_STAMPS = ("ETag", "etag", "md5Hash", "generation", "mtime", "LastModified", "last_modified", "created")
"""What file systems say about a file's version, the best first."""

Answer = TypeVar("Answer")


class UnreachableError(RlfnError):
    """A store of files does not answer; what it was asked for may be there."""


class GoneError(PictureError):
    """A file is not there, or not any more."""


class Stored(NamedTuple):
    """A file in a store: its name below the store's folder, its size in bytes, and what changes when it changes."""

    name: str
    size: int
    stamp: str


class Store:
    """A folder in a file system, with all that lies below it.

    Args:
        place: a path of this machine, or a URL such as ``s3://bucket/folder``.

    Raises:
        OptionError: there is no such protocol.
        MissingExtraError: the package that speaks the protocol is not installed.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        self.place = os.fspath(place)
        self.system, path = _system(self.place)
        self.protocol = _protocol(self.place)
        self.local = self.protocol in _HERE
        self.root = os.path.abspath(path) if self.local else path.rstrip("/")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the place: another process opens its own connections."""
        return type(self), (self.place,)

    def path(self, name: str) -> str:
        """Return the full path of a file, without its protocol."""
        return f"{self.root}/{name}" if self.root else name

    def shown(self, path: str) -> str:
        """Return a full path as a user writes it."""
        return path if self.local else f"{self.protocol}://{path}"

    def files(self) -> Iterator[Stored]:
        """Yield every file below the folder; hidden files and folders are left alone.

        Raises:
            UnreachableError: the store does not answer.
        """
        if self.local:
            yield from _local_files(self.root)
            return

        def find() -> dict[str, dict[str, Any]]:
            self.system.invalidate_cache()
            found: dict[str, dict[str, Any]] = self.system.find(self.root, detail=True)
            return found

        start = len(self.root) + 1 if self.root else 0
        for path, facts in self._tried(find, self.place).items():
            name = path[start:]
            if name and not any(part.startswith(".") for part in name.split("/")):
                yield Stored(name, int(facts.get("size") or 0), stamp(facts))

    def is_file(self) -> bool:
        """Tell whether the place is a file itself."""
        return bool(self._tried(lambda: self.system.isfile(self.root), self.place))

    def is_there(self) -> bool:
        """Tell whether there is anything at the place."""
        return bool(self._tried(lambda: self.system.exists(self.root), self.place))

    def facts(self, path: str) -> Stored:
        """Return what :meth:`files` says of a file, given by its full path.

        Raises:
            PictureError: there is no such file, or it may not be looked at.
            UnreachableError: the store does not answer.
        """
        if self.local:
            return Stored(path, *local_facts(path))
        facts = self._tried(lambda: self.system.info(path), self.shown(path))
        return Stored(path, int(facts.get("size") or 0), stamp(facts))

    def read(self, path: str) -> bytes:
        """Return the bytes of a file, given by its full path.

        Raises:
            PictureError: there is no such file, or it may not be read.
            UnreachableError: the store does not answer.
        """
        data: bytes = self._tried(lambda: self.system.cat_file(path), self.shown(path))
        return data

    def put(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all; one of that name is replaced.

        Raises:
            OutputError: it cannot be written.
            UnreachableError: the store does not answer.
        """
        path = self.path(name)
        if self.local:
            make_folder(Path(path).parent)
            write_bytes(Path(path), data)
            return

        def write() -> None:
            if self.protocol in _WHOLE:
                self.system.pipe_file(path, data)
                return
            folder, _, last = path.rpartition("/")
            self.system.makedirs(folder, exist_ok=True)
            temporary = f"{folder}/.rlfn-{os.getpid()}-{last}.part"
            self.system.pipe_file(temporary, data)
            self.system.mv(temporary, path)

        try:
            self._tried(write, self.shown(path))
        except PictureError as error:
            raise OutputError(f"{self.shown(path)} may not be written by this user. Check its rights.") from error

    def delete(self, name: str) -> None:
        """Remove a file; one that is gone already is no error."""
        with contextlib.suppress(PictureError):
            self._tried(lambda: self.system.rm_file(self.path(name)), self.path(name))

    def _tried(self, work: Callable[[], Answer], what: str) -> Answer:
        """Do something with the store, again after a pause where it does not answer."""
        for pause in (*_PAUSES, None):
            try:
                return work()
            except (FileNotFoundError, NotADirectoryError):
                raise GoneError(f"There is no file {what}. Check the spelling and the folder.") from None
            except IsADirectoryError:
                raise PictureError(f"{what} is a folder; a picture file is needed.") from None
            except PermissionError:
                raise PictureError(f"{what} may not be read by this user. Check its rights.") from None
            except Exception as error:  # clients of object stores raise what they like
                if pause is None or self.local:
                    said = " ".join(str(error).split())[:200].rstrip(". ") or type(error).__name__
                    raise UnreachableError(f"{what} cannot be reached ({said}). Run again when it can.") from error
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")


def read_place(place: str) -> bytes:
    """Return the bytes of a file, given by its path or URL.

    Raises:
        PictureError: there is no such file, or it may not be read.
        UnreachableError: the store does not answer.
    """
    store = Store(place)
    return store.read(store.root)


def stamp(facts: dict[str, Any]) -> str:
    """Return what a file system says about a file's version; empty where it says nothing."""
    return next((str(facts[name]).strip('"') for name in _STAMPS if facts.get(name)), "")


def local_path(place: str) -> str | None:
    """Return the full path of a file of this machine's, None where a URL names another place.

    >>> local_path("file:///tmp/a.png"), local_path("s3://bucket/a.png")
    ('/tmp/a.png', None)
    """
    protocol = _protocol(place)
    if protocol in _HERE:
        return os.path.abspath(place[len(protocol) + 3 :] if protocol else place)
    return None


def local_facts(path: str) -> tuple[int, str]:
    """Return the size and the stamp of a file of this machine's; 0 and nothing where they cannot be had."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return 0, ""
    return facts.st_size, f"{facts.st_mtime_ns:x}"


def canonical(url: str) -> str:
    """Return a URL as it can be compared with others: one protocol has several names.

    >>> canonical("s3a://bucket/a.png")
    's3://bucket/a.png'
    """
    protocol, mark, path = url.partition("://")
    return f"{_ALIASES.get(protocol, protocol)}{mark}{path.lstrip('/')}" if mark else url


def split(place: str) -> tuple[str, str]:
    """Split a path or URL into the folder and the last name.

    >>> split("s3://bucket/folder/list.csv")
    ('s3://bucket/folder', 'list.csv')
    >>> split("list.csv")
    ('.', 'list.csv')
    """
    folder, slash, name = place.rpartition("/")
    return (folder or ("/" if slash else "."), name)


def import_fsspec() -> Any:
    """Return fsspec.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError("Bulk work", "bulk") from None
    return fsspec


def _protocol(place: str) -> str:
    return place.split("://", 1)[0] if "://" in place else ""


def _system(place: str) -> tuple[Any, str]:
    fsspec = import_fsspec()
    protocol = _protocol(place)
    if protocol and protocol not in fsspec.available_protocols():
        some = listing(f"{name}://" for name in ("file", "s3", "gs", "az", "sftp", "hdfs"))
        raise OptionError(f"There is no file system {protocol}://. Allowed: folders, {some} and others of fsspec's.")
    try:
        system, path = fsspec.core.url_to_fs(place)
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        install = f"pip install {package}" if package else f"{str(error).rstrip('.')} (from fsspec)"
        raise MissingExtraError(f"{protocol}://", install=install) from None
    return system, str(path)


def _local_files(root: str) -> Iterator[Stored]:
    """Walk a folder; what vanishes meanwhile is no file."""
    for home, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            path = os.path.join(home, name)
            try:
                facts = os.stat(path)
            except OSError:
                continue
            if not name.startswith(".") and os.path.isfile(path):
                yield Stored(os.path.relpath(path, root).replace(os.sep, "/"), facts.st_size, f"{facts.st_mtime_ns:x}")
