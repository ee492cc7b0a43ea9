"""Every packaged model on the same picture, interleaved in one process, compared with the first one.

    python benchmarks/models.py [--engines onnxruntime openvino] [--size 128x128] [--rounds 15]

Times are medians of warm calls on one thread, in CPU time, which is less sensitive to other load than wall-clock time.
fp32, the network alone.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

from rlfn.evaluation.profile import runner
from rlfn.evaluation.report import aligned
from rlfn.inference.engines import load_engine
from rlfn.models import catalog
from rlfn.models.source import ModelSource


def times(engine: str, height: int, width: int, rounds: int) -> dict[str, float]:
    """Return the median milliseconds of every model."""
    runs = {name: runner(load_engine(engine, ModelSource(name), 1), height, width) for name in catalog.models()}
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 2):
        for name, run in runs.items():
            began = time.process_time()
            run()
            if number >= 2:  # warm
                found[name].append(time.process_time() - began)
    return {name: median(row) * 1e3 for name, row in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", default=["onnxruntime", "openvino"])
    parser.add_argument("--size", default="128x128", help="width x height")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    width, height = (int(part) for part in given.size.split("x"))
    rows = [["model", *(f"{engine}: ms, speed" for engine in given.engines)]]
    columns = [times(engine, height, width, given.rounds) for engine in given.engines]
    for name in catalog.models():
        cells = [f"{found[name]:.1f}, {next(iter(found.values())) / found[name]:.2f}x" for found in columns]
        rows.append([f"`{name}`", *cells])
    print("\n".join(aligned(rows)))


if __name__ == "__main__":
    main()
