"""Restoration compared with Real-ESRGAN on spoiled pictures, x4: PSNR and SSIMULACRA2 by kind of spoiling.

    python benchmarks/photo_peers.py --sets-dir BENCH_DIR --peers DIR [--pictures 9] [--spoil clean q75 ...]

Ours run with ``restore="auto"`` and the coding information of the spoiled file. DIR has RealESRGAN_General_x4_v3 and
RealESRGAN_General_WDN_x4_v3, .param and .bin: the two ends of the strength of Real-ESRGAN's general network.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from peers import real_esrgan
from restore import traces_of
from rlfn.evaluation.metrics import score_y
from rlfn.evaluation.report import aligned
from rlfn.evaluation.sets import find_set, read_pair
from rlfn.evaluation.similarity import METRICS
from rlfn.evaluation.spoil import USUAL, parse_spoils
from rlfn.images.coding import CodingInfo
from rlfn.images.resize import resize
from rlfn.inference.enlarge import Enlarger
from rlfn.inference.enlarge_options import EnlargeOptions

SCALE = 4


def ours(model: str, threads: int | None) -> Callable[[Any, CodingInfo], Any]:
    enlarger = Enlarger(EnlargeOptions(model=model, threads=threads))
    return lambda lr, coding: enlarger(lr, coding=coding).image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets-dir", required=True)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--set", default="B100")
    parser.add_argument("--pictures", type=int, default=9)
    parser.add_argument("--spoil", nargs="+", default=list(USUAL))
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()

    general, wdn = (real_esrgan(given.threads, given.peers, f"RealESRGAN_General{kind}_x4_v3") for kind in ("", "_WDN"))
    rows: dict[str, Callable[[Any, CodingInfo], Any]] = {
        "bicubic": lambda lr, coding: resize(lr, scale=float(SCALE)),
        "rlfn-s, auto": ours("rlfn-s", given.threads),
        "rlfn-xs, auto": ours("rlfn-xs", given.threads),
        "Real-ESRGAN general-x4v3": lambda lr, coding: general(lr),
        "Real-ESRGAN general-x4v3, denoising least": lambda lr, coding: wdn(lr),
    }
    pairs = find_set(given.set, SCALE, given.sets_dir).pairs
    pairs = pairs[:: max(1, len(pairs) // given.pictures)][: given.pictures]
    spoils = parse_spoils(given.spoil)
    likeness = METRICS["ssimulacra2"].apply
    scores = np.zeros((2, len(rows), len(spoils), len(pairs)))
    for at, pair in enumerate(pairs):
        sample = read_pair(pair, SCALE)
        inner = (slice(SCALE, -SCALE), slice(SCALE, -SCALE))
        for column, spoil in enumerate(spoils):
            lr = spoil(sample.lr, sample.name)
            for row, run in enumerate(rows.values()):
                sr = run(lr, traces_of(spoil.name))
                shown = [np.ascontiguousarray(image[inner]) for image in (sr, sample.hr)]
                scores[:, row, column, at] = score_y(sr, sample.hr, SCALE).psnr, likeness(*shown)
    for title, means, digits in zip(("dB Y", "SSIMULACRA2"), scores.mean(axis=3), (2, 1), strict=True):
        cells = [[f"{title}, {len(pairs)} pictures of {given.set}", *(spoil.name for spoil in spoils)]]
        cells += [[name, *(f"{value:.{digits}f}" for value in row)] for name, row in zip(rows, means, strict=True)]
        print(*aligned(cells), "", sep="\n")


if __name__ == "__main__":
    main()
