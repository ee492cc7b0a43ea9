"""Formats that are only read, those that are refused by name, and files that only look like pictures."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rlfn.errors import MissingExtraError, PictureError
from rlfn.images.files import FORMATS, READABLE_SUFFIXES, looks_like_picture, picture_size, read_picture, write_picture
from rlfn.images.picture import Picture

NOISE = np.random.default_rng(0).integers(0, 256, (20, 31, 4), np.uint8)


def saved(pixels: np.ndarray, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


def bmp_with_alpha(pixels: np.ndarray) -> bytes:
    """A BMP file of version 4, whose header says where the alpha bits are."""
    height, width = pixels.shape[:2]
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    body = pixels[::-1, :, [2, 1, 0, 3]].tobytes()
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(body), 0, 0, 0, 0) + masks + bytes(52)
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(body), 0, 0, 14 + len(header)) + header + body


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (saved(NOISE[..., :3], "BMP"), "bmp", NOISE[..., :3]),
        (saved(NOISE[..., 0], "BMP"), "bmp", NOISE[..., 0]),
        (bmp_with_alpha(NOISE), "bmp", NOISE),
        (saved(NOISE[..., :3], "TGA"), "tga", NOISE[..., :3]),
        (saved(NOISE, "TGA", compression="tga_rle"), "tga", NOISE),
        (saved(NOISE[..., 0], "TGA", orientation=1), "tga", NOISE[..., 0]),
        (saved(NOISE[..., :3], "PPM"), "pnm", NOISE[..., :3]),
        (saved(NOISE[..., 0], "PPM"), "pnm", NOISE[..., 0]),
        (saved(NOISE[..., :3], "QOI"), "qoi", NOISE[..., :3]),
        (saved(NOISE, "QOI"), "qoi", NOISE),
        (b"P3 # a comment\n2 1\n255 1 2 3 4 5 6\n", "pnm", np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)),
        (b"P5\n# deep\n2 1\n65535\n" + struct.pack(">2H", 7, 65_535), "pnm", np.array([[7, 65_535]], np.uint16)),
        (b"P6 1 1 1023\n" + struct.pack(">3H", 0, 1023, 2000), "pnm", np.array([[[0, 65_535, 65_535]]], np.uint16)),
    ],
)
def test_simple_formats_are_read(data: bytes, name: str, expected: np.ndarray) -> None:
    back = read_picture(data)
    np.testing.assert_array_equal(back.pixels, expected, strict=True)
    assert (back.format, back.warnings) == (name, ())
    assert picture_size(data) == expected.shape[1::-1]
    assert not FORMATS[name].writable


def test_a_fourth_channel_of_a_tga_that_is_no_alpha_is_dropped() -> None:
    data = bytearray(saved(NOISE, "TGA"))
    data[17] &= 0xF0
    back = read_picture(bytes(data))
    np.testing.assert_array_equal(back.pixels, NOISE[..., :3])
    assert back.warnings == ("1 extra channel dropped",)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("format", ["BMP", "TGA", "PPM", "QOI"])
def test_a_simple_format_that_is_cut_short(format: str, share: float) -> None:
    data = saved(NOISE[..., :3], format)
    with pytest.raises(PictureError, match="cut short"):
        read_picture(data[: int(len(data) * share)])


def test_a_simple_format_has_the_same_limit_on_pixels() -> None:
    header = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    with pytest.raises(PictureError, match="60000 x 60000"):
        read_picture(header)


@pytest.mark.parametrize(
    ("format", "extra", "module"), [("BMP", "pillow", "PIL.BmpImagePlugin"), ("JXL", "jxl", "pyjpegxl")]
)
def test_what_an_extra_reads_names_it(format: str, extra: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    if format == "JXL":
        write_picture(Picture(NOISE), stream, format="jxl")
    data = stream.getvalue() or saved(NOISE, format)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"rlfn\[{extra}\]"):
        read_picture(data)


@pytest.mark.parametrize("name", sorted(READABLE_SUFFIXES))
def test_what_is_read_does_not_look_foreign(name: str) -> None:
    assert not looks_like_picture(f"a{name}")


@pytest.mark.parametrize("name", ["a.CR2", "b.psd", "c.jp2", Path("d/e.heics"), "f.exr"])
def test_what_is_not_read_looks_like_a_picture(name: str | Path) -> None:
    assert looks_like_picture(name)


@pytest.mark.parametrize("name", ["a.txt", "b", ".cr2", "c.jpg", "d.json", "e.zip"])
def test_other_files_do_not(name: str) -> None:
    assert not looks_like_picture(name)
