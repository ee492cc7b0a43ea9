"""Locations of files: local paths, and URLs that begin with a protocol.

A ``::`` in a location is part of a name: fsspec's chains of URLs are not supported.
"""

from __future__ import annotations

import os

_LOCAL = ("", "file", "local")
"""Protocols of local folders."""

_ALIASES = {"s3a": "s3", "gcs": "gs", "abfs": "az"}


def protocol_of(location: str) -> str:
    """Return the protocol of a URL; empty for a path.

    >>> protocol_of("s3://bucket/a::b.png"), protocol_of("a::b.png"), protocol_of("./a://b.png")
    ('s3', '', '')
    """
    protocol, mark, _ = location.partition("://")
    return protocol if mark and "/" not in protocol else ""


def local_path(location: str) -> str | None:
    """Return the full path of a local file, or None for a URL of another location.

    >>> local_path("file:///tmp/a.png"), local_path("s3://bucket/a.png")
    ('/tmp/a.png', None)
    """
    protocol = protocol_of(location)
    if protocol in _LOCAL:
        return os.path.abspath(location[len(protocol) + 3 :] if protocol else location)
    return None


def canonical_url(url: str) -> str:
    """Return a URL in a form that can be compared: some protocols have several names.

    >>> canonical_url("s3a://bucket/a.png")
    's3://bucket/a.png'
    """
    protocol, mark, path = url.partition("://")
    return f"{_ALIASES.get(protocol, protocol)}{mark}{path.lstrip('/')}" if mark else url


def split(location: str) -> tuple[str, str]:
    """Split a path or URL into the folder and the last name.

    >>> split("s3://bucket/folder/list.csv")
    ('s3://bucket/folder', 'list.csv')
    >>> split("list.csv")
    ('.', 'list.csv')
    """
    folder, slash, name = location.rpartition("/")
    return (folder or ("/" if slash else "."), name)
