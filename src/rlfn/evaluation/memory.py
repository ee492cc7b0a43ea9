"""The peak memory of one inference, measured in this process; started in a new process by ``profile.peak_memory``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def measure(
    model: str, engine: str, threads: int | None, height: int, width: int, precision: str = "fp32"
) -> int | None:
    """Load a model, run it twice, and return the peak memory in bytes above the loaded model."""
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
    """Return this process's memory in bytes, current (``VmRSS``) or peak (``VmHWM``).

    On Linux reading the current value resets the peak to it, so that a peak during loading does not count; on other
    systems both are the peak so far.
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
