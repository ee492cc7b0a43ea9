"""The operator's settings: limits, keys, origins, engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlfn.errors import OptionError
from rlfn.wording import setting

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class ServeSettings:
    """The settings of a server.

    Attributes:
        engine, threads, tile, device: of each worker, as in :class:`rlfn.inference.enlarge_options.EnlargeOptions`.
        workers: number of worker processes, each with one picture at a time.
        max_body: largest request in bytes.
        max_pixels: largest picture in px.
        max_result_pixels: largest result in px.
        queue: largest number of waiting jobs; further requests are refused with 429.
        memory: bytes for uploads and results, half for each; further uploads are refused with 503.
        cache: bytes of results cached for repeated requests; 0 disables the cache.
        connections: largest number of open connections.
        seconds: longest processing time of a picture, excluding waiting.
        keep: how long finished results are kept, in seconds.
        patience: seconds without data after which a client is disconnected.
        grace: grace period after SIGTERM, in seconds.
        keys: API keys, of which clients need one; empty disables authentication.
        origins: web sites whose pages may call the API (CORS).
        hosts: allowed host names; empty for any.
        app: the folder of the built browser app, or None.
        nice: niceness of the workers, which keeps the server responsive.

    Raises:
        OptionError: a value that is not allowed.
    """

    engine: str = "auto"
    threads: int | None = None
    tile: int | str = "auto"
    device: str = "cpu"
    workers: int = 1
    max_body: int = 32 * MEGABYTE
    max_pixels: int = 16_000_000
    max_result_pixels: int = 256_000_000
    queue: int = 64
    memory: int = 1024 * MEGABYTE
    cache: int = 64 * MEGABYTE
    connections: int = 1000
    seconds: float = 300.0
    keep: float = 600.0
    patience: float = 20.0
    grace: float = 30.0
    keys: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    app: Path | None = None
    nice: int = 5

    @property
    def computing(self) -> dict[str, Any]:
        """The operator's part of :class:`rlfn.inference.enlarge_options.EnlargeOptions`, by name."""
        return {name: getattr(self, name) for name in ("engine", "threads", "tile", "device")}

    def __post_init__(self) -> None:
        """Validate the settings."""
        for name in ("workers", "max_body", "max_pixels", "max_result_pixels", "queue", "memory", "connections"):
            if getattr(self, name) < 1:
                raise OptionError(f"{setting(name)} was given as {getattr(self, name)}. Allowed: 1 or more.")
        for name in ("seconds", "keep", "patience"):
            if not getattr(self, name) > 0:
                raise OptionError(f"{setting(name)} was given as {getattr(self, name)}. Allowed: more than 0.")
        for name in ("cache", "grace"):
            if not getattr(self, name) >= 0:
                raise OptionError(f"{setting(name)} was given as {getattr(self, name)}. Allowed: 0 or more.")
        if self.memory < 2 * self.max_body:
            raise OptionError(
                f"{setting('memory')} of {self.memory:,} bytes cannot hold a request of {self.max_body:,} and its "
                f"result. Give at least {2 * self.max_body:,}, or less for {setting('max_body')}."
            )
        if any(len(key) < 16 for key in self.keys):
            raise OptionError("A key has fewer than 16 characters. Make one with: openssl rand -hex 24")
        if any("://" not in origin or origin.endswith("/") for origin in self.origins if origin != "*"):
            raise OptionError("An origin is a scheme and a host without a path, such as https://example.org, or *.")
