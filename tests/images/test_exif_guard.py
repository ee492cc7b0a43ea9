"""EXIF that would exhaust libvips is taken out of metadata, and pixels are left as they are."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from rlfn.images.codecs import webp_chunks
from rlfn.images.codecs.boxes import boxes
from rlfn.images.codecs.exif_guard import GUARDED, without_exhausting
from rlfn.images.codecs.png_chunks import SIGNATURE, chunk, iter_chunks
from rlfn.images.exif import PREFIX
from rlfn.images.reading import read_picture

POINTER = struct.pack("<HHII", 0x8769, 4, 1, 8)
BOMB = b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + 2 * POINTER + bytes(4)
"""A table that points at itself."""

LIKE_ONE = b"MM\0*\0\0\0\x08\x07\xd0"
"""What pixels may look like: the head of a table that claims 2000 entries."""

LOADERS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "heif": "AVIF"}


def photo() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))


def file_of(format: str, exif: bytes = b"") -> bytes:
    stream = io.BytesIO()
    options = {"lossless": True} if format == "WEBP" else {}
    photo().save(stream, format, **({"exif": PREFIX + exif} if exif else {}), **options)
    return stream.getvalue()


def in_pixels(loader: str) -> bytes:
    """Return a file whose coded pixels hold :data:`LIKE_ONE`."""
    data = bytearray(file_of(LOADERS[loader]))
    if loader == "jpeg":
        at = data.index(b"\xff\xda") + 40
    elif loader == "png":
        at = next(at for name, at, _ in iter_chunks(io.BytesIO(data)) if name == b"IDAT") + 40
    elif loader == "webp":
        at = next(at for name, at, _ in webp_chunks.iter_chunks(io.BytesIO(data)) if name == b"VP8L") + 40
    else:
        at = next(a for kind, a, _ in boxes(bytes(data)) if kind == b"mdat") + 40
    data[at : at + len(LIKE_ONE)] = LIKE_ONE
    return bytes(data)


def test_every_loader_that_is_guarded_is_tried() -> None:
    assert set(LOADERS) == GUARDED


@pytest.mark.parametrize("loader", LOADERS)
def test_pixels_stay_byte_for_byte(loader: str) -> None:
    data = in_pixels(loader)
    assert without_exhausting(loader, data) is data


@pytest.mark.parametrize("loader", LOADERS)
def test_pixels_stay_beside_an_exhausting_block(loader: str) -> None:
    data = bytearray(file_of(LOADERS[loader], BOMB))
    at = len(data) - 60 if loader != "webp" else data.index(b"VP8L") + 40
    data[at : at + len(LIKE_ONE)] = LIKE_ONE
    changed = without_exhausting(loader, bytes(data))
    assert changed != data
    assert changed.count(LIKE_ONE) == 1


def test_a_png_with_such_pixels_is_read() -> None:
    pixels = np.zeros((4, 20, 3), np.uint8)
    pixels[1].flat[: len(LIKE_ONE)] = list(LIKE_ONE)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", 20, 4, 8, 2, 0, 0, 0)
    data = SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")
    assert LIKE_ONE in data
    picture = read_picture(data)
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.warnings == ()


def segment(code: int, body: bytes) -> bytes:
    return b"\xff" + bytes((code,)) + struct.pack(">H", 2 + len(body)) + body


@pytest.mark.parametrize(
    "before",
    [b"", b"\xff\xff\xff", b"junk", b"\xff\x01", b"\xff\xfe\0\0", segment(0xFE, b"a") * 3],
    ids=["first", "filled", "behind junk", "behind a bare marker", "behind an empty segment", "behind comments"],
)
def test_a_jpeg_block_is_found_wherever_a_decoder_finds_it(before: bytes) -> None:
    data = file_of("JPEG")
    at = 4 + data[5]  # behind the JFIF segment
    data = data[:at] + before + segment(0xE1, PREFIX + BOMB) + data[at:]
    assert BOMB not in without_exhausting("jpeg", data)
    picture = read_picture(data)
    assert picture.metadata.exif is None
    assert "damaged EXIF dropped" in picture.warnings


def test_a_webp_block_behind_frames_is_found() -> None:
    stream = io.BytesIO()
    frames = [photo(), photo().rotate(180)]
    frames[0].save(stream, "WEBP", save_all=True, append_images=frames[1:], exif=PREFIX + BOMB, lossless=True)
    assert BOMB not in without_exhausting("webp", stream.getvalue())


def in_two_parts(exif: bytes, cut: int) -> bytes:
    """Return an AVIF file whose EXIF is cut and lies in two places, so that the file as it is has no such table."""
    data = file_of("AVIF", exif)
    start, end = next((a, b) for kind, a, b in boxes(data) if kind == b"meta")
    parts = list(boxes(data, start + 4, end))
    iloc = bytearray(next(data[a:b] for kind, a, b in parts if kind == b"iloc"))
    assert iloc[:6] == b"\0\0\0\0\x44\0"  # version 0: offsets and lengths of 4 bytes
    block = data.index(exif)
    for place in range(8, len(iloc), 14):
        offset, length = struct.unpack_from(">II", iloc, place + 6)
        if offset <= block < offset + length:
            head, item = block - offset + cut, data[offset : offset + length]
            two = len(data) + 8, head, len(data) + 8 + head + 99, length - head
            iloc[place + 4 : place + 14] = struct.pack(">HIIII", 2, *two)
            break
    data = data.replace(exif, bytes(len(exif)))
    behind = box(b"mdat", item[:head] + bytes(99) + item[head:])
    # the table has grown, so it goes behind all else, in a new "meta" box, and the old one becomes free space
    inner = b"".join(box(kind, bytes(iloc) if kind == b"iloc" else data[a:b]) for kind, a, b in parts)
    return data[: start - 4] + b"free" + data[start:] + behind + box(b"meta", bytes(4) + inner)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


@pytest.mark.parametrize("cut", [2, 8, 15])
def test_an_avif_block_in_two_parts_is_found(cut: int) -> None:
    picture = read_picture(in_two_parts(BOMB, cut))
    assert (picture.width, picture.metadata.exif) == (50, None)
    assert "damaged EXIF dropped" in picture.warnings


def test_a_sound_avif_block_in_two_parts_is_kept() -> None:
    sound = b"II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0\x04\0\0\0abc\0\0\0\0\0"
    picture = read_picture(in_two_parts(sound, 15))
    assert picture.warnings == ()
    assert b"abc" in (picture.metadata.exif or b"")


@pytest.mark.parametrize("kind", ["unknown version", "no end"])
def test_an_avif_file_that_cannot_be_followed_is_searched_as_a_whole(kind: str) -> None:
    data = bytearray(file_of("AVIF", BOMB))
    if kind == "unknown version":
        data[data.index(b"iloc") + 4] = 9  # a version that does not exist
    else:
        data += b"\0\0\xff\xffmdat"
    assert BOMB not in without_exhausting("heif", bytes(data))
