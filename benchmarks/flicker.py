"""Temporal stability: the difference of consecutive frames of a still scene after upscaling, compared with bicubic.

    python benchmarks/flicker.py [--models rlfn-xxs-photo rlfn-xs rlfn-xs-photo] [--crf 18 23 28 33] [--frames 24]
        [--precision auto]

The source is one picture, repeated, with and without camera noise (sigma 1), compressed as H.264, so that frames differ
only by noise and compression. The first number is the mean absolute difference of consecutive frames in levels of 255.
A network that sharpens amplifies all detail, including compression artifacts; so the second number is that difference
relative to the frames' own detail (the mean absolute difference of neighbouring pixels): flicker increases if it is
above bicubic's. Models run with ``--restore auto``, chosen once for the clip, as for videos.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlfn.images.coding import CodingInfo
from rlfn.images.resize import resize
from rlfn.inference.enlarge import Enlarger
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.sizing import Wanted

WIDTH, HEIGHT = 192, 128
Images = list[NDArray[np.uint8]]


def still(count: int, sigma: float) -> Images:
    from rlfn.images.files import read_picture

    photo = read_picture(Path(__file__).parents[1] / "examples" / "astronaut.png").pixels[40:168, 150:342]
    random = np.random.default_rng(0)
    noise = (random.normal(0, sigma, photo.shape) if sigma else 0.0 for _ in range(count))
    return [np.clip(photo + one, 0, 255).astype(np.uint8) for one in noise]


def compressed(images: Images, crf: int, folder: Path) -> Images:
    import av

    path = folder / "still.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": str(crf), "g": "12"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 24)
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def enlarged(model: str, images: Images, precision: str) -> Images:
    enlarger = Enlarger(EnlargeOptions(Wanted(scale=2), model=model, precision=precision))
    plan = enlarger.plan(images[0], CodingInfo(lossy=True))
    return [enlarger(image, plan=plan).image for image in images]


def flicker(images: Images) -> tuple[float, float]:
    """Return the mean difference of consecutive frames in levels, and its ratio to their detail in percent."""
    stack = np.stack(images).astype(np.float32)
    moved = float(np.abs(np.diff(stack, axis=0)).mean())
    detail = float((np.abs(np.diff(stack, axis=1)).mean() + np.abs(np.diff(stack, axis=2)).mean()) / 2)
    return moved, 100 * moved / detail


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["rlfn-xxs-photo", "rlfn-xs", "rlfn-xs-photo"])
    parser.add_argument("--crf", nargs="+", type=int, default=[18, 23, 28, 33])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "int8"])
    given = parser.parse_args()
    ways: dict[str, Callable[[Images], Images]] = {
        "bicubic": lambda images: [resize(image, size=(2 * HEIGHT, 2 * WIDTH)) for image in images]
    }
    for model in given.models:
        ways[model] = lambda images, model=model: enlarged(model, images, given.precision)  # type: ignore[misc]
    print(f"{'noise':>5} {'crf':>4}  " + "  ".join(f"{way:>20}" for way in ways))
    with tempfile.TemporaryDirectory() as folder:
        for sigma in (0.0, 1.0):
            for crf in given.crf:
                images = compressed(still(given.frames, sigma), crf, Path(folder))
                found = [flicker(way(images)) for way in ways.values()]
                cells = "  ".join(f"{moved:8.3f} ({share:5.2f} %)   " for moved, share in found)
                print(f"{sigma:5.0f} {crf:4}  {cells}", flush=True)


if __name__ == "__main__":
    main()
