"""A packaged model's int8 file compared with its fp32 file, interleaved in one process, and ONNX Runtime's profile.

    python benchmarks/int8.py [--models rlfn-s-x4] [--engines onnxruntime openvino] [--size 128x128] [--threads 1]
    python benchmarks/int8.py --profile
    python benchmarks/int8.py --flat
    python benchmarks/int8.py --bands [--models rlfn-xs-photo-x4]
    python benchmarks/int8.py --steps

Times are medians of warm calls; the ratio is that of the two medians. With --cpu they are CPU time instead of
wall-clock time, which is less sensitive to other load; this is meant for one thread. With --profile the kernels' times
are summed by node type, as recorded by ONNX Runtime's profiler. With --flat nothing is timed; the table lists the
differences from fp32 on flat colours in levels, for every packaged int8 file. With --bands the models are quantised
anew without and with the additional float layer; the table lists the largest step on smooth gradients and the times.
With --steps nothing is timed; the table lists the largest step of every packaged file on them, compared with bicubic.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from numpy.typing import NDArray

from rlfn.evaluation.profile import runner
from rlfn.export.banding import banding, largest_step
from rlfn.export.feeds import Feed, open_session, sides_of
from rlfn.export.int8 import calibration_pictures, quantize_most
from rlfn.images.resize import resize
from rlfn.inference.engines import load_engine
from rlfn.inference.loading import checkpoint_of
from rlfn.inference.upscaler import Upscaler
from rlfn.models import catalog
from rlfn.models.grid import axis_grid, grid_matrices
from rlfn.models.source import ModelSource
from rlfn.models.traits import GRID_INPUTS
from rlfn.networks.integers import ROUNDED_IN_TRAINING

PRECISIONS = ("fp32", "int8")

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "yellow": (255, 255, 0),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "grays": (64, 128, 192),
}
"""Flat colours, and the levels of the grays."""


def times(model: str, engine: str, size: tuple[int, int], threads: int, rounds: int, cpu: bool) -> list[float]:
    """Return the median milliseconds of both precisions."""
    clock = time.process_time if cpu else time.perf_counter
    runs = [runner(load_engine(engine, ModelSource(model), threads, precision), *size) for precision in PRECISIONS]
    return interleaved(runs, rounds, clock)


def interleaved(runs: list[Callable[[], object]], rounds: int, clock: Callable[[], float]) -> list[float]:
    """Return the median milliseconds of calls that are made by turns."""
    for run in runs:
        run()
        run()
    found: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, row in zip(runs, found, strict=True):
            began = clock()
            run()
            row.append(clock() - began)
    return [median(row) * 1e3 for row in found]


def profile(model: str, precision: str, size: tuple[int, int], threads: int, rounds: int) -> None:
    """Print ONNX Runtime's milliseconds per call by node type."""
    import onnxruntime

    height, width = size
    feed = {"lr": np.random.default_rng(0).uniform(0.0, 255.0, (1, 3, height, width)).astype(np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(
            ModelSource(model).graph(precision), options, providers=["CPUExecutionProvider"]
        )
        if len(session.get_inputs()) > 1:
            grid = (axis_grid(0, height, height), axis_grid(0, width, width))
            feed |= dict(zip(GRID_INPUTS, grid_matrices(grid), strict=True))
        for _ in range(rounds):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    spent: Counter[str] = Counter()
    nodes: Counter[str] = Counter()
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            kind = event["args"]["op_name"]
            spent[kind] += event["dur"]
            nodes[kind] += 1
    print(f"{model} {precision}, {rounds} calls")
    for kind, microseconds in spent.most_common():
        print(f"{nodes[kind] // rounds:>5} {kind:<20} {microseconds / rounds / 1e3:8.2f} ms")


def flat(engine: str) -> None:
    """Print a table of the largest difference in levels of int8 from fp32 on flat pictures of 64x64 px."""
    print(f"| model, {engine} | {' | '.join(COLOURS)} |\n|{'---|' * (len(COLOURS) + 1)}")
    for name, model in catalog.models().items():
        if not model.scores_in("int8"):
            continue
        full, small = (Upscaler(name, engine=engine, threads=1, precision=precision) for precision in PRECISIONS)

        def off(colour: tuple[int, ...], full: Upscaler = full, small: Upscaler = small) -> int:
            picture = np.full((64, 64, 3), colour, np.uint8)
            return int(np.abs(small(picture).astype(int) - full(picture)).max())

        cells = [
            max(off((level,) * 3) for level in colour) if title == "grays" else off(colour)
            for title, colour in COLOURS.items()
        ]
        print(f"| `{name}` | {' | '.join(map(str, cells))} |", flush=True)


def bands(model: str, engines: list[str], size: tuple[int, int], threads: int, rounds: int) -> None:
    """Print the largest step on gradients and the milliseconds, without and with one more float layer."""
    data, pictures = ModelSource(model).graph("fp32"), calibration_pictures(None, 15)
    nearest = ROUNDED_IN_TRAINING in checkpoint_of(ModelSource(model)).metadata
    files = [quantize_most(data, pictures, smooth=smooth, nearest=nearest) for smooth in (False, True)]
    cells = [[f"{banding(data, file):.2f}"] for file in files]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("usual.onnx", "smooth.onnx")]
        for path, file in zip(paths, files, strict=True):
            path.write_bytes(file)
        for engine in engines:
            runs = [runner(load_engine(engine, ModelSource(path), threads, "fp32"), *size) for path in paths]
            for row, value in zip(cells, interleaved(runs, rounds, time.perf_counter), strict=True):
                row.append(f"{value:.1f} ms")
    for name, row in zip(("as the others", "one more float layer"), cells, strict=True):
        print(f"| {model}, {name} | {' | '.join(row)} |", flush=True)


def steps() -> None:
    """Print a table of the largest step on gradients that each packaged file has and bicubic has not."""
    print(f"| model | {' | '.join(PRECISIONS)} |\n|{'---|' * (1 + len(PRECISIONS))}")
    for name, model in catalog.models().items():
        cells = [f"{step(name, model.scale, precision):.2f}" for precision in PRECISIONS]
        print(f"| `{name}` | {' | '.join(cells)} |", flush=True)


def step(name: str, scale: int, precision: str) -> float:
    """Return the largest step of one file, in levels."""
    data = ModelSource(name).graph(precision)
    session = open_session(data)

    def enlarge(feed: Feed) -> NDArray[np.uint8]:
        (picture,) = next(iter(feed.values())).astype(np.uint8).transpose(0, 2, 3, 1)
        return resize(picture, scale=scale).transpose(2, 0, 1)[None]

    return largest_step(enlarge, lambda feed: session.run(None, feed)[0], sides_of(onnx.load_from_string(data)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["rlfn-s-x4", "rlfn-s-x2"])
    parser.add_argument("--engines", nargs="+", default=["onnxruntime", "openvino"])
    parser.add_argument("--size", default="128x128", help="width x height")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cpu", action="store_true", help="processor time instead of time on the clock")
    parser.add_argument("--profile", action="store_true", help="print ONNX Runtime's times by kind of node instead")
    parser.add_argument("--flat", action="store_true", help="print how far flat colours are from fp32 instead")
    parser.add_argument("--bands", action="store_true", help="compare quantising with and without one more float layer")
    parser.add_argument("--steps", action="store_true", help="print the files' steps on gradients beside bicubic's")
    given = parser.parse_args()
    if given.steps:
        steps()
        return
    if given.flat:
        for engine in given.engines:
            flat(engine)
        return
    width, height = map(int, given.size.split("x"))
    if given.bands:
        print(f"| | largest step | {' | '.join(given.engines)} |\n|{'---|' * (2 + len(given.engines))}")
        for model in given.models:
            bands(model, given.engines, (height, width), given.threads, given.rounds)
        return
    if given.profile:
        for model in given.models:
            for precision in PRECISIONS:
                profile(model, precision, (height, width), given.threads, given.rounds)
        return
    what = "processor" if given.cpu else "clock"
    print(f"{given.size}, {given.threads} thread(s), {given.rounds} rounds interleaved, {what} time")
    print(f"{'model':>12} {'engine':>12} {'fp32 ms':>9} {'int8 ms':>9} {'speed':>7}")
    for model in given.models:
        for engine in given.engines:
            if find_spec(engine) is None:
                print(f"{model:>12} {engine:>12} is not installed")
                continue
            slow, fast = times(model, engine, (height, width), given.threads, given.rounds, given.cpu)
            print(f"{model:>12} {engine:>12} {slow:9.1f} {fast:9.1f} {slow / fast:6.2f}x", flush=True)


if __name__ == "__main__":
    main()
