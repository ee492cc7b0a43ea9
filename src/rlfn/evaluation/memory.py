"""The peak memory of one inference, measured in this process, which should be fresh: see ``profile.peak_memory``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def measure(
    model: str, engine: str, threads: int | None, height: int, width: int, precision: str = "fp32"
) -> int | None:
    """Load a model, run it twice, and return the bytes above the loaded model at the high-water mark."""
    from rlfn.evaluation.profile import runner
    from rlfn.inference.engines import load_engine
    from rlfn.models.source import ModelSource

    run = runner(load_engine(engine, ModelSource(model), threads, precision), height, width)
    before = _mark("VmRSS")
    if before is None:
        return None
    run()
    run()
    after = _mark("VmHWM")
    return None if after is None else max(0, after - before)


def _mark(field: str) -> int | None:
    """Return this process's memory in bytes, now (``VmRSS``) or at its highest (``VmHWM``).

    On Linux asking for the present sets the high-water mark back to it, so that a peak while loading does not count;
    elsewhere both are the highest so far.
    """
    if _STATUS.exists():
        if field == "VmRSS":
            _RESET.write_text("5")
        for line in _STATUS.read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
        return None
    try:
        import resource
    except ImportError:
        return None
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024


if __name__ == "__main__":
    print(json.dumps(measure(*json.loads(sys.argv[1]))))
