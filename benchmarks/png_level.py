"""PNG compression level and filter: encoding time against size, on a large photograph as an upscaler makes it.

Run ``python benchmarks/png_level.py [--scale 6]``. The photograph is scikit-image's astronaut, enlarged by Lanczos,
with a little noise so that it compresses like a real one. Times are CPU seconds of one thread, the best of three.
"""

from __future__ import annotations

import os

os.environ["VIPS_CONCURRENCY"] = "1"  # read when libvips starts

import argparse
import io
import itertools
import time

import numpy as np
import pyvips
from skimage import data

LEVELS = (1, 2, 3, 6)
FILTERS = ("none", "sub", "up", "paeth", "all")


def photograph(scale: float, deep: bool) -> pyvips.Image:
    """The astronaut, ``scale`` times as large, 8 or 16 bit."""
    image = pyvips.Image.new_from_array(data.astronaut()).resize(scale, kernel="lanczos3").numpy().astype(np.float32)
    image += np.random.default_rng(0).normal(0, 1, image.shape).astype(np.float32)
    top, dtype = (65_535, np.uint16) if deep else (255, np.uint8)
    pixels = np.clip(image * (top / 255) + 0.5, 0, top).astype(dtype)
    return pyvips.Image.new_from_array(pixels).copy(interpretation="rgb16" if deep else "srgb")


def measure(image: pyvips.Image, level: int, row_filter: str) -> tuple[float, int]:
    """Return (CPU seconds, bytes) of one encoding."""
    seconds = []
    for _ in range(3):
        target, stream = pyvips.TargetCustom(), io.BytesIO()
        target.on_write(stream.write)
        start = time.process_time()
        image.pngsave_target(target, compression=level, filter=row_filter)
        seconds.append(time.process_time() - start)
    return min(seconds), len(stream.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=4)
    scale = parser.parse_args().scale
    print(f"libvips {'.'.join(str(pyvips.version(part)) for part in range(3))}")
    for deep in (False, True):
        image = photograph(scale, deep)
        megapixels = image.width * image.height / 1e6
        print(f"\n{image.width} x {image.height}, {16 if deep else 8} bit\nlevel filter   s/MP   MB/MP")
        for level, row_filter in itertools.product(LEVELS, FILTERS):
            seconds, size = measure(image, level, row_filter)
            print(f"{level:5} {row_filter:6} {seconds / megapixels:6.3f} {size / 1e6 / megapixels:7.3f}", flush=True)


if __name__ == "__main__":
    main()
