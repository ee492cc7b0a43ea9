"""The browser's pixels are Python's, within one level."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import rlfn

PIL = pytest.importorskip("PIL.Image")

MODELS = ("rlfn-xs-x2", "rlfn-xs-x3", "rlfn-xs-x4", "rlfn-xxs-photo-x2", "rlfn-s-x2", "rlfn-s-x3", "rlfn-s-x4")


def scene(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """Return slopes, discs and noise."""
    noise = np.random.default_rng(height * width).integers(0, 24, (height, width, channels))
    y, x = np.mgrid[:height, :width]
    slopes = np.stack([3 * x + y, x + 2 * y, 4 * x - y, 6 * np.hypot(x - width / 2, y - height / 2)][:channels], axis=2)
    return np.asarray((slopes + noise) % 256, np.uint8)


def python(image: NDArray[np.uint8], model: str, tile: int = 384) -> NDArray[np.uint8]:
    return rlfn.Upscaler(model, engine="onnxruntime", threads=1, tile=tile, precision="fp32")(image)


def opaque(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])


def png(image: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    PIL.fromarray(image).save(file, "PNG", **options)
    return file.getvalue()


def assert_alike(made: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> None:
    assert made.shape == wanted.shape
    assert int(np.abs(made.astype(int) - wanted).max()) <= 1


@pytest.mark.parametrize("model", MODELS)
def test_every_model_makes_the_same_pixels(model: str, upscaled: Callable[..., Any]) -> None:
    image = scene(21, 26) if "-s-" in model else scene(45, 61)
    family, scale = model.rsplit("-x", 1)
    made, told = upscaled(png(image), model=family, scale=int(scale))
    assert_alike(made, opaque(python(image, model)))
    assert (told["model"], told["device"], told["notes"]) == (model, "wasm", [])


def test_tiles_with_the_grid_make_the_same_pixels(upscaled: Callable[..., Any]) -> None:
    image = scene(19, 97)
    made, _ = upscaled(opaque(image), model="rlfn-s", scale=4, tile=90)
    assert_alike(made, opaque(python(image, "rlfn-s-x4", tile=90)))


def test_transparency_is_exact(upscaled: Callable[..., Any]) -> None:
    image = scene(40, 56, 4)
    made, _ = upscaled(png(image), model="rlfn-xs", scale=2)
    assert_alike(made, python(image, "rlfn-xs-x2"))


def test_gray_files_stay_gray(upscaled: Callable[..., Any]) -> None:
    image = scene(33, 47)[:, :, 0]
    made, _ = upscaled(png(image), model="rlfn-xs", scale=2)
    assert_alike(made, opaque(np.repeat(python(image, "rlfn-xs-x2")[:, :, None], 3, axis=2)))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_photograph_is_turned_upright(orientation: int, upscaled: Callable[..., Any]) -> None:
    from PIL import ImageOps

    exif = PIL.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    PIL.fromarray(scene(40, 64)).save(file, "JPEG", quality=95, subsampling=0, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(PIL.open(file)))
    made, told = upscaled(file.getvalue(), model="rlfn-xs", scale=2)
    assert int(np.abs(made.astype(int) - opaque(python(upright, "rlfn-xs-x2"))).max()) <= 1
    assert [note for note in told["notes"] if "EXIF" in note]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_is_told_of_turning_is_what_happened(kind: str, upscaled: Callable[..., Any]) -> None:
    for orientation in (1, 6):
        exif = PIL.Exif()
        exif[0x0112] = orientation
        file = io.BytesIO()
        PIL.fromarray(scene(16, 24)).save(file, kind, exif=exif)
        made, told = upscaled(file.getvalue(), scale=2)
        (note,) = told["notes"]
        assert ("turned upright" in note) == (made.shape[0] > made.shape[1])
        assert ("not turned" in note) == (orientation == 6 and made.shape[0] < made.shape[1])


def test_what_is_lost_is_said(upscaled: Callable[..., Any]) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    _, told = upscaled(png(scene(20, 20), icc_profile=profile), scale=2)
    assert any("colour profile (ICC)" in note for note in told["notes"])
    deep = PIL.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 100)
    file = io.BytesIO()
    deep.save(file, "PNG")
    _, told = upscaled(file.getvalue(), scale=2)
    assert any("16 bits" in note for note in told["notes"])
