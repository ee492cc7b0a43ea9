"""Data loading in samples per second: crops from a pack compared with a plain loader that decodes PNGs per sample.

    python benchmarks/data_loading.py [--pictures DIR] [--scale 4] [--patch 48] [--batch 16] [--seconds 5]

The plain loader does what EDSR-style frameworks do in one worker: it opens the high- and the low-resolution PNG with
Pillow, crops, mirrors and rotates both, and stacks the batch. It uses the crops drawn by the pack's sampler, so both
return the same bytes (this is asserted), and both run in one thread, interleaved in one process.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from rlfn.data.crops import SampleBatch, draw_crop, sample_batch, sample_stream
from rlfn.data.degradations import Bicubic
from rlfn.data.pack import Pack
from rlfn.data.packing import make_pack
from rlfn.data.pictures import write_rgb


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="a folder of pictures; by default 8 made-up ones of 2040x1356")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--patch", type=int, default=48, help="low-resolution pixels a side")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each loader")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        compare(options, Path(work))


def compare(options: argparse.Namespace, work: Path) -> None:
    folder = options.pictures or make_pictures(work / "pictures")
    start = time.perf_counter()
    side = options.patch * options.scale
    pack = make_pack([folder], work / "pack", scales=(options.scale,), min_side=side, skip=True).pack
    packing = time.perf_counter() - start
    pngs = write_pngs(pack, options.scale, work / "png")
    print(f"{len(pack)} pictures, packed in {packing:.1f} s; batches of {options.batch} crops of {side}x{side}")
    ours, plain = [0.0, 0], [0.0, 0]
    iteration = 0
    load_packed(pack, options, 0), load_plain(pack, pngs, options, 0)
    while ours[0] + plain[0] < 2 * options.seconds or min(ours[1], plain[1]) < 3:
        for measured, load in ((ours, load_packed), (plain, lambda p, o, i: load_plain(p, pngs, o, i))):
            rounds = 20 if measured is ours else 1
            start = time.perf_counter()
            for _ in range(rounds):
                batch = load(pack, options, iteration)
            measured[0] += time.perf_counter() - start
            measured[1] += rounds
            if measured is ours:
                wanted = batch
        assert all(np.array_equal(a, b) for a, b in zip(batch, wanted, strict=True)), "the loaders disagree"
        iteration += 1
    rates = [count * options.batch / seconds for seconds, count in (ours, plain)]
    print(f"pack          {rates[0]:10,.0f} samples/s  {1e6 / rates[0]:10,.0f} us a sample")
    print(f"plain loader  {rates[1]:10,.0f} samples/s  {1e6 / rates[1]:10,.0f} us a sample")
    print(f"ratio         {rates[0] / rates[1]:10.1f}")
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, Pillow {Image.__version__}"
    print(f"{versions}, {platform.machine()}, one thread", file=sys.stderr)


def load_packed(pack: Pack, options: argparse.Namespace, iteration: int) -> SampleBatch:
    return sample_batch(
        pack,
        seed=0,
        iteration=iteration,
        first=0,
        count=options.batch,
        scale=options.scale,
        patch=options.patch,
        pictures=pack.split(0.0, "all"),
        degradation=Bicubic(),
    )


def load_plain(pack: Pack, pngs: list[tuple[Path, Path]], options: argparse.Namespace, iteration: int) -> SampleBatch:
    pairs = []
    for sample in range(options.batch):
        crop = draw_crop(
            pack, sample_stream(0, iteration, sample), pack.split(0.0, "all"), options.patch, options.scale
        )
        pair = []
        for path, zoom in zip(pngs[crop.picture], (1, options.scale), strict=True):
            with Image.open(path) as image:
                pixels = np.array(image.convert("RGB"))
            top, left, side = crop.top * zoom, crop.left * zoom, options.patch * zoom
            pixels = pixels[top : top + side, left : left + side]
            if crop.mirror_rows:
                pixels = pixels[::-1]
            if crop.mirror_columns:
                pixels = pixels[:, ::-1]
            if crop.turn:
                pixels = pixels.transpose(1, 0, 2)
            pair.append(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        pairs.append(pair)
    return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])


def make_pictures(folder: Path) -> Path:
    """Write 8 pictures of DIV2K's size: smooth colours and a little noise."""
    folder.mkdir()
    for number in range(8):
        random = np.random.default_rng(number)
        small = random.integers(0, 256, (34, 51, 3), np.uint8)
        big = np.asarray(Image.fromarray(small).resize((2040, 1356), Image.Resampling.BICUBIC)).astype(np.int16)
        big = big + random.normal(0, 2.5, big.shape)
        write_rgb(folder / f"{number:04}.png", np.clip(big, 0, 255).astype(np.uint8))
    return folder


def write_pngs(pack: Pack, scale: int, folder: Path) -> list[tuple[Path, Path]]:
    """Write the pack's pictures as PNG: (low resolution, high resolution) of each."""
    folder.mkdir()
    pairs = []
    for index in range(len(pack)):
        pair = folder / f"{index}x{scale}.png", folder / f"{index}.png"
        for path, pixels in zip(pair, (pack.lr(index, scale), pack.hr(index)), strict=True):
            Image.fromarray(pixels).save(path, compress_level=6)
        pairs.append(pair)
    return pairs


if __name__ == "__main__":
    main()
