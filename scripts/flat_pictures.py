"""Write pictures of flat colours and of gradients, which photographs hardly have and screens are full of.

A training on photographs alone shifts saturated colours: a stage of rlfn-s-photo-x4 had magenta up to 5 levels of 255
off.

    python scripts/flat_pictures.py FOLDER [--count 96] [--seed 0]

A third of the pictures are one colour, a third are two colours with a straight edge between them, and a third are a
linear gradient between two colours. Half of the colours are black, white or pure, with components of 0 and 255 only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 384


def flat_picture(number: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return picture ``number``, (SIDE, SIDE, 3) uint8: flat, two flat halves, or a gradient, in turn."""
    random = np.random.default_rng((seed, number))
    ends = np.array([random.choice((0, 255), 3) if random.random() < 0.5 else random.integers(0, 256, 3) for _ in "ab"])
    angle = random.uniform(0.0, 2.0 * np.pi)
    line = np.linspace(-1.0, 1.0, SIDE)
    along = np.cos(angle) * line[:, None] + np.sin(angle) * line[None, :] + random.uniform(-0.5, 0.5)
    share = (np.zeros_like(along), along > 0.0, np.clip((along + 1.0) / 2.0, 0.0, 1.0))[number % 3]
    mixed = ends[0] + np.asarray(share, np.float64)[..., None] * (ends[1] - ends[0])
    return np.rint(mixed).astype(np.uint8)


def main() -> None:
    """Write the pictures as PNG."""
    parser = argparse.ArgumentParser(description="Write pictures of flat colours and of gradients.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=96, help="number of pictures (default: 96)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for number in range(options.count):
        Image.fromarray(flat_picture(number, options.seed)).save(options.folder / f"flat-{number:03d}.png")


if __name__ == "__main__":
    main()
