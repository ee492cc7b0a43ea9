"""The difference of tiles from the whole picture: ours, and plain tiles with the same margin.

    python benchmarks/tiling.py --models rlfn-s-x4 rlfn_s_x4.pth --pictures barbarax4.png ppt3x4.png [--tiles 96 120]

Differences are of the 8-bit results, in levels of 255. Plain tiles are the same network without the grid: each tile
stretches its pooled map over itself, as in a program without knowledge of the network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from rlfn.images.color import to_rgb
from rlfn.images.files import read_picture
from rlfn.inference.upscaler import Upscaler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["rlfn-s-x4"])
    parser.add_argument("--pictures", nargs="+", type=Path, required=True)
    parser.add_argument("--tiles", nargs="+", type=int, default=[96, 120])
    given = parser.parse_args()
    print("| model | picture | tile px (core) | ours: max / mean | plain: max / mean |\n|---|---|---|---|---|")
    for model in given.models:
        whole = Upscaler(model, engine="torch", tile=0)
        for path in given.pictures:
            image = to_rgb(read_picture(path).pixels)
            reference = whole(image).astype(int)
            for tile in given.tiles:
                cells = []
                for takes_grid in (True, False):
                    upscaler = Upscaler(model, engine="torch", tile=tile)
                    upscaler._engine.takes_grid = takes_grid
                    margin = upscaler._engine.traits.margin
                    difference = np.abs(upscaler(image) - reference)
                    cells.append(f"{difference.max()} / {difference.mean():.4f}")
                core = tile - 2 * margin
                print(f"| {Path(model).stem} | {path.stem} | {tile} ({core}) | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
