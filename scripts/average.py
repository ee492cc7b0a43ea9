"""Average two stages of one model.

    python scripts/average.py WEIGHTS 0.7 EARLIER -o AVERAGE.safetensors

What a stage forgot, such as saturated colours, which photographs hardly have, the one before it still knows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rlfn.inference.loading import blended
from rlfn.networks import load_checkpoint, save_checkpoint
from rlfn.networks.fuse import fuse_checkpoint
from rlfn.networks.integers import ROUNDED_IN_TRAINING


def main() -> None:
    """Write the average, fused, as safetensors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("share", type=float, help="share of WEIGHTS, 0 to 1; EARLIER has the rest")
    parser.add_argument("earlier", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    if not 0.0 <= given.share <= 1.0:
        raise SystemExit(f"A share of {given.share:g} is not possible. Allowed: 0 to 1.")
    one, other = (fuse_checkpoint(load_checkpoint(path)) for path in (given.weights, given.earlier))
    made = blended(other, one, given.share)
    rounded = all(ROUNDED_IN_TRAINING in each.metadata for each in (one, other))
    save_checkpoint(
        given.output, made.network, made.variant, made.scale, {ROUNDED_IN_TRAINING: "true"} if rounded else {}
    )


if __name__ == "__main__":
    main()
