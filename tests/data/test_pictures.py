from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rlfn.data.pictures import find_pictures, picture_size, read_rgb, write_rgb
from rlfn.errors import PictureError
from synthetic import synthetic

RGB = synthetic(20, 30)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def test_rgb_survives_writing_and_reading(tmp_path: Path) -> None:
    write_rgb(tmp_path / "a.png", RGB)
    assert np.array_equal(read_rgb(tmp_path / "a.png"), RGB)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), RGB)
    assert picture_size(tmp_path / "a.png") == (20, 30)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_gray_and_palette_become_rgb(tmp_path: Path) -> None:
    gray = read_rgb(save(tmp_path / "g.png", Image.fromarray(RGB[:, :, 0])))
    assert np.array_equal(gray, np.repeat(RGB[:, :, :1], 3, axis=2))
    palette = Image.fromarray(RGB).quantize(16)
    assert np.array_equal(read_rgb(save(tmp_path / "p.png", palette)), np.asarray(palette.convert("RGB")))


def test_sixteen_bits_are_rounded(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257, 385, 386, 65535]], np.uint16)
    save(tmp_path / "deep.png", Image.fromarray(values))
    assert read_rgb(tmp_path / "deep.png")[0, :, 1].tolist() == [0, 0, 1, 1, 1, 2, 255]


def test_transparency_is_composited_over_white(tmp_path: Path) -> None:
    alpha = np.full((20, 30), 255, np.uint8)
    alpha[:, :10], alpha[:, 10:20] = 0, 128
    out = read_rgb(save(tmp_path / "alpha.png", Image.fromarray(np.dstack([RGB, alpha]))))
    assert (out[:, :10] == 255).all()
    assert np.array_equal(out[:, 20:], RGB[:, 20:])
    half = RGB[:, 10:20] * (128 / 255) + 255 * (127 / 255)
    assert np.abs(out[:, 10:20] - half).max() <= 1


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "turned.png", Image.fromarray(RGB), exif=exif)
    assert picture_size(path) == (30, 20)
    assert np.array_equal(read_rgb(path), np.rot90(RGB, -1))


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    flat = np.full((16, 16, 3), (200, 60, 60), np.uint8)
    out = read_rgb(save(tmp_path / "cmyk.jpg", Image.fromarray(flat).convert("CMYK"), quality=95))
    assert out.shape == (16, 16, 3)
    assert out[8, 8, 0] > 150 > 120 > out[8, 8, 1]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_damaged_files_are_refused(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", Image.fromarray(synthetic(200, 200)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PictureError, match=f"a{suffix}"):
        read_rgb(path)
    path.write_bytes(b"")
    with pytest.raises(PictureError, match="empty"):
        picture_size(path)


def test_floating_point_samples_of_unknown_range_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "float.tif", Image.fromarray(np.full((4, 4), 300.0, np.float32)))
    with pytest.raises(PictureError, match=r"float\.tif"):
        read_rgb(path)


def test_hidden_files_and_other_files_are_ignored(tmp_path: Path) -> None:
    for name in (".hidden.png", "notes.txt", "UPPER.PNG", "sub/.thumbs/x.png", "sub/y.jpeg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [source.name for source in find_pictures([tmp_path])] == ["UPPER.PNG", "sub/y.jpeg"]
