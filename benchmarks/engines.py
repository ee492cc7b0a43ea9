"""Comparison of the engines, on which the choice of 'auto' is based (:mod:`rlfn.inference.engine_order`).

    python benchmarks/engines.py [--model rlfn-s-x4] [--threads N] [--rounds 3] [--sizes 128x128 320x180 ...]

Seconds per picture, warm, interleaved in one process, medians of the rounds; and the startup time of each engine: in a
new process, the seconds from before any import to the end of a first picture of 64x64 px, minus those of a second one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from importlib.util import find_spec
from statistics import median

from rlfn.inference.engines import ENGINES
from rlfn.inference.hardware import default_threads, features
from rlfn.models.source import ModelSource
from upscale import picture

KNOWN_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "asimddp")


def start(model: str, engine: str, threads: int, precision: str) -> float:
    code = (
        "import time; began = time.perf_counter()\n"
        "import numpy as np\nfrom rlfn.inference.upscaler import Upscaler\n"
        f"upscaler = Upscaler({model!r}, engine={engine!r}, threads={threads}, precision={precision!r})\n"
        "image = np.zeros((64, 64, 3), np.uint8)\nupscaler(image)\nfirst = time.perf_counter()\nupscaler(image)\n"
        "print(2 * first - began - time.perf_counter())"
    )
    found = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for _ in range(3)
    ]
    return median(found)


def main() -> None:
    from rlfn.inference.upscaler import Upscaler

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="rlfn-s-x4")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument(
        "--engines", nargs="+", help="default: all that are installed and run the model in the precision"
    )
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", default=["128x128", "320x180", "640x360", "1280x720"])
    given = parser.parse_args()
    model = ModelSource(given.model)
    given.engines = given.engines or [
        name
        for name, row in ENGINES.items()
        if find_spec(row.module) and row.takes(model) and given.precision in row.precisions()
    ]
    have = [name for name in KNOWN_FEATURES if name in features()]
    print(f"{given.model} {given.precision}, {given.threads} threads, {' '.join(have)}")
    print(f"| seconds | {' | '.join(given.engines)} |\n|---{'|---' * len(given.engines)}|")
    starts = [start(given.model, engine, given.threads, given.precision) for engine in given.engines]
    print(f"| start | {' | '.join(f'{seconds:.2f}' for seconds in starts)} |", flush=True)
    upscalers = [
        Upscaler(given.model, engine=name, threads=given.threads, precision=given.precision) for name in given.engines
    ]
    for size in given.sizes:
        image = picture(size)
        times: list[list[float]] = [[] for _ in upscalers]
        for upscaler in upscalers:
            upscaler(image[:150, :150])
        for _ in range(given.rounds):
            for upscaler, found in zip(upscalers, times, strict=True):
                began = time.perf_counter()
                upscaler(image)
                found.append(time.perf_counter() - began)
        print(f"| {size} | {' | '.join(f'{median(found):.3f}' for found in times)} |", flush=True)


if __name__ == "__main__":
    main()
