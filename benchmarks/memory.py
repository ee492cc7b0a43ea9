"""Memory of an engine in bytes per input pixel: the source of :data:`rlfn.inference.footprint.BYTES_PER_PIXEL`.

    python benchmarks/memory.py [--models rlfn-s-x4 rlfn-xs-x4] [--engines onnxruntime openvino torch ncnn]
    python benchmarks/memory.py --precision int8
    python benchmarks/memory.py --engines ncnn --device gpu:0

Each cell is measured in a new process: the peak memory while a picture of 384x384 px is run whole (ncnn: 1280x720 px,
in its strips), minus the memory before it (model loaded, a small picture upscaled), per pixel. The result is included.
With a device the picture has 160x160 px; this is only meaningful for software Vulkan, which uses the process's memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

SIZES = {"ncnn": (720, 1280)}
TILE = (384, 384)
ON_DEVICE = (160, 160)


def memory_field(name: str) -> int:
    """Return a field of /proc/self/status in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


def child(model: str, engine: str, device: str, precision: str) -> None:
    from rlfn.inference.upscaler import Upscaler

    upscaler = Upscaler(model, engine=engine, threads=2, tile=0, precision=precision, device=device)
    height, width = SIZES.get(engine, TILE) if device == "cpu" else ON_DEVICE
    small = 64 if device == "cpu" else 16
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    upscaler(image[:small, :small])
    before = memory_field("VmRSS")
    upscaler(image)
    print((memory_field("VmHWM") - before) / (height * width))


def main() -> None:
    from rlfn.inference.engines import ENGINES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["rlfn-s-x4", "rlfn-s-x2", "rlfn-xs-x4", "rlfn-xs-x2"])
    installed = [name for name, row in ENGINES.items() if find_spec(row.module)]
    parser.add_argument("--engines", nargs="+", default=installed)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.models[0], given.engines[0], given.device, given.precision)
        return
    print(f"| model | {' | '.join(given.engines)} |\n|---{'|---' * len(given.engines)}|")
    for model in given.models:
        cells = []
        for engine in given.engines:
            command = [sys.executable, __file__, "--child", "--models", model, "--engines", engine]
            command += ["--device", given.device, "--precision", given.precision]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            cells.append(f"{float(done.stdout):.0f}" if done.returncode == 0 else "-")
        print(f"| {model} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
