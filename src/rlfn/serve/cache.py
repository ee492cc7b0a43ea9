"""Results kept for the next request of the same picture with the same options: the pipeline is deterministic."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from rlfn.serve.fields import Asked
from rlfn.serve.work import Delivery


def content_key(picture: bytes, asked: Asked) -> str:
    """Return what two requests share that have the same result."""
    digest = hashlib.sha256(picture)
    digest.update(repr(asked).encode())
    return digest.hexdigest()


class ResultCache:
    """The results used last, up to so many bytes; in memory alone.

    Args:
        most: bytes; 0 keeps nothing. A result of more than a quarter of it is not kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, Delivery] = OrderedDict()
        self.bytes = 0

    def get(self, key: str) -> Delivery | None:
        """Return the result, or None."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: str, delivery: Delivery) -> None:
        """Keep a result, and let go of those that were not used for the longest time."""
        size = len(delivery.data)
        if key in self._kept or 4 * size > self._most:
            return
        self._kept[key] = delivery
        self.bytes += size
        while self.bytes > self._most:
            _, gone = self._kept.popitem(last=False)
            self.bytes -= len(gone.data)
