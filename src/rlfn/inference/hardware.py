"""What this machine gives a process: the processor's features, cores and memory."""

from __future__ import annotations

import math
import os
import platform
import time
from functools import lru_cache
from pathlib import Path, PurePosixPath

_CGROUP = Path("/sys/fs/cgroup")
_UNTOLD = 2 << 30
_MEMORY_SECONDS = 0.5

BF16_FEATURES = frozenset({"avx512_bf16", "amx_bf16"})
"""Features with which a processor computes in bf16; see :func:`fast_bf16`."""

INT8_FEATURES = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})
"""Features with which a processor multiplies bytes."""


def features() -> frozenset[str]:
    """Return the processor's features as Linux names them (``avx2``, ``avx512_bf16``); none where it does not tell."""
    told = _processor()
    return frozenset((told.get("flags") or told.get("Features", "")).split())


def fast_bf16(here: frozenset[str]) -> bool:
    """Tell whether a processor with these features computes in bf16 faster than in fp32.

    AMX does, and so do AMD's processors with AVX512-BF16. Intel's with AVX512-BF16 but without AMX, as in some virtual
    machines, do not: there OpenVINO and oneDNN took 1.5 times as long in bf16 (docs/guide/speed.md).
    """
    return "amx_bf16" in here or ("avx512_bf16" in here and is_amd())


def is_amd() -> bool:
    """Tell whether AMD made the processor."""
    return "AuthenticAMD" in (_processor().get("vendor_id", ""), *platform.processor().split(", "))


def default_threads() -> int:
    """Return how many cores this process may use: by its affinity and by its control groups' quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas())]))


def available_memory() -> int:
    """Return the bytes of memory that this process may still take, as far as the system tells; else 2 GiB.

    What the machine has free counts, and the limits of the process (RLIMIT_AS) and of its control groups (v1 and v2).
    The answer is up to half a second old: it is asked for with every picture, and reading all the limits is slow.
    """
    return _memory_at(int(time.monotonic() / _MEMORY_SECONDS))


@lru_cache(maxsize=1)
def _processor() -> dict[str, str]:
    """Return what Linux tells about the first processor; nothing on other systems."""
    told = {}
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            for line in file:
                name, colon, value = line.partition(":")
                if not colon:
                    break
                told[name.strip()] = value.strip()
    except OSError:
        pass
    return told


@lru_cache(maxsize=1)
def _memory_at(interval: int) -> int:
    """Return the memory that is available during an interval; it is read once."""
    found = [*_machine_memory(), *_group_memory(), *_process_memory()]
    return max(0, min(found, default=_UNTOLD))


def _machine_memory() -> list[int]:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return [int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:")]
    except (OSError, ValueError):
        pass
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2]
    return []


def _process_memory() -> list[int]:
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return []
        with open("/proc/self/statm", encoding="ascii") as file:
            return [limit - int(file.read().split()[0]) * resource.getpagesize()]
    except (ImportError, OSError, ValueError):
        return []


def _groups() -> list[tuple[str, Path]]:
    """Return (kind, folder) of every control group of this process, parents included; kind "" is version 2."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, kinds, name = line.split(":", 2)
        for kind in kinds.split(","):
            if kind not in ("", "memory", "cpu"):
                continue
            root = _CGROUP if not kind else _CGROUP / kinds if (_CGROUP / kinds).is_dir() else _CGROUP / kind
            path = PurePosixPath(name.lstrip("/"))
            # inside a container the name may be the host's: what exists counts, and the root always
            found += [(kind, root / part) for part in dict.fromkeys([path, *path.parents, PurePosixPath()])]
    return [(kind, folder) for kind, folder in found if folder.is_dir()]


def _group_memory() -> list[int]:
    found = []
    for kind, folder in _groups():
        names = {"": ("memory.max", "memory.current"), "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes")}
        if kind not in names:
            continue
        limit, used = (_number(folder / name) for name in names[kind])
        if limit is not None and used is not None and limit < 1 << 60:  # version 1 writes a huge number for none
            found.append(limit - used + _reclaimable(folder / "memory.stat"))
    return found


def _quotas() -> list[float]:
    """Return the cores that each control group grants."""
    found = []
    for kind, folder in _groups():
        if kind == "cpu":
            quota, period = (_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        elif kind == "":
            try:
                words = (folder / "cpu.max").read_text(encoding="ascii").split()
                quota, period = (int(words[0]) if words[0] != "max" else None), int(words[1])
            except (OSError, ValueError, IndexError):
                continue
        else:
            continue
        if quota and period and quota > 0:
            found.append(quota / period)
    return found


def _reclaimable(path: Path) -> int:
    """Return the bytes of file cache that a control group counts as used, and that the system gives back at need."""
    try:
        with path.open(encoding="ascii") as file:
            return max(
                (int(line.split()[1]) for line in file if line.startswith(("inactive_file ", "total_inactive_file "))),
                default=0,
            )
    except (OSError, ValueError):
        return 0


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
