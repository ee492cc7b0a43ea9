"""How TIFF pages store their pixels: what is converted, what is taken for the usual, and what is refused by name."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from test_carried import slopes
from test_kinds import PIXELS, tiff

from rlfn.errors import PictureError
from rlfn.images.files import read_picture
from rlfn.images.ifd import LONG, RATIONAL, SHORT, Entry, built

YCBCR = slopes("YCbCr")


def patched(data: bytes, tag: int, *values: int) -> bytes:
    """A little-endian file whose first table says something else under a tag of short numbers."""
    changed = bytearray(data)
    at = struct.unpack_from("<I", data, 4)[0]
    for place in range(at + 2, at + 2 + 12 * struct.unpack_from("<H", data, at)[0], 12):
        if struct.unpack_from("<H", data, place)[0] == tag:
            start = place + 8 if len(values) <= 2 else struct.unpack_from("<I", data, place + 8)[0]
            struct.pack_into(f"<{len(values)}H", changed, start, *values)
            return bytes(changed)
    raise KeyError(tag)


def ycbcr_by_hand(samples: bytes, sides: tuple[int, int], *more: Entry) -> bytes:
    """An uncompressed YCbCr file of one strip."""

    def table(offset: int) -> bytes:
        numbers = {
            256: (sides[0],),
            257: (sides[1],),
            258: (8, 8, 8),
            259: (1,),
            262: (6,),
            277: (3,),
            278: (sides[1],),
        }
        entries = [Entry(tag, SHORT, struct.pack(f"<{len(of)}H", *of)) for tag, of in numbers.items()]
        places = (Entry(tag, LONG, struct.pack("<I", of)) for tag, of in ((273, offset), (279, len(samples))))
        return b"II*\0\x08\0\0\0" + built((*entries, *places, *more), "<", 8)

    return table(len(table(0))) + samples


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_ycbcr_becomes_rgb(compression: str) -> None:
    stream = io.BytesIO()
    YCBCR.save(stream, "TIFF", compression=compression)
    back = read_picture(stream.getvalue())
    assert back.pixels.shape == PIXELS.shape
    assert np.abs(back.pixels.astype(int) - np.asarray(YCBCR.convert("RGB"))).max() <= (
        6 if compression == "jpeg" else 2
    )
    assert back.warnings == ()


def test_ycbcr_is_converted_with_the_range_and_the_weights_that_are_stated() -> None:
    red, green, blue = 0.2126, 0.7152, 0.0722
    unit = PIXELS / 255.0
    luma = unit @ (red, green, blue)
    cb, cr = (unit[..., 2] - luma) / (2 - 2 * blue), (unit[..., 0] - luma) / (2 - 2 * red)
    coded = np.rint(np.stack([16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr], -1)).clip(0, 255).astype(np.uint8)
    limits = (16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1)
    data = ycbcr_by_hand(
        coded.tobytes(), (PIXELS.shape[1], PIXELS.shape[0]),
        Entry(529, RATIONAL, struct.pack("<6I", *(n for w in (2126, 7152, 722) for n in (w, 10_000)))),
        Entry(530, SHORT, struct.pack("<2H", 1, 1)), Entry(532, RATIONAL, struct.pack("<12I", *limits)),
    )  # fmt: skip
    assert np.abs(read_picture(data).pixels.astype(int) - PIXELS).max() <= 2


def test_subsampled_ycbcr_has_no_alpha() -> None:
    flat = struct.pack("6B", 80, 80, 80, 80, 90, 200) * 4
    back = read_picture(ycbcr_by_hand(flat, (4, 4), Entry(530, SHORT, struct.pack("<2H", 2, 2))))
    expected = np.asarray(Image.new("YCbCr", (1, 1), (80, 90, 200)).convert("RGB"))[0, 0]
    assert back.pixels.shape == (4, 4, 3)
    assert np.abs(back.pixels.astype(int) - expected).max() <= 2
    assert back.warnings == ()


def test_icc_lab_becomes_srgb() -> None:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = np.array(ImageCms.profileToProfile(slopes(), *profiles, outputMode="LAB"))
    stream = io.BytesIO()
    Image.fromarray(lab, "LAB").save(stream, "TIFF")
    lab[..., 1:] ^= 128
    back = read_picture(tiff(lab, photometric="icclab"))
    np.testing.assert_array_equal(back.pixels, read_picture(stream.getvalue()).pixels)
    assert back.warnings == ("Lab converted to sRGB",)


def test_floating_point_pixels_whose_zero_is_white_are_turned_over() -> None:
    values = np.linspace(0, 1, 1200, dtype=np.float32).reshape(30, 40)
    back, expected = (read_picture(tiff(v, photometric=p)).pixels for v, p in ((values, "miniswhite"), (1 - values, 1)))
    np.testing.assert_array_equal(back, expected)


@pytest.mark.parametrize(("tag", "value"), [(274, 0), (274, 9), (296, 0), (296, 7), (284, 0)])
@pytest.mark.parametrize("big_endian", [False, True])
def test_senseless_tags_are_taken_for_the_usual_ones(tag: int, value: int, big_endian: bool) -> None:
    order = ">" if big_endian else "<"
    options: dict[str, Any] = {"extratags": [(274, "H", 1, 1, True)], "resolution": (72, 72), "byteorder": order}
    data = tiff(PIXELS, photometric="rgb", **options)
    usual = {274: 1, 284: 1, 296: 2}[tag]
    found, put = (struct.pack(order + "HHIHH", tag, 3, 1, number, 0) for number in (usual, value))
    assert data.count(found) == 1
    back = read_picture(data.replace(found, put))
    np.testing.assert_array_equal(back.pixels, PIXELS)
    assert back.warnings == ()


DEEP = PIXELS.astype(np.uint16)
WITH_ALPHA = np.dstack([PIXELS, PIXELS[..., :1]])
SEPARATE = np.ascontiguousarray(PIXELS.transpose(2, 0, 1))
REFUSED = {
    "64 bits a channel": lambda: tiff(PIXELS / 255.0, photometric="rgb"),
    "12 bits a channel": lambda: patched(tiff(DEEP, photometric="rgb"), 258, 12, 12, 12),
    "different depths": lambda: patched(tiff(PIXELS, photometric="rgb"), 258, 8, 8, 4),
    "tiles with separate planes": lambda: tiff(SEPARATE, photometric="rgb", planarconfig="separate", tile=(16, 16)),
    "Lab colours with further": lambda: patched(
        tiff(WITH_ALPHA, photometric="rgb", extrasamples=["unassalpha"]), 262, 8
    ),
    "ITU Lab": lambda: patched(tiff(PIXELS, photometric="rgb"), 262, 10),
    "ICC Lab colours of 16": lambda: patched(tiff(DEEP, photometric="rgb"), 262, 9),
    "YCbCr colours of 16": lambda: patched(tiff(DEEP, photometric="rgb"), 262, 6),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_decoded_is_refused_by_name(words: str) -> None:
    with pytest.raises(PictureError, match=words) as caught:
        read_picture(REFUSED[words]())
    assert "damaged" not in str(caught.value)
