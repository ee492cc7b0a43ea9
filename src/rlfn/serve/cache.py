"""Cache of results by picture and options: the pipeline is deterministic."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from rlfn.serve.fields import RequestOptions
from rlfn.serve.work import JobResult


def content_key(picture: bytes, options: RequestOptions) -> str:
    """Return a key that is equal for requests with the same result."""
    digest = hashlib.sha256(picture)
    digest.update(repr(options).encode())
    return digest.hexdigest()


class ResultCache:
    """An LRU cache of results, in memory.

    Args:
        max_bytes: capacity; 0 disables the cache. Results above a quarter of it are not cached.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._results: OrderedDict[str, JobResult] = OrderedDict()
        self.bytes = 0

    def get(self, key: str) -> JobResult | None:
        """Return the result, or None."""
        found = self._results.get(key)
        if found is not None:
            self._results.move_to_end(key)
        return found

    def put(self, key: str, result: JobResult) -> None:
        """Add a result, and evict the least recently used ones."""
        size = len(result.data)
        if key in self._results or 4 * size > self._max_bytes:
            return
        self._results[key] = result
        self.bytes += size
        while self.bytes > self._max_bytes:
            _, evicted = self._results.popitem(last=False)
            self.bytes -= len(evicted.data)
