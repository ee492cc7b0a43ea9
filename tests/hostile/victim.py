"""A process that takes hostile files, one a line of standard input, and says of each: ok, refused, or violated and why.

What is not an RlfnError is a violation, and so is whatever ends this process or keeps it from answering.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

from rlfn.errors import RlfnError


def picture(path: Path) -> None:
    from rlfn.images.files import picture_size, read_picture

    read = read_picture(path, max_pixels=4_000_000)
    wide, high = picture_size(path)
    assert read.pixels.shape[:2] == (high, wide), "another size than the header's"


def model(path: Path) -> None:
    import numpy as np

    from rlfn.inference.upscaler import Upscaler

    result = Upscaler(path, engine="onnxruntime", threads=1)(np.full((16, 18, 3), 100, np.uint8))
    assert result.dtype == np.uint8, "another type"


def tensors(path: Path) -> None:
    from rlfn.networks import load_checkpoint

    load_checkpoint(path)


def recipe(path: Path) -> None:
    from rlfn.training.recipe_files import load_recipe

    load_recipe(path)


def pack(path: Path) -> None:
    from rlfn.data.pack import Pack

    opened = Pack.open(path)
    opened.verify()
    opened.split(0.1, "train")


KINDS = {"picture": picture, "model": model, "tensors": tensors, "recipe": recipe, "pack": pack}


def main() -> None:
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    for line in sys.stdin:
        kind, _, path = line.rstrip("\n").partition(" ")
        try:
            KINDS[kind](Path(path))
            print("ok", file=answers)
        except RlfnError as error:
            text = str(error)
            wrong = "" if text.strip().endswith((".", "?", ")")) or "\n" in text else " (no sentence)"
            print(f"refused{wrong} {text[:300]!r}", file=answers)
        except BaseException as error:
            print(f"violated {type(error).__name__}: {str(error)[:200]!r}", file=answers)


if __name__ == "__main__":
    main()
