"""THE table of picture formats: one row a format, and for each row a file that reads and writes it."""

from __future__ import annotations

from rlfn.images.codecs.avif import AVIF
from rlfn.images.codecs.codec import Codec
from rlfn.images.codecs.gif import GIF
from rlfn.images.codecs.heic import HEIC
from rlfn.images.codecs.jpeg import JPEG
from rlfn.images.codecs.png import PNG
from rlfn.images.codecs.tiff import TIFF
from rlfn.images.codecs.webp import WEBP

ROWS: tuple[Codec, ...] = (JPEG, PNG, WEBP, TIFF, AVIF, HEIC, GIF)
"""In the order of lists, and in which first bytes are judged: AVIF before HEIC, whose brands it may have too."""
