"""GIF, which is read."""

from __future__ import annotations

from rlfn.images.codecs import vips
from rlfn.images.codecs.codec import Codec, Content, Opened, starts_with


def _open(data: bytes) -> Opened:
    image = vips.load("gif", data)

    def decode(warnings: list[str]) -> Content:
        return vips.content(image, vips.metadata(image), warnings)

    return Opened(image.width, image.height, decode, vips.field(image, "n-pages") or 1, vips.orientation(image))


GIF = Codec("gif", "GIF", (".gif",), starts_with(b"GIF87a", b"GIF89a"), _open)
