"""Reproducible degradation of low-resolution pictures with JPEG and noise, to resemble real ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlfn.errors import MissingExtraError, OptionError
from rlfn.wording import listing

Image = NDArray[np.uint8]

CLEAN = "clean"
"""The name for pictures that are not spoiled."""


@dataclass(frozen=True)
class Kind:
    """A kind of spoiling, named by a letter and a number.

    Attributes:
        least, most: range of the number.
        means: meaning of the number, for messages and headers.
        apply: takes (H, W, 3) uint8, the number, and a seed specific to the picture; returns the same shape and type.
    """

    least: int
    most: int
    means: str
    apply: Callable[[Image, int, int], Image]


def _jpeg(image: Image, quality: int, seed: int) -> Image:
    return decode(encode_jpeg(image, quality))


def _noise(image: Image, sigma: int, seed: int) -> Image:
    noisy = image + sigma * np.random.default_rng(seed).standard_normal(image.shape)
    spoiled: Image = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return spoiled


KINDS: dict[str, Kind] = {
    "q": Kind(1, 100, "JPEG of that quality, 4:2:0 chroma", _jpeg),
    "n": Kind(1, 100, "Gaussian noise of that standard deviation in levels of 255, independent in R, G and B", _noise),
}
"""Every kind of spoiling by its letter."""

USUAL = (CLEAN, "q90", "q75", "q50", "q30", "n5", "n10")
"""A selection that shows the effect of lossy files and noise on a model."""


@dataclass(frozen=True)
class Spoil:
    """One column of a table: ``clean``, or a kind with its number, such as ``q75``."""

    name: str
    kind: Kind | None = None
    number: int = 0

    def __call__(self, image: Image, picture: str) -> Image:
        """Spoil an image.

        Args:
            image: (H, W, 3) uint8.
            picture: its name, which seeds the noise: a picture gets the same noise in every run.

        Raises:
            MissingExtraError: the kind is JPEG, and simplejpeg is not installed.
        """
        if self.kind is None:
            return image
        seed = int.from_bytes(sha256(picture.encode()).digest()[:8], "big")
        return self.kind.apply(image, self.number, seed)


def parse_spoils(names: Iterable[str]) -> tuple[Spoil, ...]:
    """Parse names of columns, in order and without duplicates.

    Args:
        names: such as ``("clean", "q75", "n5")``.

    Raises:
        OptionError: an invalid name, or a number out of range.

    >>> [spoil.name for spoil in parse_spoils(["clean", "q75", "q75"])]
    ['clean', 'q75']
    """
    return tuple(_parse(name) for name in dict.fromkeys(names))


_FORM = re.compile(r"([a-z])(\d{1,3})")


def is_spoil(name: str) -> bool:
    """Return whether a name has the form of a kind of spoiling."""
    found = _FORM.fullmatch(name)
    return name == CLEAN or (found is not None and found[1] in KINDS)


def _parse(name: str) -> Spoil:
    if name == CLEAN:
        return Spoil(CLEAN)
    found = _FORM.fullmatch(name)
    kind = KINDS.get(found[1]) if found else None
    if found is None or kind is None or not kind.least <= int(found[2]) <= kind.most:
        have = listing(f"{letter}{row.least} to {letter}{row.most} ({row.means})" for letter, row in KINDS.items())
        raise OptionError(f"There is no kind of spoiling '{name}'. Allowed: {CLEAN}, {have}.")
    return Spoil(name, kind, int(found[2]))


def encode_jpeg(image: Image, quality: int) -> bytes:
    """Return (H, W, 3) uint8 as a JPEG of a quality from 1 to 100, with 4:2:0 chroma.

    Raises:
        MissingExtraError: simplejpeg is not installed.
    """
    data: bytes = _simplejpeg().encode_jpeg(np.ascontiguousarray(image), quality, "RGB", "420")
    return data


def decode(data: bytes) -> Image:
    """Return the pixels (H, W, 3) of a JPEG, decoded with the accurate DCT and smooth chroma upsampling.

    Raises:
        MissingExtraError: simplejpeg is not installed.
    """
    image: Image = _simplejpeg().decode_jpeg(data, "RGB", fastdct=False, fastupsample=False)
    return image


def _simplejpeg() -> Any:
    try:
        import simplejpeg
    except ImportError as error:
        raise MissingExtraError("Spoiling by JPEG", "metrics") from error
    return simplejpeg
