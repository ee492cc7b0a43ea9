"""Comparison with the same weights run as in the official code, interleaved in one process.

    python benchmarks/upscale.py [--engine auto] [--precision fp32] [--threads N] [--rounds 3]
                                 [--sizes 320x180 640x360 1280x720]

Ours computes in the given precision; the plain way is PyTorch eager in fp32, NCHW, the whole picture at once, the same
number of threads, uint8 array in and out as ours. Times are medians over the rounds, warm; the ratio is that of the two
medians. Peak memory is measured in a new process for each way and size, minus the memory before the picture (model
loaded, a small one upscaled).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from rlfn.inference.engines import AUTO, choose_engine
from rlfn.inference.hardware import default_threads
from rlfn.inference.upscaler import Upscaler
from rlfn.models import catalog
from rlfn.models.source import ModelSource

MODEL = "rlfn-s-x4"
Run = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def ours(engine: str, precision: str, threads: int, size: str) -> Run:
    """Use the engine that the command chooses for a single picture of that size."""
    if engine == AUTO:
        width, height = map(int, size.split("x"))
        engine = choose_engine(ModelSource(MODEL), width * height, precision)
    return Upscaler(MODEL, engine=engine, threads=threads, precision=precision)


def plain(engine: str, precision: str, threads: int, size: str) -> Run:
    import torch

    from rlfn.networks import load_checkpoint

    torch.set_num_threads(threads)
    network = load_checkpoint(catalog.get_model(MODEL).file(catalog.TENSORS).path).network

    def run(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with torch.no_grad():
            x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float().unsqueeze(0)
            y = network(x).squeeze(0).clamp(0, 255).round().permute(1, 2, 0)
            return y.to(torch.uint8).numpy()

    return run


WAYS: dict[str, Callable[[str, str, int, str], Run]] = {"ours": ours, "plain": plain}


def picture(size: str) -> NDArray[np.uint8]:
    """Tile the example photograph to the requested size."""
    from rlfn.images.files import read_picture

    width, height = map(int, size.split("x"))
    photo = read_picture(Path(__file__).parents[1] / "examples" / "astronaut.png").pixels
    repeats = (-(-height // photo.shape[0]), -(-width // photo.shape[1]), 1)
    return np.ascontiguousarray(np.tile(photo, repeats)[:height, :width])


def memory_field(name: str) -> float:
    """Return a field of /proc/self/status in MB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"/proc/self/status has no {name}")


def child(way: str, size: str, engine: str, precision: str, threads: int) -> None:
    run = WAYS[way](engine, precision, threads, size)
    image = picture(size)
    run(image[:64, :64])
    before = memory_field("VmRSS")
    run(image)
    print(memory_field("VmHWM") - before)


def peak_memory(way: str, size: str, engine: str, precision: str, threads: int) -> float:
    command = [sys.executable, __file__, "--child", way, "--sizes", size, "--engine", engine]
    command += ["--precision", precision, "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", default=["320x180", "640x360", "1280x720"])
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.sizes[0], given.engine, given.precision, given.threads)
        return
    print(f"{MODEL} in {given.precision}, {given.threads} threads, {given.rounds} rounds")
    print(
        f"{'size':>10} {'engine':>12} {'ours s':>8} {'plain s':>8} {'speed':>7} "
        f"{'ours MB':>8} {'plain MB':>9} {'memory':>7}"
    )
    for size in given.sizes:
        runs = {way: make(given.engine, given.precision, given.threads, size) for way, make in WAYS.items()}
        image = picture(size)
        times: dict[str, list[float]] = {way: [] for way in runs}
        for run in runs.values():
            run(image)
        for _ in range(given.rounds):
            for way, run in runs.items():
                began = time.perf_counter()
                run(image)
                times[way].append(time.perf_counter() - began)
        fast, slow = median(times["ours"]), median(times["plain"])
        small, large = (peak_memory(way, size, given.engine, given.precision, given.threads) for way in runs)
        print(
            f"{size:>10} {runs['ours'].engine:>12} {fast:8.2f} {slow:8.2f} {slow / fast:6.2f}x "
            f"{small:8.0f} {large:9.0f} {small / large:7.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
