"""Dormant units: hidden channels whose removal hardly changes a network's output.

    python benchmarks/dormant.py MODEL... --pictures DIR [--below 0.02]

MODEL is a packaged model or a file of weights. For each layer the table has the number of units whose removal changes
the output by a lower mean square than ``--below``, in levels (of 255), and the median of all units' costs in brackets.
The samples are centre patches of the pictures, reduced with bicubic. ``recycle`` in a stage of a recipe gives such
units new weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rlfn.data.pictures import find_pictures, read_rgb
from rlfn.images.resize import resize
from rlfn.networks.checkpoints import load_checkpoint
from rlfn.networks.dormant import removal_costs
from rlfn.training.weight_files import weights_file


def patches(pictures: list[Path], scale: int, side: int) -> Tensor:
    """Return the centres of the reduced pictures, (N, 3, side, side), without pictures that are too small."""
    found = []
    for path in pictures:
        pixels = read_rgb(path)
        height, width = pixels.shape[0] // scale, pixels.shape[1] // scale
        if min(height, width) >= side:
            small = resize(pixels[: height * scale, : width * scale], scale=1 / scale)
            top, left = (height - side) // 2, (width - side) // 2
            found.append(small[top : top + side, left : left + side])
    if not found:
        raise SystemExit(
            f"No picture has {side * scale} px a side, which a patch of {side} px needs at x{scale}. "
            "Give larger pictures, or a smaller --side."
        )
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a packaged model or a file of weights")
    parser.add_argument("--pictures", type=Path, required=True, help="a folder of high-resolution pictures")
    parser.add_argument("--count", type=int, default=8, help="number of pictures, evenly spaced")
    parser.add_argument("--side", type=int, default=64, help="LR px a side of a patch")
    parser.add_argument("--below", type=float, default=0.02, help="the cost below which a unit is counted")
    given = parser.parse_args()

    pictures = [picture.path for picture in find_pictures([given.pictures])]
    chosen = [pictures[place] for place in np.linspace(0, len(pictures) - 1, given.count).round().astype(int)]
    for model in given.models:
        checkpoint = load_checkpoint(weights_file(model))
        costs = removal_costs(checkpoint.network, patches(chosen, checkpoint.scale, given.side))
        layers = (f"{int((cost < given.below).sum())} ({float(cost.median()):.3f})" for cost in costs.values())
        units = next(iter(costs.values())).numel()
        print(f"| `{Path(model).stem}`, {units} units a layer | {' | '.join(layers)} |", flush=True)


if __name__ == "__main__":
    main()
