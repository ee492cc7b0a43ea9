"""Whole files of every kind that rlfn reads, small, with metadata, for :mod:`mutations` to change."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from rlfn.images.files import FORMATS, WRITABLE, Metadata, Picture, write_picture
from rlfn.models import catalog
from synthetic import synthetic

_PILLOW = {"bmp": "BMP", "tga": "TGA", "ppm": "PPM", "gif": "GIF", "pcx": "PCX"}


def pictures() -> dict[str, bytes]:
    """Return a file of every format that can be written here, in several kinds of pixels."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a picture"
    about = Metadata(exif=exif.tobytes()[6:], xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", resolution=(3.0, 3.0))
    found = {}
    for name in WRITABLE:
        for kind, pixels in _pixels(FORMATS[name].alpha):
            stream = io.BytesIO()
            write_picture(Picture(pixels, about), stream, format=name)
            found[f"{kind}.{name}"] = stream.getvalue()
    for suffix, name in _PILLOW.items():
        stream = io.BytesIO()
        Image.fromarray(synthetic(19, 23)).save(stream, name)
        found[f"pillow.{suffix}"] = stream.getvalue()
    return found


def _pixels(alpha: bool) -> list[tuple[str, np.ndarray]]:
    rgb = synthetic(19, 23)
    kinds = [("rgb", rgb), ("gray", rgb[:, :, 0].copy()), ("deep", rgb.astype(np.uint16) * 257)]
    return [*kinds, ("rgba", np.dstack([rgb, rgb[:, :, :1]]))] if alpha else kinds


def graphs() -> dict[str, bytes]:
    """Return packaged graphs."""
    return {
        file.path.name: file.read()
        for name in ("rlfn-xs-x2", "rlfn-s-x2")
        for file in catalog.get_model(name).files
        if file.format == catalog.GRAPH
    }


def tensors() -> dict[str, bytes]:
    """Return a packaged file of weights."""
    file = catalog.get_model("rlfn-xs-x2").file(catalog.TENSORS)
    return {file.path.name: file.read()}


def recipes() -> dict[str, bytes]:
    """Return the packaged recipes, and one as JSON."""
    from rlfn.training.recipe_files import shipped_recipes

    found = {path.name: path.read_bytes() for path in shipped_recipes().values()}
    stage = {"init": "scratch", "iterations": 10, "patch": 16}
    found["a.json"] = json.dumps({"variant": "rlfn-s", "scale": 4, "stages": [stage]}).encode()
    return found


def packs(folder: Path) -> Path:
    """Make a pack of two pictures in ``folder`` and return its own folder."""
    from rlfn.data.packing import make_pack
    from rlfn.data.pictures import write_rgb

    (folder / "in").mkdir()
    for number in range(2):
        write_rgb(folder / "in" / f"{number}.png", synthetic(40, 44, number))
    return make_pack([folder / "in"], folder / "pack", scales=(2,), min_side=16).pack.path
