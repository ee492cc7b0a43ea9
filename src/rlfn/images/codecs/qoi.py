"""QOI, which is read where Pillow is installed. Source: qoiformat.org's specification."""

from __future__ import annotations

from rlfn.images.codecs.by_pillow import open_by
from rlfn.images.codecs.codec import Codec, Opened, starts_with


def _open(data: bytes) -> Opened:
    return open_by("QOI", "QoiImagePlugin", "QoiImageFile", data)


QOI = Codec("qoi", "QOI", (".qoi",), "image/qoi", starts_with(b"qoif"), _open, module="PIL", extra="pillow")
