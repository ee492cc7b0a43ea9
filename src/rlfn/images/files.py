"""Reading and writing picture files: the door to the modules beside it.

>>> from io import BytesIO
>>> import numpy as np
>>> stream = BytesIO()
>>> write_picture(Picture(np.zeros((2, 3, 3), np.uint16)), stream, format="png")
()
>>> read_picture(stream.getvalue()).pixels.shape
(2, 3, 3)
"""

from __future__ import annotations

from rlfn.images.codecs.codec import Codec
from rlfn.images.formats import (
    FORMATS,
    READABLE_SUFFIXES,
    WRITABLE,
    check_writable_size,
    format_for,
    looks_like_picture,
    result_format,
)
from rlfn.images.picture import Metadata, Picture, Pixels
from rlfn.images.reading import DEFAULT_MAX_PIXELS, PictureSource, picture_size, read_picture
from rlfn.images.writing import write_picture

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "FORMATS",
    "READABLE_SUFFIXES",
    "WRITABLE",
    "Codec",
    "Metadata",
    "Picture",
    "PictureSource",
    "Pixels",
    "check_writable_size",
    "format_for",
    "looks_like_picture",
    "picture_size",
    "read_picture",
    "result_format",
    "write_picture",
]
