"""Draw the README's picture: a part of the example photograph, enlarged by bicubic and by rlfn.

python examples/before_after.py docs/images/before_after.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import rlfn
from rlfn.images.files import Picture, read_picture, write_picture
from rlfn.images.resize import resize

SCALE = 4
TOP, LEFT, HEIGHT, WIDTH = 14, 66, 110, 100


def main(target: Path) -> None:
    photo = read_picture(Path(__file__).with_name("astronaut.png")).pixels
    crop = np.s_[SCALE * TOP : SCALE * (TOP + HEIGHT), SCALE * LEFT : SCALE * (LEFT + WIDTH)]
    gap = np.full((SCALE * HEIGHT, 8, 3), 255, np.uint8)
    panels = [resize(photo, scale=SCALE)[crop], gap, rlfn.upscale(photo, SCALE)[crop]]
    write_picture(Picture(np.ascontiguousarray(np.hstack(panels))), target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
