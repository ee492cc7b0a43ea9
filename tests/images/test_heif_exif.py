"""EXIF of AVIF files is the block that was given, byte for byte."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_carried import need, run, slopes, tags_of

from rlfn.images.codecs import heif_exif
from rlfn.images.exif import HEADER
from rlfn.images.files import Metadata, Picture, read_picture, write_picture
from rlfn.images.ifd import EXIF_IFD, GPS_IFD, LONG, RATIONAL, SHORT, UNDEFINED, Entry, built

ASCII = 2  # the TIFF type
PIXELS = np.asarray(slopes())


def block(notes: int) -> bytes:
    """EXIF with a maker's note of a length, a place, a rating, tags that few know, and a resolution without a unit."""
    shown = struct.pack("<II", 72, 1)
    photo = Entry(37_500, UNDEFINED, b"notes" * (notes // 5)), Entry(0xFDE8, ASCII, b"Owner's Name: me\0")
    place = Entry(1, ASCII, b"N\0"), Entry(2, RATIONAL, struct.pack("<6I", 48, 1, 8, 1, 0, 1))
    entries = (
        Entry(0x010F, ASCII, b"A maker\0"), Entry(0x4746, SHORT, b"\5\0"), Entry(EXIF_IFD, LONG, photo),
        Entry(GPS_IFD, LONG, place), Entry(0x011A, RATIONAL, shown), Entry(0x011B, RATIONAL, shown),
        Entry(0x0128, SHORT, b"\1\0"),
    )  # fmt: skip
    return HEADER + built(entries, "<", 8)


def written(exif: bytes, **more: Any) -> bytes:
    stream = io.BytesIO()
    assert write_picture(Picture(PIXELS, Metadata(exif=exif, **more)), stream, format="avif") == ()
    return stream.getvalue()


@pytest.mark.parametrize("notes", [50, 70_000, 300_000])
def test_the_block_is_the_one_that_was_given(notes: int, tmp_path: Path) -> None:
    exif = block(notes)
    data = written(exif, xmp=b"<x:xmpmeta/>")
    back = read_picture(data)
    assert back.metadata.exif == exif
    assert (back.metadata.xmp, back.metadata.resolution, back.warnings) == (b"<x:xmpmeta/>", None, ())
    opened = Image.open(io.BytesIO(data))
    assert opened.getexif().get_ifd(GPS_IFD)[2] == (48, 8, 0)
    np.testing.assert_allclose(np.asarray(opened), back.pixels, atol=3)


def test_the_file_is_sound_for_the_tools_of_others(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    path.write_bytes(written(block(70_000)))
    run(need("avifdec", "libavif-bin"), path, tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size == slopes().size
    found = tags_of(path)[0]
    assert (found["EXIF:Make"], found["EXIF:Rating"], found["EXIF:GPSLatitude"]) == (
        "A maker",
        5,
        pytest.approx(48.133, abs=0.001),
    )
    assert "EXIF:ColorSpace" not in found
    assert "EXIF:ExifVersion" not in found


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("wide", [4, 8])
def test_item_tables_of_every_version_are_followed(version: int, wide: int) -> None:
    number = ">I" if version == 2 else ">H"
    kinds = (b"av01", b"Exif")
    entries = [struct.pack(">B3xHH4s", 2, i + 1, 0, kind) + b"\0" for i, kind in enumerate(kinds)]
    items = box(b"iinf", struct.pack(">4xH", 2) + b"".join(box(b"infe", entry) for entry in entries))
    table = struct.pack(">B3xBB", version, wide * 17, 0) + struct.pack(number, 2)
    for i in range(2):
        table += struct.pack(number, i + 1) + (bytes(2) if version else b"") + bytes(2) + struct.pack(">H", 1)
        table += (99).to_bytes(wide, "big") + (7).to_bytes(wide, "big")
    file = box(b"ftyp", b"avif") + box(b"meta", bytes(4) + items + box(b"iloc", table)) + box(b"mdat", b"pixels")
    stream = io.BytesIO(file)
    heif_exif.put(stream, b"II*\0the block")
    data = stream.getvalue()
    where = data.find(b"mdat", len(file)) + 4
    stated = where.to_bytes(wide, "big") + (len(data) - where).to_bytes(wide, "big")
    assert data[where:] == bytes(4) + b"II*\0the block"
    assert data[: len(file)].count(stated) == 1
    assert data[: len(file)].replace(stated, (99).to_bytes(wide, "big") + (7).to_bytes(wide, "big")) == file


@pytest.mark.parametrize("data", [b"", bytes(40), box(b"ftyp", b"avif") + box(b"meta", bytes(4)) + bytes(20)])
def test_a_file_without_a_place_is_told_apart(data: bytes) -> None:
    with pytest.raises(heif_exif.NoPlace):
        heif_exif.put(io.BytesIO(data), b"II*\0")
