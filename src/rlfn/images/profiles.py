"""Whether a colour profile can be used. A pixel tells: libvips drops some without a word, and fails on others."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
import pyvips

from rlfn.images.codecs.codec import Encoding
from rlfn.images.codecs.vips import FORK_GUARD
from rlfn.images.formats import FORMATS
from rlfn.images.picture import Metadata


@functools.lru_cache(maxsize=64)
def is_held(format: str, icc: bytes, gray: bool) -> bool:
    """Tell whether files of a format hold a profile of gray or RGB pixels, so that it is read again."""
    row = FORMATS[format]
    assert row.save is not None
    pixel = pyvips.Image.new_from_array(np.zeros((1, 1) if gray else (1, 1, 3), np.uint8))
    image = pixel.copy(interpretation="b-w" if gray else "srgb")
    stream = io.BytesIO()
    row.save(Encoding(image, Metadata(icc), row.depth_for(8), row.default_quality), stream, [])
    return row.open(stream.getvalue()).decode([]).metadata.icc == icc


@functools.lru_cache(maxsize=64)
def is_convertible(icc: bytes) -> bool:
    """Tell whether RGB pixels can be converted from a profile to sRGB."""
    pixel = pyvips.Image.new_from_array(np.zeros((1, 1, 3), np.uint8)).copy(interpretation="srgb")
    FORK_GUARD.enter()
    try:
        profile_to_srgb(pixel, icc, False).write_to_memory()
    except pyvips.Error:
        return False
    return is_held("tiff", icc, False)  # libvips takes sRGB in place of a profile that it does not accept


def profile_to_srgb(image: Any, icc: bytes, deep: bool) -> Any:
    """Convert RGB pixels from a profile; alpha stays as it is."""
    colors = image.extract_band(0, n=3).copy(interpretation="rgb16" if deep else "srgb")
    colors.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    ways = {"intent": "relative", "black_point_compensation": True, "depth": 16 if deep else 8}
    converted = colors.icc_transform("srgb", embedded=True, **ways)
    converted.remove("icc-profile-data")
    return converted.bandjoin(image.extract_band(3)) if image.bands == 4 else converted
