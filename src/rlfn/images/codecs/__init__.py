"""THE table of picture formats: one row a format, and for each row a file that reads and writes it."""

from __future__ import annotations

from rlfn.images.codecs.avif import AVIF
from rlfn.images.codecs.bmp import BMP
from rlfn.images.codecs.codec import Codec
from rlfn.images.codecs.gif import GIF
from rlfn.images.codecs.heic import HEIC
from rlfn.images.codecs.jpeg import JPEG
from rlfn.images.codecs.jxl import JXL
from rlfn.images.codecs.png import PNG
from rlfn.images.codecs.pnm import PNM
from rlfn.images.codecs.qoi import QOI
from rlfn.images.codecs.tga import TGA
from rlfn.images.codecs.tiff import TIFF
from rlfn.images.codecs.webp import WEBP

ROWS: tuple[Codec, ...] = (JPEG, PNG, WEBP, TIFF, AVIF, JXL, HEIC, GIF, BMP, PNM, QOI, TGA)
"""In the order of lists, and in which first bytes are judged: AVIF before HEIC, whose brands it may have
too; TGA last, as it has no signature."""
