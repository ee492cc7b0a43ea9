"""The Vulkan devices of this machine, as ncnn finds them, and which one is taken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from rlfn.errors import RlfnError
from rlfn.forked import ForkGuard
from rlfn.inference.blockwise.nets import import_ncnn
from rlfn.wording import setting

SOFTWARE = "software"

_KINDS = ("discrete", "integrated", "virtual", SOFTWARE)
"""What ncnn's numbers for kinds of device mean, the fastest first."""

_FORK_GUARD = ForkGuard("Vulkan", "use a GPU")

_TRIAL = "import ncnn; ncnn.get_gpu_count()"
_TRIAL_SECONDS = 60.0


class NoGpuError(RlfnError):
    """A GPU cannot do the work, for the reason that the message says."""


@dataclass(frozen=True)
class Gpu:
    """A Vulkan device.

    Attributes:
        number: ncnn's.
        name: its maker's.
        kind: ``discrete``, ``integrated``, ``virtual`` or ``software``.
        free_memory: returns the bytes of its memory that this process may still take.
    """

    number: int
    name: str
    kind: str
    free_memory: Callable[[], int] = field(compare=False, repr=False)


def find_gpus() -> list[Gpu]:
    """Return the Vulkan devices; none where there is no driver, or an ncnn without Vulkan.

    Raises:
        MissingExtraError: ncnn is not installed.
        ForkedError: this process was forked from one that uses Vulkan.
        NoGpuError: a driver crashes or hangs.
    """
    ncnn = import_ncnn()
    if not hasattr(ncnn, "get_gpu_count"):
        return []
    _FORK_GUARD.enter()
    try_apart()
    found = []
    for number in range(ncnn.get_gpu_count()):
        about = ncnn.get_gpu_info(number)
        kind = _KINDS[min(about.type(), len(_KINDS) - 1)]
        found.append(Gpu(number, about.device_name(), kind, _budget_of(number)))
    return found


@cache
def try_apart() -> None:
    """Start Vulkan in a process of its own first, because a driver that crashes takes its process with it.

    Raises:
        NoGpuError: it crashes there, or takes longer than a minute.
    """
    if getattr(sys, "frozen", False) or not sys.executable:  # then it is no Python that could be told to try
        return
    command = [sys.executable, "-c", _TRIAL]
    try:
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TRIAL_SECONDS, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        raise NoGpuError("Vulkan's driver hangs. A newer one may help") from None
    except OSError:
        return
    if status not in (0, 1):  # 1: an exception, which comes again here if it is no matter of that process
        raise NoGpuError(f"Vulkan's driver crashes (status {status}). A newer one may help")


def pick_gpu(device: str, gpus: Sequence[Gpu]) -> Gpu:
    """Return the device that ``"gpu"`` (the fastest kind, no software) or ``"gpu:1"`` (ncnn's number) means.

    Raises:
        NoGpuError: there is none.
    """
    if not gpus:
        raise NoGpuError("ncnn finds no Vulkan device. Install the driver of the graphics card, and Vulkan's loader")
    _, _, number = device.partition(":")
    if number:
        for gpu in gpus:
            if gpu.number == int(number):
                return gpu
        raise NoGpuError(f"there is no {device}; 'rlfn doctor' lists those that there are")
    real = [gpu for gpu in gpus if gpu.kind != SOFTWARE]
    if not real:
        raise NoGpuError(
            f"the only Vulkan device, {gpus[0].name}, is software, and slower than the engines of the processor; "
            f"{setting('device', f'gpu:{gpus[0].number}')} takes it all the same"
        )
    return min(real, key=lambda gpu: (_KINDS.index(gpu.kind), gpu.number))


def no_gpu(reason: RlfnError) -> str:
    """Return the warning that a GPU did not do the work, and why."""
    return f"the CPU did the work, not a GPU: {reason.template.rstrip('.')}"


def _budget_of(number: int) -> Callable[[], int]:
    def budget() -> int:
        megabytes: int = import_ncnn().get_gpu_device(number).get_heap_budget()
        return megabytes << 20

    return budget
