"""Pictures go through files and come back: pixels, depth, alpha, gray."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from rlfn.images.codecs.boxes import items
from rlfn.images.files import FORMATS, WRITABLE, Picture, picture_size, read_picture, write_picture

KINDS = ("gray", "gray+alpha", "rgb", "rgba")
LOSSLESS = tuple(name for name in WRITABLE if not FORMATS[name].lossy)
LOSSY = tuple(name for name in WRITABLE if FORMATS[name].lossy)
QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def noise(kind: str, dtype: type = np.uint8, size: tuple[int, int] = (31, 50), seed: int = 0) -> Picture:
    """A picture of noise, so that nothing can be lost unnoticed."""
    channels = {"gray": (), "gray+alpha": (2,), "rgb": (3,), "rgba": (4,)}[kind]
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(seed).integers(0, top + 1, (*size, *channels), dtype=dtype)
    if kind == "gray+alpha":
        pixels = pixels[..., [0, 0, 0, 1]]
    return Picture(np.ascontiguousarray(pixels), gray=kind.startswith("gray"), bits=8 * pixels.itemsize)


def smooth(kind: str, dtype: type = np.uint8) -> Picture:
    """A picture of slopes, which lossy formats hold almost exactly."""
    top = np.iinfo(dtype).max
    y, x = np.mgrid[0:48, 0:64]
    planes = [x / 63, y / 47, (x + y) / 110, (63 - x) / 63]
    chosen = {"gray": [0], "gray+alpha": [0, 0, 0, 3], "rgb": [0, 1, 2], "rgba": [0, 1, 2, 3]}[kind]
    pixels = np.stack([(planes[i] * top).round() for i in chosen], axis=-1).astype(dtype)
    return Picture(pixels[..., 0] if kind == "gray" else pixels, gray=kind.startswith("gray"), bits=8 * pixels.itemsize)


def encoded(picture: Picture, format: str, quality: int | None = None) -> tuple[bytes, tuple[str, ...]]:
    stream = io.BytesIO()
    warnings = write_picture(picture, stream, format=format, quality=quality)
    return stream.getvalue(), warnings


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("format", LOSSLESS)
@QUIET
@given(
    kind=st.sampled_from(KINDS),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 999),
)
def test_a_lossless_format_keeps_every_pixel(
    format: str, kind: str, dtype: type, size: tuple[int, int], seed: int
) -> None:
    picture = noise(kind, dtype, size, seed)
    data, warnings = encoded(picture, format)
    back = read_picture(data)
    np.testing.assert_array_equal(back.pixels, picture.pixels, strict=True)
    assert (back.gray, back.bits, back.format) == (picture.gray, picture.bits, format)
    assert (warnings, back.warnings) == ((), ())
    assert back.pixels.flags.c_contiguous
    assert back.pixels.flags.writeable
    assert picture_size(data) == size[::-1]


@pytest.mark.parametrize("format", LOSSLESS)
@pytest.mark.parametrize("kind", KINDS)
def test_pillow_reads_the_same_8_bit_pixels(format: str, kind: str) -> None:
    picture = noise(kind)
    image = opened(encoded(picture, format)[0])
    assert image.mode == {"gray": "L", "gray+alpha": "LA", "rgb": "RGB", "rgba": "RGBA"}[kind]
    expected = picture.pixels[..., [0, 3]] if kind == "gray+alpha" else picture.pixels
    np.testing.assert_array_equal(np.asarray(image), expected)


@pytest.mark.parametrize("format", LOSSLESS)
def test_pillow_reads_the_same_16_bit_gray(format: str) -> None:
    picture = noise("gray", np.uint16)
    np.testing.assert_array_equal(np.asarray(opened(encoded(picture, format)[0])), picture.pixels)


@pytest.mark.parametrize("format", LOSSY)
@pytest.mark.parametrize("kind", KINDS)
def test_a_lossy_format_stays_close_in_ours_and_in_pillow(format: str, kind: str) -> None:
    picture = smooth(kind)
    data, warnings = encoded(picture, format)
    back = read_picture(data).pixels.astype(float)
    expected = picture.pixels.astype(float)
    if picture.pixels.ndim == 3 and picture.pixels.shape[2] == 4 and format == "jpg":
        alpha = expected[..., 3:] / 255
        expected = expected[..., :3] * alpha + 255 * (1 - alpha)
        assert warnings == ("transparency flattened over white: JPEG has none",)
    else:
        assert warnings == ()
    stays_gray = FORMATS[format].gray and picture.gray and (picture.pixels.ndim == 2 or not FORMATS[format].alpha)
    assert (back.ndim == 2) == stays_gray
    if stays_gray:
        expected = expected[..., 0] if expected.ndim == 3 else expected
    elif expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=-1)
    assert np.abs(back - expected).mean() < 1.5
    if format == "jxl":  # which Pillow does not open
        return
    mode = "L" if back.ndim == 2 else {3: "RGB", 4: "RGBA"}[back.shape[2]]
    assert np.abs(np.asarray(opened(data).convert(mode), float) - expected).mean() < 1.5


@pytest.mark.parametrize("format", LOSSY)
def test_quality_changes_the_size(format: str) -> None:
    assert len(encoded(noise("rgb"), format, 30)[0]) < len(encoded(noise("rgb"), format)[0])


def test_quality_for_a_lossless_format_is_ignored_with_a_warning() -> None:
    assert encoded(noise("rgb"), "png", 30)[1] == ("quality 30 ignored: PNG keeps every pixel",)


def test_jpeg_keeps_the_full_colour_resolution() -> None:
    image = pyvips.Image.jpegload_buffer(encoded(smooth("rgb"), "jpg")[0])
    assert image.get("jpeg-chroma-subsample") == "4:4:4"


@pytest.mark.parametrize("format", ["jpg", "webp"])
def test_16_bit_is_reduced_with_a_warning_where_the_format_has_8(format: str) -> None:
    deep, shallow = smooth("rgb", np.uint16), smooth("rgb")
    data, warnings = encoded(deep, format)
    assert warnings == (f"16 bit reduced to 8: {FORMATS[format].title} has no more",)
    back = read_picture(data)
    assert back.pixels.dtype == np.uint8
    assert np.abs(back.pixels.astype(float) - shallow.pixels).mean() < 1.5


def test_reduction_to_8_bit_rounds_to_the_nearest() -> None:
    values = np.array([0, 128, 129, 257 * 7 + 128, 257 * 7 + 129, 65_406, 65_407, 65_535], np.uint16)
    # A gray JPEG of quality 100 holds a flat block of one value exactly.
    for value, expected in zip(values, np.floor(values / 257 + 0.5), strict=True):
        data = encoded(Picture(np.full((16, 16), value, np.uint16), bits=16), "jpg", 100)[0]
        np.testing.assert_array_equal(read_picture(data).pixels, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("gray", [False, True])
def test_transparency_is_flattened_over_white(dtype: type, gray: bool) -> None:
    top = np.iinfo(dtype).max
    for alpha, color in ((0.0, 255), (1.0, 0), (0.5, 128)):
        pixels = np.zeros((16, 16, 4), dtype)
        pixels[..., 3] = round(alpha * top)
        data, warnings = encoded(Picture(pixels, gray=gray, bits=8 * pixels.itemsize), "jpg", 100)
        assert "transparency flattened over white: JPEG has none" in warnings
        back = read_picture(data).pixels
        assert back.shape == ((16, 16) if gray else (16, 16, 3))
        assert np.abs(back.astype(int) - color).max() <= 1


@pytest.mark.parametrize("bits", [10, 12])
def test_avif_of_10_and_12_bit_fills_the_16_bit_range(bits: int) -> None:
    pixels = np.zeros((64, 64, 3), np.uint16)
    pixels[:, 32:] = 65_535
    lossless = pyvips.Image.new_from_array(pixels).copy(interpretation="rgb16")
    back = read_picture(lossless.heifsave_buffer(compression="av1", lossless=True, bitdepth=bits, effort=0))
    np.testing.assert_array_equal(back.pixels, pixels)
    assert back.bits == bits


def test_16_bit_becomes_12_in_avif() -> None:
    picture = smooth("rgba", np.uint16)
    data, warnings = encoded(picture, "avif", 100)
    back = read_picture(data)
    assert warnings == ("16 bit reduced to 12: AVIF has no more",)
    assert (back.bits, back.pixels.dtype) == (12, np.uint16)
    error = back.pixels.astype(float) - picture.pixels
    assert np.abs(error).mean() < 65_535 / 255 / 4  # far finer than 8 bit
    assert abs(error.mean()) < 8  # rounded, not cut: cutting four bits would darken by 7.5 more
    assert encoded(Picture(picture.pixels, bits=12), "avif")[1] == ()


def test_10_bit_avif_stays_10_bit() -> None:
    data, warnings = encoded(Picture(smooth("rgb", np.uint16).pixels, bits=10), "avif")
    assert (read_picture(data).bits, warnings) == (10, ())


@pytest.mark.parametrize("format", ["PNG", "TIFF", "GIF"])
def test_palettes_become_rgb(format: str) -> None:
    image = Image.fromarray(noise("rgb").pixels).quantize(16)
    np.testing.assert_array_equal(read_picture(saved(image, format)).pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("options", [{}, {"compression": "group4"}])
def test_1_bit_becomes_gray_0_and_255(format: str, options: dict[str, str]) -> None:
    ones = np.random.default_rng(1).integers(0, 2, (31, 50)).astype(bool)
    back = read_picture(saved(Image.fromarray(ones), format, **(options if format == "TIFF" else {})))
    np.testing.assert_array_equal(back.pixels, ones * np.uint8(255), strict=True)
    assert back.gray


def test_png_transparent_colour_becomes_alpha() -> None:
    pixels = noise("gray").pixels
    back = read_picture(saved(Image.fromarray(pixels), "PNG", transparency=int(pixels[0, 0])))
    assert back.gray
    np.testing.assert_array_equal(back.pixels[..., 3], np.where(pixels == pixels[0, 0], 0, 255))
    rgb = noise("rgb").pixels
    back = read_picture(saved(Image.fromarray(rgb), "PNG", transparency=tuple(int(v) for v in rgb[2, 3])))
    assert back.pixels[2, 3, 3] == 0
    assert (back.pixels[..., 3] == 255).sum() == rgb[..., 0].size - 1


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_becomes_srgb_without_its_profile(format: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile[:16] + b"CMYK" + profile[20:]  # not usable, so that libvips' own profile is
    colors = Image.new("CMYK", (32, 32), (0, 0, 0, 0))
    colors.paste((255, 255, 0, 0), (16, 0, 32, 32))  # blue
    back = read_picture(saved(colors, format, icc_profile=profile, **({"quality": 100} if format == "JPEG" else {})))
    assert "CMYK converted to sRGB" in back.warnings
    assert back.metadata.icc is None
    assert back.pixels[0, 0].min() >= 253
    red, green, blue = back.pixels[0, -1]
    assert red < 100
    assert blue > green
    assert blue > 110


def test_8_bit_lab_agrees_with_pillow() -> None:
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.createProfile("sRGB")
    rgb = Image.fromarray(smooth("rgb").pixels)
    image = ImageCms.profileToProfile(rgb, srgb, lab, outputMode="LAB")
    back = read_picture(saved(image, "TIFF"))
    assert back.warnings == ("Lab converted to sRGB",)
    assert back.pixels.dtype == np.uint8
    assert np.abs(back.pixels.astype(float) - np.asarray(rgb)).mean() < 3


@pytest.mark.parametrize("lightness", [0, 50, 100])
def test_deep_lab_stays_neutral_and_deep(lightness: int) -> None:
    plain = pyvips.Image.new_from_array(np.full((4, 4, 3), [lightness, 0, 0], np.float32)).copy(interpretation="lab")
    for image in (plain, plain.colourspace("labs")):
        pixels = read_picture(image.tiffsave_buffer()).pixels
        assert pixels.dtype == np.uint16
        assert np.ptp(pixels) <= 2
        assert abs(int(pixels[0, 0, 0]) - {0: 0, 50: 30_560, 100: 65_535}[lightness]) <= 2


def test_floating_point_from_0_to_1_becomes_16_bit_with_a_warning() -> None:
    back = read_picture(saved(Image.fromarray(np.array([[0, 0.5, 1]], np.float32)), "TIFF"))
    np.testing.assert_array_equal(back.pixels, np.array([[0, 32_768, 65_535]], np.uint16), strict=True)
    assert back.warnings == ("floating-point pixels converted to 16 bit",)


@pytest.mark.parametrize("format", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_of_several_frames_is_read_with_a_warning(format: str) -> None:
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "green", "blue")]
    back = read_picture(saved(frames[0], format, save_all=True, append_images=frames[1:]))
    assert back.warnings == ("first of 3 frames",)
    assert np.abs(back.pixels[..., :3].astype(int) - (255, 0, 0)).max() < 10


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once_and_reset(format: str, orientation: int) -> None:
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(format, {})
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = smooth("rgb").pixels[:30]
    data = saved(Image.fromarray(pixels), format, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(opened(data)))
    back = read_picture(data)
    assert back.pixels.shape == expected.shape
    assert np.abs(back.pixels.astype(int) - expected).max() <= 3  # two JPEG decoders
    assert picture_size(data) == expected.shape[1::-1]
    for target in WRITABLE:
        if target == "jxl":  # which Pillow does not open
            assert picture_size(encoded(back, target)[0]) == expected.shape[1::-1]
            continue
        written = opened(encoded(back, target)[0])
        assert written.size == expected.shape[1::-1]
        assert written.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_an_avif_rotation_is_not_applied_twice(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    upright = {3: lambda a: a[::-1, ::-1], 6: lambda a: np.rot90(a, -1), 8: lambda a: np.rot90(a)}[orientation]
    pixels = smooth("rgb").pixels[:30]
    data = saved(Image.fromarray(pixels), "AVIF", exif=exif, quality=95)  # Pillow writes an irot box
    assert b"irot" in data
    back = read_picture(data)
    assert back.pixels.shape == upright(pixels).shape
    assert np.abs(back.pixels.astype(float) - upright(pixels)).mean() < 4
    again = opened(encoded(back, "png")[0]).getexif()
    assert (again.get(0x0112, 1), again.get(0x010F)) == (1, "Maker")


@pytest.mark.parametrize("deep", [False, True])
def test_heic_is_read_by_the_extra(deep: bool) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    picture = smooth("rgb", np.uint16 if deep else np.uint8)
    mode = "RGB;16" if deep else "RGB"
    heif = pillow_heif.from_bytes(mode=mode, size=(64, 48), data=picture.pixels.tobytes())
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6  # pillow-heif makes it the file's own rotation
    heif.save(stream, quality=95, exif=exif.tobytes())
    back = read_picture(stream.getvalue())
    top = np.iinfo(picture.pixels.dtype).max
    assert (back.format, back.bits, back.pixels.dtype) == ("heic", 10 if deep else 8, picture.pixels.dtype)
    assert np.abs(back.pixels.astype(float) - np.rot90(picture.pixels, -1)).mean() < top * 0.02
    assert back.pixels.max() > top * 0.98
    assert picture_size(stream.getvalue()) == (48, 64)
    again = opened(encoded(back, "png")[0]).getexif()
    assert (again.get(0x010F), again.get(0x0112, 1)) == ("Maker", 1)


def test_alpha_of_heic_is_no_further_picture_and_depth_is() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pixels = np.dstack([smooth("rgb").pixels, np.full((48, 64), 99, np.uint8)])
    stream = io.BytesIO()
    pillow_heif.from_bytes(mode="RGBA", size=(64, 48), data=pixels.tobytes()).save(stream, quality=95)
    back = read_picture(stream.getvalue())
    assert back.pixels.shape == pixels.shape
    assert back.warnings == ()
    name = b"urn:mpeg:hevc:2015:auxid:"
    assert stream.getvalue().count(name + b"1") == 1
    assert list(items(stream.getvalue().replace(name + b"1", name + b"2")).lost) == ["further pictures (depth map)"]


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "same name.png"
    for value in (10, 200, 90):
        path.write_bytes(saved(Image.new("L", (8, 8), value), "PNG"))
        assert read_picture(path).pixels[0, 0] == value
        assert picture_size(path) == (8, 8)


def test_a_reused_buffer_is_read_anew() -> None:
    pictures = [saved(Image.new("L", (8, 8), value), "PNG") for value in range(50)]
    for value, data in enumerate(pictures):
        assert read_picture(bytes(bytearray(data))).pixels[0, 0] == value


@pytest.mark.parametrize(
    "name", ["a[page=2].png", "Straße 東京 ñ.png", " two  spaces .png", "%d.png", "[x].png", "a,b=c.png"]
)
def test_any_file_name_is_taken_literally(tmp_path: Path, name: str) -> None:
    picture = noise("rgb")
    write_picture(picture, tmp_path / name)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    np.testing.assert_array_equal(read_picture(tmp_path / name).pixels, picture.pixels)
    np.testing.assert_array_equal(read_picture(str(tmp_path / name)).pixels, picture.pixels)


def test_the_content_decides_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "really a png.jpg"
    path.write_bytes(encoded(noise("rgb"), "png")[0])
    assert read_picture(path).format == "png"


def test_arrays_of_any_layout_can_be_written() -> None:
    picture = noise("rgb")
    for view in (picture.pixels[::-1], picture.pixels[:, ::2], np.asfortranarray(picture.pixels)):
        np.testing.assert_array_equal(read_picture(encoded(Picture(view), "png")[0]).pixels, view)


def test_the_source_array_is_left_alone() -> None:
    for format in WRITABLE:
        picture = noise("rgba", np.uint16)
        before = picture.pixels.copy()
        encoded(picture, format)
        np.testing.assert_array_equal(picture.pixels, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no peak memory to ask for")
@pytest.mark.parametrize("format", ["png", "jpg", "tiff"])
def test_writing_copies_no_picture(format: str, tmp_path: Path) -> None:
    code = (
        "import resource, sys, numpy as np\nfrom rlfn.images.files import Picture, write_picture\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "write_picture(Picture(np.zeros((64, 64, 3), np.uint8)), sys.argv[1])\n"  # libvips starts
        "picture = Picture(np.full((5000, 6000, 3), 77, np.uint8))\n"
        "before = peak()\nwrite_picture(picture, sys.argv[1])\n"
        "print((peak() - before) / before, picture.pixels.nbytes // 1024 / before)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / f"a.{format}")]
    growth, share = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert growth < share / 3


@pytest.mark.parametrize("format", WRITABLE)
@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_extreme_shapes_pass_every_format(format: str, size: tuple[int, int]) -> None:
    for kind in KINDS:
        for dtype in (np.uint8, np.uint16):
            data, _ = encoded(noise(kind, dtype, size), format)
            assert read_picture(data).pixels.shape[:2] == size
