"""Runs on several processes: the lock on the run's folder, the end of the group, and an error for a lost process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from filelock import FileLock, Timeout

from rlfn.atomic import check_path
from rlfn.errors import OptionError, TrainingError
from rlfn.wording import setting

if TYPE_CHECKING:
    from rlfn.training.run import TrainingRun

_TRANSPORTS = ("gloo/transport", "NCCL", "Connection closed by peer", "Connection reset by peer")
"""Markers in the messages of backends that raise plain RuntimeErrors."""


@contextmanager
def run_lock(run: TrainingRun) -> Iterator[None]:
    """Keep other processes from training in the run's folder; the lock goes with this one, however it ends.

    Raises:
        OptionError: another process trains there.
        OutputError: the folder cannot be written.
    """
    if not run.fabric.is_global_zero:
        yield
        return
    check_path(run.out / "run.lock")
    lock = FileLock(run.out / "run.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise OptionError(
            f"Another process trains in {run.out}. Wait for its end or stop it, or choose another folder."
        ) from error
    except NotImplementedError:  # the file system has no locks
        pass
    try:
        yield
    finally:
        lock.release()


@contextmanager
def closed_group() -> Iterator[None]:
    """Close the group of processes that is opened inside, however that ends.

    Otherwise a process aborts now and then at its exit, in one of gloo's threads, and torchrun kills the others.
    """
    before = _has_group()
    try:
        yield
    finally:
        if _has_group() and not before:
            torch.distributed.destroy_process_group()


def _has_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


@contextmanager
def explain_lost_process(run: TrainingRun) -> Iterator[None]:
    """Turn a backend's error about a lost process into a message that says how to resume.

    Raises:
        TrainingError: another process of the run does not answer any more.
    """
    try:
        yield
    except RuntimeError as error:
        fabric = run.fabric
        if fabric.world_size == 1 or not _is_of_a_transport(error):
            raise
        newest = run.checkpoints.paths()[-1:]
        saved = f"The newest checkpoint is {newest[0]}. " if newest else ""
        raise TrainingError(
            f"Process {fabric.global_rank + 1} of {fabric.world_size} does not reach the others any more: one ended, "
            f"or its machine did, or the network between. {saved}Resume the run in {run.out} ({setting('resume')}), "
            "on one machine or on several."
        ) from error


def _is_of_a_transport(error: RuntimeError) -> bool:
    if isinstance(error, torch.distributed.DistError):
        return True
    return any(mark in str(error) for mark in _TRANSPORTS)
