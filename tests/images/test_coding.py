"""What files tell of how they were coded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pyvips
import simplejpeg
from PIL import Image

from rlfn.images.animation import open_animation
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
def test_subsampled_chroma(colors: str, halved: bool) -> None:
    assert read_picture(simplejpeg.encode_jpeg(PICTURE, 90, "RGB", colors)).coding.halved == halved


def test_a_gray_jpeg_has_no_subsampled_chroma() -> None:
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


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("lossless", [False, True])
def test_an_animated_webp_tells_of_its_first_frame(tmp_path: Path, lossless: bool, transparent: bool) -> None:
    first = Image.fromarray(PICTURE)
    if transparent:
        first.putalpha(Image.linear_gradient("L").resize(first.size))
    path = tmp_path / "a.webp"
    first.save(path, save_all=True, append_images=[first.transpose(Image.Transpose.ROTATE_180)], lossless=lossless)
    assert read_picture(path).coding == CodingInfo(not lossless)
    assert open_animation(path).lossy is not lossless


def test_a_table_that_no_component_names_tells_nothing() -> None:
    data = bytearray(simplejpeg.encode_jpeg(PICTURE, 75, "RGB", "444"))
    data[data.index(b"\xff\xdb") + 4] = 7
    assert walk(bytes(data)).coding() == CodingInfo(True)


def test_the_coarsest_and_the_finest_table() -> None:
    assert table_quality([1] * 64) == 99
    assert table_quality([255] * 64) == 11
    assert table_quality([65_535] * 64) == 1
