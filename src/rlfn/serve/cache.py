"""Results in memory: a cache by picture and options, as the pipeline is deterministic, and those that jobs hold."""

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


class HeldResults:
    """Counts the bytes of the results that jobs hold; jobs with the same result share it."""

    def __init__(self) -> None:
        self._holders: dict[int, int] = {}
        self.bytes = 0

    def __contains__(self, result: JobResult) -> bool:
        """Return whether a job holds the result."""
        return id(result) in self._holders

    def retain(self, result: JobResult) -> None:
        """Count a job that now holds the result."""
        self._holders[id(result)] = self._holders.get(id(result), 0) + 1
        if self._holders[id(result)] == 1:
            self.bytes += len(result.data)

    def release(self, result: JobResult) -> None:
        """Count a job that no longer holds the result."""
        self._holders[id(result)] -= 1
        if not self._holders[id(result)]:
            del self._holders[id(result)]
            self.bytes -= len(result.data)
