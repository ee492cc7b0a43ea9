"""Finding sets in the field's layouts, and telling standard pixels from others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rlfn.errors import DataError, PictureError
from rlfn.evaluation import sets
from rlfn.evaluation.sets import Fingerprint, find_set, read_pair, warning
from rlfn.images.files import Picture, write_picture
from rlfn.images.resize import resize


def picture(height: int = 30, width: int = 41, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def put(path: Path, image: NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(Picture(image), path)
    return path


def half(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small: NDArray[np.uint8] = resize(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2], scale=0.5)
    return small


@pytest.mark.parametrize("mark", ["x2", "", "_x2"])
@pytest.mark.parametrize("names", [("HR", "LR_bicubic"), ("DIV2K_valid_HR", "DIV2K_valid_LR_bicubic")])
def test_hr_and_lr_folders(tmp_path: Path, mark: str, names: tuple[str, str]) -> None:
    image = picture()
    put(tmp_path / names[0] / "a.png", image)
    put(tmp_path / names[1] / "X2" / f"a{mark}.png", half(image))
    found = find_set(str(tmp_path), 2)
    assert [(pair.name, pair.lr is None) for pair in found.pairs] == [("a", False)]
    assert found.lr_source == f"files of {names[1]}/X2"
    sample = read_pair(found.pairs[0], 2)
    assert np.array_equal(sample.hr, image[:30, :40])
    assert np.array_equal(sample.lr, half(image))


def test_srf_layout(tmp_path: Path) -> None:
    image = picture()
    for number in (1, 2):
        put(tmp_path / "image_SRF_2" / f"img_00{number}_SRF_2_HR.png", image[:30, :40])
        put(tmp_path / "image_SRF_2" / f"img_00{number}_SRF_2_LR.png", half(image))
    found = find_set(str(tmp_path), 2)
    assert [pair.name for pair in found.pairs] == ["img_001", "img_002"]
    assert np.array_equal(read_pair(found.pairs[0], 2).lr, half(image))
    with pytest.raises(DataError, match=r"has image_SRF_2, none of them for scale 4"):
        find_set(str(tmp_path), 4)


@pytest.mark.parametrize("folder", ["", "HR"])
def test_missing_lr_is_computed(tmp_path: Path, folder: str) -> None:
    put(tmp_path / folder / "a.png", picture())
    found = find_set(str(tmp_path), 4)
    assert found.lr_source.startswith("made here")
    sample = read_pair(found.pairs[0], 4)
    assert sample.hr.shape == (28, 40, 3)
    assert np.array_equal(sample.lr, resize(picture()[:28, :40], scale=0.25))


def test_gray_is_repeated(tmp_path: Path) -> None:
    put(tmp_path / "a.png", picture()[:, :, 0])
    sample = read_pair(find_set(str(tmp_path), 2).pairs[0], 2)
    assert sample.hr.shape == (30, 40, 3)
    assert (sample.hr[:, :, :1] == sample.hr).all()


def test_names_are_found_below_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "data" / "bench" / "set5" / "HR" / "a.png", picture())
    assert find_set("Set5", 2, tmp_path).name == "Set5"
    monkeypatch.setenv("RLFN_SETS_DIR", str(tmp_path))
    assert find_set("Set5", 2).pairs[0].name == "a"
    with pytest.raises(DataError, match=r"no set Set14.*RLFN_SETS_DIR"):
        find_set("Set14", 2, tmp_path)


def test_a_missing_lr_is_named(tmp_path: Path) -> None:
    for name in "ab":
        put(tmp_path / "HR" / f"{name}.png", picture())
    put(tmp_path / "LR_bicubic" / "X2" / "ax2.png", half(picture()))
    with pytest.raises(DataError, match=r"no LR picture for b\.png: looked for bx2, b"):
        find_set(str(tmp_path), 2)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no pictures in a supported layout"):
        find_set(str(tmp_path), 2)


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "a.png", picture())
    put(tmp_path / "a.tif", picture())
    with pytest.raises(DataError, match="two pictures called a"):
        find_set(str(tmp_path), 2)


def test_a_set_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    for name in ("Set5", "B100", "mine"):
        put(tmp_path / "bench" / name / "HR" / "a.png", picture())
    with pytest.raises(DataError, match=r"no set Set55: .*The standard sets there: Set5, B100\. Give a folder's path"):
        find_set("Set55", 2, tmp_path)
    with pytest.raises(DataError, match=r"data/benchmark\. Give a folder's path"):
        find_set("Set55", 2, tmp_path / "elsewhere")


def test_sizes_that_do_not_match_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "HR" / "a.png", picture())
    put(tmp_path / "LR_bicubic" / "X2" / "ax2.png", half(picture())[:-1])
    with pytest.raises(DataError, match=r"is 20x14, but a\.png reduced by 2 is 20x15"):
        read_pair(find_set(str(tmp_path), 2).pairs[0], 2)


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (picture().astype(np.uint16), "16-bit RGB"),
        (picture()[:, :, 0].astype(np.uint16), "16-bit gray"),
        (np.dstack([picture(), picture()[:, :, 0]]), "8-bit RGB with transparency"),
    ],
)
def test_other_kinds_of_picture_are_refused(tmp_path: Path, image: NDArray[np.generic], kind: str) -> None:
    put(tmp_path / "a.png", image)
    with pytest.raises(PictureError, match=rf"a\.png is {kind}\. Sets are of 8-bit gray or RGB\. Convert the picture"):
        read_pair(find_set(str(tmp_path), 2).pairs[0], 2)


def test_a_picture_below_the_scale_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "a.png", picture(3, 30))
    with pytest.raises(DataError, match="too small to be reduced by 4"):
        read_pair(find_set(str(tmp_path), 4).pairs[0], 4)


def fingerprint(*images: NDArray[np.uint8]) -> str:
    found = Fingerprint()
    for image in images:
        found.add(image)
    return str(found)


def test_the_fingerprint_depends_only_on_the_pixels() -> None:
    a, b = picture(seed=1), picture(seed=2)
    assert fingerprint(a, b) == fingerprint(b, a)
    changed = a.copy()
    changed[3, 4, 1] ^= 1
    assert fingerprint(changed, b) != fingerprint(a, b)
    assert fingerprint(a.reshape(41, 30, 3)) != fingerprint(a)
    assert fingerprint(a) != fingerprint(a, a)


def test_a_standard_set_with_other_pixels_gives_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    hr, lr = Fingerprint(), Fingerprint()
    hr.add(picture(seed=1))
    lr.add(picture(seed=2))
    monkeypatch.setattr(sets, "KNOWN", {("Set5", 4): (str(hr), str(lr)), ("Set5", 2): (str(hr), "0")})
    assert warning("Set5", 4, hr, lr) is None
    assert warning("Set5", 3, hr, lr) is None
    assert "The HR pixels" in str(warning("Set5", 4, lr, lr))
    assert f"The LR pixels of this Set5 x2 are not the standard ones (fingerprint {lr}, standard 0)" in str(
        warning("Set5", 2, hr, lr)
    )


@pytest.mark.parametrize(("name", "scale"), [(name, scale) for name, scale in sets.KNOWN if name != "B100"])
def test_the_standard_sets_have_the_standard_pixels(name: str, scale: int, shared: Path) -> None:
    found = find_set(name, scale, shared)
    hr, lr = Fingerprint(), Fingerprint()
    for pair in found.pairs:
        sample = read_pair(pair, scale)
        hr.add(sample.hr)
        lr.add(sample.lr)
    assert warning(name, scale, hr, lr) is None
