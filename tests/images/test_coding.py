"""What files tell of how they were coded."""

from __future__ import annotations

import numpy as np
import pytest
import pyvips
import simplejpeg

from rlfn.images.codecs.jpeg_scan import walk
from rlfn.images.coding import CodingInfo, table_quality
from rlfn.images.files import read_picture
from synthetic import synthetic

PICTURE = synthetic(64, 80)


@pytest.mark.parametrize("quality", [25, 30, 50, 60, 75, 80, 85, 90, 95, 98])
def test_the_quality_of_a_jpeg_is_read_from_its_table(quality: int) -> None:
    data = simplejpeg.encode_jpeg(PICTURE, quality, "RGB", "420")
    assert read_picture(data).coding == CodingInfo(True, quality, True)


@pytest.mark.parametrize(("colors", "halved"), [("444", False), ("422", True), ("420", True)])
def test_colour_at_half_the_size(colors: str, halved: bool) -> None:
    assert read_picture(simplejpeg.encode_jpeg(PICTURE, 90, "RGB", colors)).coding.halved == halved


def test_a_gray_jpeg_has_no_halved_colour() -> None:
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(PICTURE[..., :1]), 70, "GRAY", "GRAY")
    assert read_picture(data).coding == CodingInfo(True, 70, False)


@pytest.mark.parametrize(
    ("suffix", "options", "lossy"),
    [
        (".png", {}, False),
        (".webp", {"Q": 80}, True),
        (".webp", {"lossless": True}, False),
        (".avif", {"Q": 70}, True),
        (".avif", {"lossless": True}, False),
        (".tiff", {}, None),
        (".gif", {}, None),
    ],
)
def test_other_formats(suffix: str, options: dict[str, object], lossy: bool | None) -> None:
    data = pyvips.Image.new_from_array(PICTURE).write_to_buffer(suffix, **options)
    assert read_picture(data).coding == CodingInfo(lossy)


def test_an_animated_webp_tells_of_its_first_frame() -> None:
    frames = pyvips.Image.new_from_array(np.concatenate([PICTURE, PICTURE[::-1]])).copy()
    frames.set_type(pyvips.GValue.gint_type, "page-height", 64)
    for options, lossy in (({"Q": 80}, True), ({"lossless": True}, False)):
        assert read_picture(frames.write_to_buffer(".webp", **options)).coding == CodingInfo(lossy)


def test_a_table_that_no_component_names_tells_nothing() -> None:
    data = bytearray(simplejpeg.encode_jpeg(PICTURE, 75, "RGB", "444"))
    data[data.index(b"\xff\xdb") + 4] = 7
    assert walk(bytes(data)).coding() == CodingInfo(True)


def test_the_coarsest_and_the_finest_table() -> None:
    assert table_quality([1] * 64) == 99
    assert table_quality([255] * 64) == 11
    assert table_quality([65_535] * 64) == 1
