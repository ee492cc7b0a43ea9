"""The upscaler's contract: kinds of arrays, value range, rounding, the ensemble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rlfn.errors import OptionError
from rlfn.evaluation.metrics import psnr, score_y
from rlfn.images.files import read_picture
from rlfn.images.resize import resize
from rlfn.inference.upscaler import Upscaler
from rlfn.models import catalog

EXAMPLE = Path(__file__).parents[2] / "examples" / "astronaut.png"


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler("rlfn-s-x4", engine="onnxruntime")


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return read_picture(EXAMPLE).pixels[40:168, 60:188]


def test_it_beats_bicubic(upscaler: Upscaler, photo: NDArray[np.uint8]) -> None:
    lr = resize(photo, scale=0.25)
    ours, bicubic = upscaler(lr), resize(lr, scale=4)
    assert psnr(ours, photo) > psnr(bicubic, photo) + 1.0


def set5_scores(shared: Path, model: str, precision: str) -> tuple[float, float]:
    """Return the mean PSNR and SSIM on Y over Set5."""
    upscaler = Upscaler(model, engine="onnxruntime", precision=precision)
    scale, found = upscaler.scale, []
    for path in sorted((shared / "data" / "bench" / "Set5" / "HR").glob("*.png")):
        lr = read_picture(path.parents[1] / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png").pixels
        hr = read_picture(path).pixels[: lr.shape[0] * scale, : lr.shape[1] * scale]
        found.append(score_y(upscaler(lr), hr, scale))
    return float(np.mean([score.psnr for score in found])), float(np.mean([score.ssim for score in found]))


def check_score(shared: Path, model: str, precision: str) -> None:
    psnr_db, ssim = set5_scores(shared, model, precision)
    stated = catalog.get_model(model).scores_in(precision)["Set5"]
    assert psnr_db == pytest.approx(stated["psnr"], abs=0.005)
    assert ssim == pytest.approx(stated["ssim"], abs=0.0003)


def test_the_packaged_score_holds(shared: Path) -> None:
    check_score(shared, "rlfn-s-x4", "fp32")


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("model", "precision"),
    [(name, kind) for name, model in catalog.models().items() for kind in ("fp32", "int8") if model.scores_in(kind)],
)
def test_the_scores_of_all_packaged_models_hold(shared: Path, model: str, precision: str) -> None:
    check_score(shared, model, precision)


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 3), (20, 24, 4)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_kinds_stay(upscaler: Upscaler, shape: tuple[int, ...], kind: type) -> None:
    image = np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape).astype(kind)
    result = upscaler(image)
    assert result.shape == (80, 96, *shape[2:])
    assert result.dtype == kind


def test_sixteen_bits_are_the_same_picture_more_finely(upscaler: Upscaler, photo: NDArray[np.uint8]) -> None:
    small = photo[:40, :40]
    fine = upscaler(small.astype(np.uint16) * 257)
    assert np.abs(fine / 257 - upscaler(small)).max() <= 0.51
    assert len(np.unique(fine)) > 256


def test_gray_is_the_luma_of_equal_channels(upscaler: Upscaler, photo: NDArray[np.uint8]) -> None:
    gray = photo[:32, :32, 1]
    color = upscaler(np.dstack([gray] * 3)).astype(float)
    assert np.abs(upscaler(gray) - color @ [0.299, 0.587, 0.114]).max() <= 1.01


def test_flat_pictures_stay_nearly_flat(upscaler: Upscaler) -> None:
    for level in (0, 128, 255):
        result = upscaler(np.full((24, 24, 3), level, np.uint8)).astype(int)
        assert np.abs(result - level)[24:-24, 24:-24].max() <= 2


def test_the_ensemble_is_the_mean_of_eight(upscaler: Upscaler, photo: NDArray[np.uint8]) -> None:
    image = (photo[:30, :26].astype(np.uint16)) * 257
    views = []
    for turns in range(4):
        for mirrored in (False, True):
            turned = np.rot90(image[:, ::-1] if mirrored else image, turns)
            result = np.rot90(upscaler(np.ascontiguousarray(turned)), -turns)
            views.append(result[:, ::-1] if mirrored else result)
    cut = (np.min(views, axis=0) == 0) | (np.max(views, axis=0) == 65535)  # the mean is taken before values are cut
    assert cut.mean() < 0.01
    assert np.abs(upscaler(image, self_ensemble=True) - np.mean(views, axis=0))[~cut].max() <= 1.0


def test_progress_ends_at_one(photo: NDArray[np.uint8]) -> None:
    seen: list[float] = []
    Upscaler("rlfn-s-x4", engine="onnxruntime", tile=84)(photo, progress=seen.append)
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    seen.clear()
    rgba = np.dstack([photo, photo[:, :, 0]])[:20, :20]
    Upscaler("rlfn-s-x4", engine="onnxruntime")(rgba, progress=seen.append, self_ensemble=True)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((4, 4), bool),
    ],
)
def test_other_arrays_are_refused(upscaler: Upscaler, image: NDArray[np.uint8]) -> None:
    with pytest.raises(OptionError, match="Allowed: uint8 or uint16"):
        upscaler(image)


def test_a_tile_without_room_is_refused_at_once() -> None:
    with pytest.raises(OptionError, match="margins"):
        Upscaler("rlfn-s-x4", engine="onnxruntime", tile=50)
