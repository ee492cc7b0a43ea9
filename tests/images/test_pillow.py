"""Pillow's pictures give the pixels that their files give."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image
from test_carried import with_chunks

from rlfn.errors import OptionError
from rlfn.images.files import Metadata, Picture, read_picture
from rlfn.images.picture import Text
from rlfn.images.pillow import from_pillow, to_pillow
from rlfn.images.stated import StatedColor

CMYK = pyvips.Image.profile_load("cmyk")


def noise(mode: str = "RGB") -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(0).integers(0, 256, (20, 30, channels), np.uint8)
    return Image.frombytes(mode, (30, 20), values.tobytes())


def deep(values: Any) -> Image.Image:
    return Image.fromarray(np.asarray(values, np.uint16))


PALETTE = noise().quantize(16)
FILES: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
    "gray": (noise("L"), "png", {}),
    "gray with alpha": (noise("LA"), "png", {}),
    "gray, one clear": (noise("L"), "png", {"transparency": noise("L").getpixel((0, 0))}),
    "16 bit": (deep([[0, 300, 65_535]]), "png", {}),
    "16 bit, one clear": (deep([[0, 300, 65_535]]), "png", {"transparency": 300}),
    "1 bit": (noise("L").convert("1"), "png", {}),
    "1 bit, one clear": (noise("L").convert("1"), "png", {"transparency": 1}),
    "RGB": (noise(), "png", {}),
    "RGB, one clear": (noise(), "png", {"transparency": noise().getpixel((0, 0))}),
    "RGBA": (noise("RGBA"), "png", {}),
    "palette": (PALETTE, "png", {}),
    "palette, one clear": (PALETTE, "png", {"transparency": 3}),
    "palette, half clear": (PALETTE, "png", {"transparency": bytes(range(0, 256, 16))}),
    "palette, GIF": (PALETTE, "gif", {"transparency": 3}),
    "CMYK": (noise("CMYK"), "tiff", {}),
    "CMYK with a profile": (noise("CMYK"), "tiff", {"icc_profile": CMYK}),
    "Lab": (noise("LAB"), "tiff", {}),
    "float": (Image.fromarray(np.array([[0, 0.5, 1]], np.float32)), "tiff", {}),
    "JPEG in CMYK": (Image.new("CMYK", (30, 20), (10, 200, 40, 60)), "jpg", {"icc_profile": CMYK}),
}


@pytest.mark.parametrize("name", FILES)
def test_a_pillow_picture_gives_what_its_file_gives(name: str, tmp_path: Path) -> None:
    image, suffix, options = FILES[name]
    path = tmp_path / f"a.{suffix}"
    image.save(path, **options)
    by_path, by_pillow = read_picture(path), from_pillow(Image.open(path), upright=True)
    if suffix == "gif":  # libvips keeps no colours under a GIF's transparent pixels
        by_pillow.pixels[by_pillow.pixels[..., 3] == 0] = 0
    np.testing.assert_array_equal(by_pillow.pixels, by_path.pixels, strict=True)
    assert by_pillow.gray == by_path.gray
    assert by_pillow.warnings == by_path.warnings
    assert by_pillow.metadata.icc == by_path.metadata.icc


def test_a_cmyk_profile_is_used_and_does_not_stay() -> None:
    plain, profiled = noise("CMYK"), noise("CMYK")
    profiled.info["icc_profile"] = CMYK
    results = [from_pillow(given, upright=False) for given in (plain, profiled)]
    assert np.abs(results[0].pixels.astype(int) - results[1].pixels).mean() > 5
    assert results[1].metadata.icc is None
    assert "icc_profile" not in to_pillow(results[1], profiled).info


@pytest.mark.parametrize("suffix", ["jpg", "tiff", "png"])
def test_metadata_comes_along(suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6
    path = tmp_path / f"a.{suffix}"
    noise().save(path, exif=exif, dpi=(300, 150), comment="a comment")
    by_path, by_pillow = (read.metadata for read in (read_picture(path), from_pillow(Image.open(path), upright=True)))
    assert b"Maker" in (by_pillow.exif or b"")
    # Pillow turns a TIFF by itself, without a word and without its resolution.
    stated = by_path.resolution if suffix != "tiff" else (by_path.resolution or ())[::-1]
    assert by_pillow.resolution == pytest.approx(stated, rel=1e-3)
    assert by_pillow.texts == by_path.texts


GAMMA = b"gAMA", struct.pack(">I", 100_000)
P3 = b"cICP", bytes((12, 13, 0, 1))


@pytest.mark.parametrize("one", [GAMMA, P3])
def test_stated_colours_become_a_profile(one: tuple[bytes, bytes], tmp_path: Path) -> None:
    picture = read_picture(with_chunks(tmp_path, "a.png", one))
    color = picture.metadata.color
    assert color is not None
    assert to_pillow(picture).info["icc_profile"] == color.profile()


def test_stated_colours_of_a_pillow_picture_are_those_of_its_file(tmp_path: Path) -> None:
    points = struct.pack(">8I", 31_270, 32_900, 64_000, 33_000, 21_000, 71_000, 15_000, 6_000)
    for name, chunks in (("a.png", (GAMMA, (b"cHRM", points))), ("b.png", ((b"sRGB", b"\1"),))):
        path = with_chunks(tmp_path, name, *chunks)
        given = from_pillow(Image.open(path), upright=True)
        assert given.metadata.color == read_picture(path).metadata.color is not None
        profile = given.metadata.color.profile()
        assert to_pillow(given, Image.open(path)).info.get("icc_profile") == profile
        assert (profile is None) == (name == "b.png")


def test_texts_and_iptc_stand_where_pillow_reads_them(tmp_path: Path) -> None:
    texts = (Text("Title", "a cat"), Text("Comment", "of mine"))
    for format, wanted in (("png", {"Title": "a cat", "Comment": "of mine"}), ("jpg", {"comment": b"a cat\nof mine"})):
        picture = Picture(np.asarray(noise()), Metadata(texts=texts, iptc=b"\x1c\x02\x19\0\3cat"), format)
        image = to_pillow(picture)
        assert {key: image.info.get(key) for key in wanted} == wanted
        assert image.info["photoshop"] == {0x0404: picture.metadata.iptc}
    path = with_chunks(tmp_path, "a.png", (b"tEXt", b"Title\0a cat"))
    given = Image.open(path)
    assert to_pillow(from_pillow(given, upright=False), given).info["Title"] == "a cat"


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (Metadata(geo=b"II*\0"), "GeoTIFF dropped"),
        (Metadata(color=StatedColor((9, 16))), "the colours are BT.2020 PQ"),
        (Metadata(color=StatedColor((99, 13))), "stated colours dropped: there is no profile for primaries 99"),
    ],
)
def test_what_a_pillow_picture_cannot_say_is_told(metadata: Metadata, words: str) -> None:
    warnings: list[str] = []
    to_pillow(Picture(np.asarray(noise()), metadata), None, warnings)
    assert words in "".join(warnings)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image.fromarray(np.array([[0, 70_000]], np.int32)), "holds values from 0 to 70000"),
        (Image.fromarray(np.array([[0, 2]], np.float32)), "holds floating-point pixels from 0 to 2"),
    ],
)
def test_values_out_of_range(image: Image.Image, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        from_pillow(image, upright=False)
