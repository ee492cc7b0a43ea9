"""File systems by URL, through fsspec."""

from __future__ import annotations

from typing import Any

from rlfn.errors import MissingExtraError, OptionError, RlfnError
from rlfn.jobs.bulk.locations import protocol_of
from rlfn.wording import listing, one_line

_PACKAGES = {"abfs": "adlfs", "az": "adlfs", "gcs": "gcsfs", "gs": "gcsfs", "s3": "s3fs", "s3a": "s3fs"}
"""Packages of fsspec's file systems, by protocol."""


class UnreachableError(RlfnError):
    """A store does not answer; the file may exist."""


def import_fsspec() -> Any:
    """Return fsspec.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError("Bulk processing", "bulk") from None
    return fsspec


def open_file_system(location: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it.

    Raises:
        OptionError: the protocol is unknown, or the location names no bucket or folder.
        MissingExtraError: the package for the protocol is not installed.
        UnreachableError: the store does not answer.
    """
    fsspec = import_fsspec()
    protocol = protocol_of(location)
    if protocol not in fsspec.available_protocols():
        examples = listing(f"{name}://" for name in ("file", "s3", "gs", "az", "sftp", "hdfs"))
        raise OptionError(f"Unknown protocol {protocol}://. Allowed: folders, {examples} and others of fsspec.")
    try:
        kind = fsspec.get_filesystem_class(protocol)
        return kind(**kind._get_kwargs_from_urls(location)), str(kind._strip_protocol(location))
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        install = f"pip install {package}" if package else f"{str(error).rstrip('.')} (from fsspec)"
        raise MissingExtraError(f"{protocol}://", install=install) from None
    except (TypeError, ValueError) as error:
        raise OptionError(f"{location} cannot be used ({one_line(error)}). Name a folder or a bucket.") from error
    except Exception as error:  # some connect at once
        raise UnreachableError(f"{location} is unreachable ({one_line(error)}). Try again later.") from error
