"""The Python API: a NumPy array in, a NumPy array out; one upscaler for many pictures.

python examples/python_api.py
"""

from pathlib import Path

import rlfn
from rlfn.images.files import read_picture

picture = read_picture(Path(__file__).with_name("astronaut.png"))
upscaler = rlfn.Upscaler("rlfn-s-x4")  # loads the model once
for part in (picture.pixels[:64, :64], picture.pixels[64:192, 64:192]):
    print(part.shape, "->", upscaler(part).shape, "by", upscaler.engine)
