"""EXIF blocks as bytes: reset, and in and out of TIFF."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rlfn.images import exif
from rlfn.images.files import read_picture
from rlfn.images.ifd import layout


def block(endian: str = "<") -> bytes:
    made = Image.Exif()
    made.endian = endian
    made[0x010F], made[0x0112], made[0x0100], made[0x0101] = "Maker", 8, 40, 30
    made[0x011A] = made[0x011B] = 118.0
    made[0x0128] = 3  # per centimetre
    photo = made.get_ifd(0x8769)
    photo[0xA002], photo[0xA003], photo[0x9204] = 40, 30, -1.5
    photo[0xA005] = {1: "R98"}
    return made.tobytes().removeprefix(exif.PREFIX)


def loaded(data: bytes) -> Image.Exif:
    made = Image.Exif()
    made.load(exif.PREFIX + data)
    return made


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", exif.PREFIX])
def test_reset_changes_orientation_and_sizes_and_nothing_else(endian: str, prefix: bytes) -> None:
    before = block(endian)
    after = exif.reset(prefix + before, exif.Turn((40, 30), (70_000, 60)))
    assert len(after) == len(before)
    made = loaded(after)
    assert (made[0x010F], made[0x0112], made[0x0100], made[0x0101]) == ("Maker", 1, 70_000, 60)
    photo = made.get_ifd(0x8769)
    assert (photo[0xA002], photo[0xA003], float(photo[0x9204])) == (70_000, 60, -1.5)
    assert sum(a != b for a, b in zip(before, after, strict=True)) < 40


@pytest.mark.parametrize("endian", ["<", ">"])
def test_resolution_is_read_in_both_units(endian: str) -> None:
    assert exif.resolution(block(endian)) == pytest.approx((11.8, 11.8))
    assert exif.resolution(exif.with_resolution(None, (11.811, 5.9055))) == pytest.approx((11.811, 5.9055), rel=1e-4)
    assert exif.resolution(b"II*\0\xff\xff\xff\xff") is None


@pytest.mark.parametrize("endian", ["<", ">"])
def test_a_block_goes_into_a_tiff_file_and_out(endian: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    stream = io.BytesIO(pyvips.Image.new_from_array(pixels).tiffsave_buffer())
    exif.into_tiff(stream, exif.for_tiff(block(endian)))
    image = Image.open(stream)
    np.testing.assert_array_equal(np.asarray(image), pixels)
    for made in (image.getexif(), loaded(from_tiff(stream.getvalue()) or b"")):
        photo = made.get_ifd(0x8769)
        assert (made[0x010F], photo[0xA002], float(photo[0x9204])) == ("Maker", 40, -1.5)
        assert made.get_ifd(0xA005)[1] == "R98"


def from_tiff(data: bytes) -> bytes | None:
    order = layout(data)
    return exif.from_tiff(data, order, order.first(data))


def test_a_tiff_file_that_says_nothing_gives_no_block() -> None:
    assert from_tiff(pyvips.Image.black(4, 4).tiffsave_buffer()) is None


def test_the_tables_of_a_big_tiff_are_read_too() -> None:
    image = pyvips.Image.black(4, 4)
    image.set_type(pyvips.GValue.gstr_type, "image-description", "four by four")
    back = read_picture(image.tiffsave_buffer(bigtiff=True))
    assert back.pixels.shape == (4, 4)
    assert loaded(back.metadata.exif or b"")[0x010E] == "four by four"
    assert back.warnings == ()


def test_a_table_that_names_the_same_bytes_again_and_again_takes_no_memory() -> None:
    size = 8 << 20
    records = b"".join(struct.pack("<HHII", tag, 7, size, 0) for tag in (0x010E, 0x010F, 0x0110, 0x0131))
    data = (b"II*\0\x08\0\0\0" + struct.pack("<H", 4) + records).ljust(size, b"\0")
    with pytest.raises(exif.DamagedExif):
        from_tiff(data)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    endian=st.sampled_from("<>"),
    at=st.integers(0, 400),
    change=st.binary(min_size=1, max_size=8),
    length=st.integers(0, 400),
)
def test_a_damaged_block_raises_nothing_else(endian: str, at: int, change: bytes, length: int) -> None:
    data = bytearray(block(endian))
    data[at : at + len(change)] = change
    data = data[: max(length, 8)]
    for action in (
        lambda: exif.reset(bytes(data), exif.Turn((3, 4), (5, 6), 6)),
        lambda: from_tiff(bytes(data)),
        lambda: exif.for_tiff(bytes(data)),
        lambda: exif.with_comment(bytes(data), "text"),
    ):
        try:
            action()
        except exif.DamagedExif:
            continue
    exif.resolution(bytes(data))
