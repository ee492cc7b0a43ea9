"""Draw what ``--restore`` does to a JPEG: bicubic, the weights for clean pictures, and those that auto chooses.

python examples/restoring.py docs/images/restoring.png
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np

import rlfn
from rlfn.images.files import Picture, read_picture, write_picture
from rlfn.images.resize import resize

SCALE, QUALITY = 4, 60
TOP, LEFT, HEIGHT, WIDTH = 14, 80, 84, 84


def main(target: Path) -> None:
    buffer = io.BytesIO()
    write_picture(read_picture(Path(__file__).with_name("astronaut.png")), buffer, format="jpg", quality=QUALITY)
    jpeg = buffer.getvalue()
    crop = np.s_[SCALE * TOP : SCALE * (TOP + HEIGHT), SCALE * LEFT : SCALE * (LEFT + WIDTH)]
    gap = np.full((SCALE * HEIGHT, 8, 3), 255, np.uint8)
    panels = [resize(read_picture(jpeg).pixels, scale=SCALE)[crop]]
    for restore in ("off", "auto"):
        large = read_picture(rlfn.upscale(jpeg, SCALE, restore=restore, format="png")).pixels
        panels += [gap, large[crop]]
    write_picture(Picture(np.ascontiguousarray(np.hstack(panels))), target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
