"""The overhead of the command over the engine's own time: one picture, a folder, and the memory of a 4K picture.

    python benchmarks/command.py [--engine auto] [--large]

The engine's own time is warm inference, measured separately in a process with the same number of threads, with the
engine that the command chooses (for a single small picture another than for many). The output is the overhead of the
whole command in seconds for a 256x256 picture; the time for a folder of 20 pictures of 640x360 as a multiple of the sum
of the engine's times; and with --large the peak memory of the command on a 3840x2160 picture.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rlfn.images.files import Picture, write_picture
from rlfn.inference.upscaler import Upscaler
from upscale import MODEL, picture

PICTURES = 20
ROUNDS = 5


def engine_of(*arguments: str) -> str:
    """Return the engine that ``rlfn upscale`` chooses for one picture."""
    said = subprocess.run(
        [sys.executable, "-m", "rlfn", "upscale", *arguments, "--json"], stdout=subprocess.PIPE, check=True
    )
    return str(json.loads(said.stdout.splitlines()[0])["engine"])


def command(*arguments: str) -> tuple[float, float]:
    """Run ``rlfn upscale`` in a process; return its seconds and its peak memory in MB."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "rlfn", "upscale", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"the command failed with status {status}")
    return seconds, usage.ru_maxrss * 1024 / 1e6


def engine_seconds(upscaler: Upscaler, size: str, rounds: int) -> float:
    """Return the median seconds of warm inference."""
    image, times = picture(size), []
    upscaler(image)
    for _ in range(rounds):
        began = time.perf_counter()
        upscaler(image)
        times.append(time.perf_counter() - began)
    return median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--large", action="store_true", help="also upscale a 3840x2160 picture")
    given = parser.parse_args()
    engine = ("--engine", given.engine)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        single = folder / "one.png"
        write_picture(Picture(picture("256x256")), single)
        upscaler = Upscaler(MODEL, engine=engine_of(str(single), "--overwrite", *engine))
        print(f"{MODEL}; one picture on {upscaler.engine}", end="; ")
        wholes, alones = [], []
        for _ in range(ROUNDS):
            alones.append(engine_seconds(upscaler, "256x256", 1))
            wholes.append(command(str(single), "--overwrite", *engine)[0])
        print(f"256x256: command {median(wholes):.2f} s, engine {median(alones):.2f} s,", end=" ")
        print(f"beyond it {median(wholes) - median(alones):.2f} s")
        many = folder / "many"
        many.mkdir()
        for number in range(PICTURES):
            write_picture(Picture(picture("640x360")), many / f"{number:02}.png")
        upscaler = Upscaler(MODEL, engine=given.engine)
        before = engine_seconds(upscaler, "640x360", 3)
        whole, _ = command(str(many), *engine)
        alone = PICTURES * (before + engine_seconds(upscaler, "640x360", 3)) / 2
        print(f"{PICTURES} of 640x360 on {upscaler.engine}: command {whole:.1f} s, engine {alone:.1f} s,", end=" ")
        print(f"{whole / alone:.2f} times")
        if given.large:
            large = folder / "large.png"
            write_picture(Picture(picture("3840x2160")), large)
            seconds, memory = command(str(large), *engine)
            print(f"3840x2160: command {seconds:.0f} s, peak memory {memory:.0f} MB")


if __name__ == "__main__":
    main()
