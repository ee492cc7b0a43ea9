"""Strengths of restoring against each other on spoiled pictures, and what 'auto' makes of them.

    python benchmarks/restore.py CLEAN PHOTO --sets-dir BENCH_DIR [--set B100] [--pictures 10] [--spoil clean q75 ...]

CLEAN and PHOTO are packaged models or files of weights of one lineage and scale. Prints Y-PSNR for bicubic, for every
strength, and for 'auto' from the files (JPEG with its tables) and from the pixels alone (as of a PNG or an array).
"""

from __future__ import annotations

import argparse

import numpy as np

from rlfn.evaluation.metrics import score_y
from rlfn.evaluation.report import aligned
from rlfn.evaluation.sets import find_set, read_pair
from rlfn.evaluation.spoil import USUAL, parse_spoils
from rlfn.images.coding import UNKNOWN_CODING, CodingInfo
from rlfn.images.resize import resize
from rlfn.inference.restore import STEP, choose_strength
from rlfn.inference.restore_weights import APART
from rlfn.inference.upscaler import Upscaler
from rlfn.models.blend import Blend
from rlfn.models.source import ModelSource

STRENGTHS = [float(step) for step in np.arange(0.0, 1.0 + STEP, STEP)]


def traces_of(spoil: str) -> CodingInfo:
    """Return the coding information of the file of a spoiled picture."""
    return CodingInfo(True, int(spoil[1:]), True) if spoil.startswith("q") else CodingInfo(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clean")
    parser.add_argument("photo")
    parser.add_argument("--sets-dir", required=True)
    parser.add_argument("--set", default="B100")
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--spoil", nargs="+", default=list(USUAL))
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()

    ends = ModelSource(given.clean), ModelSource(given.photo)
    models = [ends[0], *(Blend(*ends, share) for share in STRENGTHS[1:-1]), ends[1]]
    upscalers = [
        Upscaler(model, engine="onnxruntime", threads=given.threads, tile=0, precision="fp32") for model in models
    ]
    scale = upscalers[0].scale
    pairs = find_set(given.set, scale, given.sets_dir).pairs
    pairs = pairs[:: max(1, len(pairs) // given.pictures)][: given.pictures]
    spoils = parse_spoils(given.spoil)
    rows = ["bicubic", *(f"{strength:g}" for strength in STRENGTHS), "auto, file", "auto, pixels"]
    scores = np.zeros((len(rows), len(spoils), len(pairs)))
    for at, pair in enumerate(pairs):
        sample = read_pair(pair, scale)
        for column, spoil in enumerate(spoils):
            lr = spoil(sample.lr, sample.name)
            made = [resize(lr, scale=float(scale)), *(upscaler(lr) for upscaler in upscalers)]
            found = [score_y(sr, sample.hr, scale).psnr for sr in made]
            for coding in (traces_of(spoil.name), UNKNOWN_CODING):
                choice = choose_strength(lr, coding, APART.get(ends[1].name))
                found.append(found[1 + STRENGTHS.index(choice.strength)])
            scores[:, column, at] = found
    means = scores.mean(axis=2)
    cells = [["strength", *(spoil.name for spoil in spoils)]]
    cells += [[name, *(f"{value:.2f}" for value in row)] for name, row in zip(rows, means, strict=True)]
    better = np.maximum(means[1], means[len(STRENGTHS)])
    cells += [
        [f"{rows[row]}: over the better end", *(f"{value:+.2f}" for value in means[row] - better)] for row in (-2, -1)
    ]
    print(*aligned(cells), sep="\n")


if __name__ == "__main__":
    main()
