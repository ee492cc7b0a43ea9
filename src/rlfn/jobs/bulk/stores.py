"""Stores of files: local folders, or locations in any file system that fsspec supports."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rlfn.atomic import check_name, make_folder, write_bytes
from rlfn.errors import OptionError, OutputError, PictureError
from rlfn.jobs.bulk.file_systems import UnreachableError, import_fsspec, open_file_system
from rlfn.jobs.bulk.locations import local_path, protocol_of
from rlfn.jobs.walking import OnUnreadable, UnreadableEntry, file_status, raise_error, walk_files
from rlfn.wording import one_line

_RETRY_DELAYS = (0.5, 2.0, 6.0)
"""Seconds between attempts when a store does not answer."""

_ATOMIC = {"abfs", "az", "gcs", "gs", "memory", "oci", "oss", "s3", "s3a"}
"""Protocols of object stores, where writes are atomic."""

_CREDENTIAL_VARIABLES = dict.fromkeys(("s3", "s3a"), "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
"""Environment variables with credentials, by protocol."""

_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}
"""Names of the errors of botocore and google-auth for missing or incomplete credentials."""

_NO_BUCKET = re.compile(r"\b(bucket|container) does not exist")

_VERSION_FIELDS = ("ETag", "etag", "md5Hash", "generation", "mtime", "LastModified", "last_modified", "created")
"""Fields that identify a file's version, the best first."""

T = TypeVar("T")


class MissingFileError(PictureError):
    """A file does not exist, or no longer does."""


class AccessDeniedError(PictureError):
    """Access to a file is denied."""


class LocationFacts(NamedTuple):
    """Whether a location is a file, its size in bytes, and a stamp of its version."""

    is_file: bool
    size: int
    stamp: str


class StoredFile(NamedTuple):
    """A file in a store: its name below the store's folder, its size in bytes, and a stamp of its version."""

    name: str
    size: int
    stamp: str


class Store:
    """A folder in a file system, with everything below it.

    Args:
        location: a local path, or a URL such as ``s3://bucket/folder``.

    Raises:
        OptionError: the protocol is unknown, or the location names no bucket or folder, or contains a zero byte.
        MissingExtraError: the package for the protocol is not installed.
        UnreachableError: the store does not answer.
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        self.location = os.fspath(location)
        check_name(self.location, OptionError)
        self.protocol = protocol_of(self.location)
        local = local_path(self.location)
        self.local = local is not None
        self.system, path = (import_fsspec().filesystem("file"), local) if local else open_file_system(self.location)
        self.root = path if self.local else path.rstrip("/")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle only the location: each process opens its own connections."""
        return type(self), (self.location,)

    def path(self, name: str) -> str:
        """Return the full path of a file, without its protocol."""
        return f"{self.root}/{name}" if self.root else name

    def display_path(self, path: str) -> str:
        """Return a full path as users write it: for a remote file, its URL."""
        if self.local:
            return path
        start = self.location.rstrip("/")
        if not self.root:
            start += "//" if start.endswith(":") else "/"
        return f"{start}{path[len(self.root) :]}"

    def files(self, on_unreadable: OnUnreadable = raise_error) -> Iterator[StoredFile]:
        """Yield every file below the folder, except hidden files and folders and the markers of empty folders.

        Args:
            on_unreadable: called with each entry that cannot be read; its path is its name below the store's folder. By
                default, such an entry raises a PictureError.

        Raises:
            PictureError: the bucket does not exist, or access to it or to the folder itself is denied.
            UnreachableError: the store does not answer.
        """
        if self.local:
            yield from _local_files(self.root, on_unreadable)
            return

        self.system.invalidate_cache()
        in_folders = type(self.system).find is import_fsspec().AbstractFileSystem.find
        for path, facts in self._walk(on_unreadable) if in_folders else self._find():
            name = self._name(path)
            if name and not name.endswith("/") and not any(_is_hidden(part) for part in name.split("/")):
                yield StoredFile(name, int(facts.get("size") or 0), stamp(facts))

    def _name(self, path: str) -> str:
        return path[len(self.root) + 1 if self.root else 0 :]

    def _find(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """List an object store."""
        yield from self._with_retries(lambda: self.system.find(self.root, detail=True), self.location).items()

    def _walk(self, on_unreadable: OnUnreadable) -> Iterator[tuple[str, dict[str, Any]]]:
        """List a file system with folders, one by one: fsspec's own walk leaves out those that cannot be listed."""
        folders = [self.root]
        while folders:
            home = folders.pop()
            try:
                entries = self._with_retries(partial(self.system.ls, home, detail=True), self.display_path(home))
            except MissingFileError:
                continue
            except AccessDeniedError as error:
                if home == self.root:
                    raise
                on_unreadable(UnreadableEntry(self._name(home), True, error.template))
                continue
            for facts in sorted(entries, key=lambda one: str(one["name"])):
                path = facts["name"].rstrip("/")
                if facts["type"] != "directory":
                    yield path, facts
                elif path != home and not _is_hidden(path.rpartition("/")[2]):
                    folders.append(path)

    def facts(self) -> LocationFacts | None:
        """Return the facts of the location; None if it does not exist.

        Raises:
            PictureError: access is denied.
            UnreachableError: the store does not answer.
        """
        if self.local:
            if not os.path.exists(self.root):
                return None
            return LocationFacts(os.path.isfile(self.root), *local_facts(self.root))
        try:  # not system.exists or system.isfile: they are False if the store does not answer
            info = self._with_retries(lambda: self.system.info(self.root), self.location)
        except MissingFileError:
            return None
        return LocationFacts(info["type"] == "file", int(info.get("size") or 0), stamp(info))

    def read(self, path: str) -> bytes:
        """Return the bytes of a file, given its full path.

        Raises:
            PictureError: the file does not exist, is a folder, or access is denied.
            UnreachableError: the store does not answer.
        """
        data: bytes = self._with_retries(lambda: self.system.cat_file(path), self.display_path(path))
        return data

    def put(self, name: str, data: bytes) -> None:
        """Write a file atomically; an existing one is replaced.

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
            if self.protocol in _ATOMIC:
                self.system.pipe_file(path, data)
                return
            folder, _, last = path.rpartition("/")
            self.system.makedirs(folder, exist_ok=True)
            temporary = f"{folder}/.rlfn-{os.getpid()}-{last}.part"
            self.system.pipe_file(temporary, data)
            self.system.mv(temporary, path)

        try:
            self._with_retries(write, self.display_path(path))
        except AccessDeniedError as error:
            raise OutputError(
                f"Permission denied: {self.display_path(path)} cannot be written. Check the permissions, or choose "
                "another destination."
            ) from error
        except PictureError as error:
            raise OutputError(error.template) from error

    def delete(self, name: str) -> None:
        """Remove a file, if it exists and may be removed.

        Raises:
            UnreachableError: the store does not answer.
        """
        with contextlib.suppress(PictureError):
            path = self.path(name)
            self._with_retries(lambda: self.system.rm_file(path), self.display_path(path))

    def _with_retries(self, work: Callable[[], T], what: str) -> T:
        """Call ``work``, and retry it after a pause when the store does not answer.

        Raises:
            MissingFileError: the file or its bucket does not exist.
            AccessDeniedError: access is denied.
            PictureError: it is a folder.
            UnreachableError: credentials are missing, or the last attempt failed.
        """
        for pause in (*_RETRY_DELAYS, None):
            try:
                return work()
            except (FileNotFoundError, NotADirectoryError) as error:
                if _NO_BUCKET.search(str(error)):
                    raise MissingFileError(
                        f"The bucket of {what} does not exist. Create it, or check the spelling."
                    ) from None
                raise MissingFileError(f"There is no file {what}. Check the spelling and the folder.") from None
            except IsADirectoryError:
                raise PictureError(f"{what} is a folder; a file is needed.") from None
            except PermissionError:
                raise AccessDeniedError(f"Permission denied: {what} cannot be read. Check its permissions.") from None
            except Exception as error:  # clients of object stores raise what they like
                if type(error).__name__ in _NO_CREDENTIALS:
                    wanted = _CREDENTIAL_VARIABLES.get(
                        self.protocol, f"them as fsspec's package for {self.protocol}:// describes"
                    )
                    raise UnreachableError(f"{what} needs credentials ({one_line(error)}). Set {wanted}.") from error
                if pause is None or self.local:
                    raise UnreachableError(f"{what} is unreachable ({one_line(error)}). Try again later.") from error
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")


def read_location(location: str) -> bytes:
    """Return the bytes of a file, given its path or URL.

    Raises:
        PictureError: the file does not exist, is a folder, or access is denied.
        OptionError, MissingExtraError, UnreachableError: see :class:`Store`.
    """
    store = Store(location)
    return store.read(store.root)


def stamp(facts: dict[str, Any]) -> str:
    """Return a stamp of a file's version; empty if the file system reports none."""
    return next((str(facts[name]).strip('"') for name in _VERSION_FIELDS if facts.get(name)), "")


def local_facts(path: str) -> tuple[int, str]:
    """Return the size and the stamp of a local file; 0 and an empty stamp if it cannot be accessed."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return 0, ""
    return status.st_size, _local_stamp(status)


def _is_hidden(part: str) -> bool:
    return part.startswith(".") and part not in (".", "..")  # both may be parts of an object's key


def _local_files(root: str, on_unreadable: OnUnreadable) -> Iterator[StoredFile]:
    """Walk a folder."""

    def name_of(path: str) -> str:
        return os.path.relpath(path, root).replace(os.sep, "/")

    def note(entry: UnreadableEntry) -> None:
        on_unreadable(entry._replace(path=name_of(entry.path)))

    for path in walk_files(root, note, may_be_missing=True):
        status = file_status(path, note)
        if status:
            yield StoredFile(name_of(path), status.st_size, _local_stamp(status))


def _local_stamp(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}"
