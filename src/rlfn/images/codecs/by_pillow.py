"""What the codecs that Pillow decodes have in common."""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any

from rlfn.errors import MissingExtraError
from rlfn.images.codecs.codec import Content, Opened
from rlfn.images.pillow import from_pillow


def open_by(title: str, module: str, name: str, data: bytes, *, opaque: bool = False) -> Opened:
    """Read a header by one of Pillow's plugins.

    The plugin is called itself: ``Image.open`` has a limit of its own on pixels, and would try every other plugin.

    Args:
        title: what people call the format.
        module: of the plugin, as in ``"BmpImagePlugin"``.
        name: the plugin's class.
        data: the file.
        opaque: the fourth channel is no transparency.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    try:
        plugin: Any = getattr(import_module(f"PIL.{module}"), name)
    except ImportError:
        raise MissingExtraError(f"Reading {title} pictures", "pillow") from None
    image = plugin(io.BytesIO(data))

    def decode(warnings: list[str]) -> Content:
        plain = image.convert("RGB") if opaque and image.mode == "RGBA" else image
        if plain is not image:
            warnings.append("1 extra channel dropped")
            plain.info.update(image.info)
        made = from_pillow(plain, upright=False)
        warnings += made.warnings
        return Content(made.pixels, made.gray, made.bits, made.metadata)

    return Opened(image.width, image.height, decode)
