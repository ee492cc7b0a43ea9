"""The Ray cluster of a run: a running one that it joins, or a local one that it starts."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rlfn.errors import MissingExtraError, OptionError, OutputError
from rlfn.inference.hardware import default_threads
from rlfn.telemetry import import_silent
from rlfn.wording import one_line, setting

_OBJECT_STORE_BYTES = 256 << 20
"""Object store of an embedded Ray: it holds parts of oversized pictures only, no whole pictures."""

_RESTART_SECONDS = (1.0, 10.0)
"""Shortest and longest pause before a local Ray that failed to start is started again."""


@dataclass(frozen=True)
class ClusterOptions:
    """The Ray cluster and the workers of a run.

    Attributes:
        address: address of a running Ray cluster; None starts a local one.
        workers: number of worker processes; None for as many as the cores allow.
        threads: threads of each worker, which reserves as many cores.
    """

    address: str | None = None
    workers: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        """Validate the values."""
        for name in ("workers", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"{setting(name, value)} was given. Allowed: 1 or more.")


def import_ray() -> Any:
    """Return Ray with its usage reports disabled.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_silent("ray")
    except ImportError:
        raise MissingExtraError("Bulk processing", "bulk") from None


def is_lost(error: BaseException) -> bool:
    """Tell whether a Ray exception means that a process or machine was lost, and not that its task failed."""
    kinds = import_ray().exceptions
    lost = ("RayActorError", "ActorUnavailableError", "WorkerCrashedError", "NodeDiedError", "ObjectLostError")
    return isinstance(
        error, tuple(getattr(kinds, name) for name in (*lost, "OutOfMemoryError") if hasattr(kinds, name))
    )


@contextlib.contextmanager
def cluster(options: ClusterOptions) -> Iterator[int]:
    """Join a running Ray cluster or start a local one, and yield the number of workers to start.

    Raises:
        OptionError: no Ray cluster answers at the address, or its version differs.
        OutputError: a local Ray cluster does not start.
    """
    ray = import_ray()
    if ray.is_initialized():  # by the caller
        yield _worker_capacity(ray, options)
        return
    handler = signal.getsignal(signal.SIGTERM)
    folder = None
    try:
        if options.address is None:
            # socket paths are limited to 107 bytes, and Ray uses most of them
            folder = tempfile.mkdtemp(prefix="rlfn-", dir="/tmp" if os.path.isdir("/tmp") else None)
            _start(ray, folder, default_threads())
        else:
            _join(ray, options.address)
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGTERM, handler)  # Ray installs its own
        yield _worker_capacity(ray, options)
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _start(ray: Any, folder: str, cores: int) -> None:
    # clients without the token are rejected; if none is set, Ray writes one to the home folder
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    logging.getLogger("ray").setLevel(logging.ERROR)
    for attempts_left in (1, 0):
        try:
            ray.init(
                address="local",
                num_cpus=cores,
                num_gpus=0,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address="127.0.0.1",  # not reachable from other machines
                _temp_dir=folder,
            )
            return
        except Exception as error:  # Ray raises a plain Exception when its processes are not ready in time
            ray.shutdown()
            if not attempts_left:
                raise OutputError(
                    f"Ray failed to start on this machine twice ({one_line(error)}). The machine may be too busy or "
                    f"short of memory. Run again later, or give {setting('address')} of a running Ray cluster."
                ) from error
            time.sleep(random.uniform(*_RESTART_SECONDS))  # runs that began together must not retry together


def _join(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, namespace="rlfn")
    except Exception as error:  # connection, version and value errors alike
        raise OptionError(
            f"No Ray cluster answers at {setting('address', address)} ({one_line(error)}). Start one with 'ray start' "
            "on its first machine, or omit the address to start a local one."
        ) from error


def _worker_capacity(ray: Any, options: ClusterOptions) -> int:
    cores = int(ray.cluster_resources().get("CPU", 0))
    return max(1, cores // options.threads) if options.workers is None else options.workers
