"""What the operator of a server decides: limits, keys, origins, and what computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlfn.errors import OptionError, setting

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class ServeSettings:
    """How a server works.

    Attributes:
        engine, threads, tile, device: of every worker, as in :class:`rlfn.inference.enlarge.EnlargeOptions`.
        workers: processes that enlarge pictures, each one picture at a time.
        max_body: largest request in bytes.
        max_pixels: largest picture in px.
        max_result_pixels: largest result in px.
        queue: how many pictures may wait; more are refused with 429.
        memory: bytes of uploads and results that are held at a time, half of them each; more are refused with 503.
        cache: bytes of results that are kept for the next request of the same picture; 0 for none.
        connections: how many may be open at a time.
        seconds: the longest time for one picture, waiting not counted.
        keep: seconds for which a finished job waits to be fetched.
        patience: seconds of silence after which a client is given up.
        grace: seconds that SIGTERM leaves running jobs.
        keys: one of them has to be given by clients; none: everybody is served.
        origins: web sites whose pages may call the API (CORS).
        hosts: names under which the server may be called; empty for any.
        app: the folder of the built browser app, or None.
        nice: by how much workers step back for other processes; the answers to short questions stay quick.

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
        """What the operator decides of :class:`rlfn.inference.enlarge.EnlargeOptions`, by name."""
        return {name: getattr(self, name) for name in ("engine", "threads", "tile", "device")}

    def __post_init__(self) -> None:
        """Refuse what no server could work with."""
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
