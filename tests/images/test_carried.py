"""Every cell of the table of what files carry: made by tools of others, passed through, and read by tools of others."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from rlfn.images.carried import KEPT_SOMEWHERE, fate, page
from rlfn.images.codecs import ROWS
from rlfn.images.files import FORMATS, WRITABLE, read_picture, write_picture

WIDE, HIGH = 40, 30
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metadata.md"
PROMPT = "a cat, 50mm\nSteps: 20, Seed: 1"
LONG = "long description " * 6000
GEO = {33550: (10.0, 20.0, 0.0), 33922: (4.0, 3.0, 0.0, 500_000.0, 4_000_000.0, 0.0)}


def need(tool: str, package: str) -> str:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"needs {tool}: apt-get install {package}")
    return found


def run(*command: str | Path) -> bytes:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True).stdout


def slopes(mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[0:HIGH, 0:WIDE]
    planes = np.stack([x * 6, y * 8, 255 - x * 3], axis=-1).astype(np.uint8)
    return Image.fromarray(planes).convert(mode)


def saved(folder: Path, name: str, image: Image.Image | None = None, **options: Any) -> Path:
    path = folder / name
    (image or slopes()).save(path, **options)
    return path


def told(folder: Path, name: str, *arguments: str, image: Image.Image | None = None) -> Path:
    """A file whose metadata ExifTool wrote."""
    path = saved(folder, name, image)
    run(need("exiftool", "libimage-exiftool-perl"), "-q", "-overwrite_original", *arguments, path)
    return path


def chunk(name: bytes, body: bytes) -> bytes:
    from rlfn.images.codecs.png_chunks import chunk as made

    return made(name, body)


def with_chunks(folder: Path, name: str, *chunks: tuple[bytes, bytes], late: bool = False) -> Path:
    """A PNG file by Pillow with more chunks, before the pixels or behind them."""
    path = saved(folder, name)
    data = path.read_bytes()
    at = data.rfind(b"IEND") - 4 if late else data.find(b"IDAT") - 4
    path.write_bytes(data[:at] + b"".join(chunk(*one) for one in chunks) + data[at:])
    return path


def avif(folder: Path, name: str, *arguments: str) -> Path:
    source = saved(folder, name + ".png")
    tool = need("avifenc", "libavif-bin")
    run(tool, "-s", "9", "--min", "0", "--max", "9", "-y", "444", *arguments, source, folder / name)
    return folder / name


def geo_tiff(folder: Path, name: str) -> Path:
    tifffile = pytest.importorskip("tifffile")
    tags = [(tag, "d", len(values), values, True) for tag, values in GEO.items()]
    keys = (34735, "H", 8, (1, 1, 0, 1, 1025, 0, 1, 1), True)
    tifffile.imwrite(folder / name, np.asarray(slopes()), photometric="rgb", extratags=[*tags, keys])
    return folder / name


def wide_gamut() -> bytes:
    from rlfn.images.stated import StatedColor

    return StatedColor((12, 13)).profile() or b""


def comments() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", PROMPT)
    return info


def photograph(folder: Path, name: str) -> Path:
    return told(
        folder, name, "-Make=A maker", "-Orientation#=6", "-ExifImageWidth=40", "-ExifImageHeight=30",
        "-GPSLatitude=48.5", "-GPSLatitudeRef=N", "-FocalPlaneXResolution=1000", "-FocalPlaneYResolution=500",
        "-SubjectArea=10 5 4 2",
    )  # fmt: skip


SOURCES: dict[str, tuple[Callable[[Path, str], Path], str]] = {
    "icc": (lambda folder, name: saved(folder, name, icc_profile=wide_gamut()), "jpg"),
    "exif": (photograph, "jpg"),
    "xmp": (lambda folder, name: told(folder, name, f"-XMP-dc:Description={LONG}"), "jpg"),
    "iptc": (lambda folder, name: told(folder, name, "-IPTC:Keywords=cat"), "jpg"),
    "resolution": (lambda folder, name: saved(folder, name, dpi=(300, 300)), "png"),
    "texts": (lambda folder, name: saved(folder, name, pnginfo=comments()), "png"),
    "color": (lambda folder, name: with_chunks(folder, name, (b"cICP", bytes((12, 13, 0, 1)))), "png"),
    "hdr": (lambda folder, name: with_chunks(folder, name, (b"cICP", bytes((9, 16, 0, 1)))), "png"),
    "geo": (geo_tiff, "tiff"),
}
"""For each row of the table a file that carries it, made by others, and its format."""


@dataclass(frozen=True)
class Passed:
    """What a picture became: its file in a format, the warnings, and what ExifTool finds in it."""

    path: Path
    warnings: tuple[str, ...]
    tags: dict[str, Any]


def enlarged(source: Path, target: Path, scale: int = 2) -> tuple[str, ...]:
    picture = read_picture(source)
    pixels = np.ascontiguousarray(picture.pixels.repeat(scale, 0).repeat(scale, 1))
    return (*picture.warnings, *write_picture(replace(picture, pixels=pixels), target))


def tags_of(*paths: Path) -> list[dict[str, Any]]:
    tool = need("exiftool", "libimage-exiftool-perl")
    found: list[dict[str, Any]] = json.loads(run(tool, "-j", "-n", "-G0", "-a", *paths))
    return found


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Passed]:
    """Every thing through every format."""
    folder = tmp_path_factory.mktemp("carried")
    made = {}
    for item, (make, suffix) in SOURCES.items():
        source = make(folder, f"{item}.{suffix}")
        for format in WRITABLE:
            target = folder / f"{item}-{format}{FORMATS[format].suffixes[0]}"
            made[item, format] = (target, enlarged(source, target))
    found = tags_of(*(target for target, _ in made.values()))
    return {key: Passed(*made[key], tags) for key, tags in zip(made, found, strict=True)}


def value(done: Passed, name: str) -> Any:
    """What ExifTool finds under a name, in whatever group."""
    return next((found for key, found in done.tags.items() if key.partition(":")[2] == name), None)


def icc_of(path: Path) -> bytes:
    return run(need("exiftool", "libimage-exiftool-perl"), "-b", "-ICC_Profile", path)


def check_icc(done: Passed, format: str) -> None:
    if format == "jxl":
        assert_srgb(done)
    else:
        assert icc_of(done.path) == wide_gamut()


def check_exif(done: Passed, format: str) -> None:
    assert value(done, "Make") == "A maker"
    assert value(done, "Orientation") in (1, None)
    assert (value(done, "ExifImageWidth"), value(done, "ExifImageHeight")) == (2 * HIGH, 2 * WIDE)
    assert value(done, "GPSLatitude") == pytest.approx(48.5)
    assert (value(done, "FocalPlaneXResolution"), value(done, "FocalPlaneYResolution")) == (1000, 2000)
    assert value(done, "SubjectArea") == f"{2 * (HIGH - 1 - 5)} 20 4 8"


def check_xmp(done: Passed, format: str) -> None:
    assert value(done, "Description") == LONG


def check_iptc(done: Passed, format: str) -> None:
    assert value(done, "Keywords") == "cat"


def check_resolution(done: Passed, format: str) -> None:
    if format == "png":
        assert value(done, "PixelsPerUnitX") == pytest.approx(300 / 0.0254, abs=0.51)
    else:
        assert value(done, "XResolution") == pytest.approx(300, rel=1e-3)
        assert value(done, "ResolutionUnit") == (1 if format == "jpg" else 2)  # JFIF counts from 1


def check_texts(done: Passed, format: str) -> None:
    assert value(done, "Parameters" if format == "png" else "UserComment") == PROMPT


def check_color(done: Passed, format: str) -> None:
    if format == "png":
        assert (value(done, "ColorPrimaries"), value(done, "TransferCharacteristics")) == (12, 13)
    elif format == "jxl":
        assert_srgb(done)
    else:
        assert_display_p3(icc_of(done.path))


def check_hdr(done: Passed, format: str) -> None:
    if format == "png":
        assert (value(done, "ColorPrimaries"), value(done, "TransferCharacteristics")) == (9, 16)
    else:
        assert b"cicp\0\0\0\0\x09\x10\x00\x01" in icc_of(done.path)
        assert "BT.2020 PQ" in "".join(done.warnings)


def check_geo(done: Passed, format: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffFile(done.path) as file:
        tags = file.pages[0].tags
        assert tags[33550].value == (5.0, 10.0, 0.0)
        assert tags[33922].value == (8.0, 6.0, 0.0, 500_000.0, 4_000_000.0, 0.0)
        assert tags[34735].value == (1, 1, 0, 1, 1025, 0, 1, 1)
    np.testing.assert_array_equal(np.asarray(Image.open(done.path))[::2, ::2], np.asarray(slopes()))


def assert_srgb(done: Passed) -> None:
    """The pixels, by libjxl's own tool, are what LittleCMS makes of those in Display P3; beyond sRGB they are cut."""
    target = done.path.with_suffix(".png")
    run(need("djxl", "libjxl-tools"), done.path, target)
    wide = slopes().resize((2 * WIDE, 2 * HIGH), Image.Resampling.NEAREST)
    srgb = ImageCms.createProfile("sRGB")
    expected = ImageCms.profileToProfile(wide, io.BytesIO(wide_gamut()), srgb, renderingIntent=1)
    found = np.asarray(Image.open(target)).astype(float)
    assert np.abs(found - np.asarray(expected)).mean() < 4 < 8 < np.abs(found - np.asarray(wide)).mean()
    assert [text for text in done.warnings if "converted from their profile to sRGB" in text]


def assert_display_p3(profile: bytes) -> None:
    """Display P3's green is far outside sRGB: LittleCMS must clip it, and turn a P3 gray into the same gray."""
    image = Image.fromarray(np.array([[[0, 255, 0], [128, 128, 128], [255, 0, 0]]], np.uint8))
    srgb = ImageCms.createProfile("sRGB")
    lab = ImageCms.profileToProfile(image, io.BytesIO(profile), srgb)
    assert np.abs(np.asarray(lab)[0].astype(int) - [[0, 255, 0], [128, 128, 128], [255, 0, 0]]).max() <= 3
    back = ImageCms.profileToProfile(Image.new("RGB", (1, 1), (0, 200, 0)), srgb, io.BytesIO(profile))
    assert np.abs(np.asarray(back)[0, 0].astype(int) - (90, 196, 61)).max() <= 4  # colour-science: sRGB to Display P3


CHECKS: dict[str, Callable[[Passed, str], None]] = {item: globals()[f"check_{item}"] for item in SOURCES}


@pytest.mark.parametrize("format", WRITABLE)
@pytest.mark.parametrize("item", KEPT_SOMEWHERE)
def test_every_cell(item: str, format: str, passed: dict[tuple[str, str], Passed]) -> None:
    done = passed[item, format]
    title = KEPT_SOMEWHERE[item][0]
    if fate(FORMATS[format], item) == "warned":
        assert [text for text in done.warnings if text.startswith(f"{title} dropped: ")]
        return
    CHECKS[item](done, format)
    if fate(FORMATS[format], "icc") != "converted" or item not in ("icc", "color"):
        assert done.warnings == () or item == "hdr"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(row for row in ROWS if row.writable)
