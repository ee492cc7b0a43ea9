"""Feature difference maps: what they are, what their numbers mean, and what is said of weights that lack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rlfn.errors import DataError, ModelError, OptionError
from rlfn.images.files import Picture, read_picture, write_picture
from rlfn.studies import features
from rlfn.studies.differences import (
    blur,
    correlation,
    crop_alike,
    difference_map,
    gradient_magnitude,
    numbers,
)
from rlfn.studies.features import Bank, ExtractorLayer, RawPixels, measure
from rlfn.studies.report import NOT_MEASURED
from rlfn.studies.request import StudyRequest
from rlfn.training import extractors
from rlfn.training.extractors import VGG19_FILE, VGG19_LAYERS, Extractor, cached_vgg19


class Weighted(Extractor):
    """A 1x1 convolution by hand: red minus blue, and twice green."""

    layers = 1

    def forward(self, image: Tensor) -> list[Tensor]:
        return [torch.cat([image[:, :1] - image[:, 2:], 2.0 * image[:, 1:2]], 1)]


def noise(height: int = 48, width: int = 64, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def edge() -> Tensor:
    """Return a picture that is dark on its left and bright on its right."""
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32:] = 1.0
    return image


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a set of two small pictures, and a cache without VGG-19."""
    pooch = pytest.importorskip("pooch")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(extractors, "fetch_vgg19", lambda: pytest.fail("nothing may be downloaded"))
    (tmp_path / "set").mkdir()
    random = np.random.default_rng(0)
    for number in range(2):
        pixels = random.integers(0, 256, (40 + number, 50, 3), dtype=np.uint8)
        write_picture(Picture(pixels), tmp_path / "set" / f"{number}.png")
    return tmp_path / "set"


def test_blurring_by_nothing_gives_zero_maps() -> None:
    image = noise()
    assert torch.equal(blur(image, 0.0), image)
    bank = Bank((RawPixels(), Weighted()), (ExtractorLayer("x", "y"),))
    [(_, found, values)] = measure([bank], image, blur(image, 0.0))
    assert not found.any()
    assert values == (0.0, 0.0, 0.0, 0.0, 0.0)


def test_the_blur_is_gaussian_and_keeps_the_mean() -> None:
    point = torch.zeros(1, 1, 65, 65)
    point[0, 0, 32, 32] = 1.0
    spread = blur(point, 2.0)[0, 0]
    assert float(spread.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(spread[32, 34] / spread[32, 32]) == pytest.approx(float(np.exp(-0.5)), rel=1e-4)  # one sigma away
    assert torch.allclose(spread, spread.T)


def test_a_map_is_the_sum_over_channels_of_absolute_differences() -> None:
    first, second = torch.zeros(1, 3, 1, 2), torch.zeros(1, 3, 1, 2)
    first[0, :, 0, 0] = torch.tensor([1.0, 0.5, 0.25])
    second[0, :, 0, 1] = torch.tensor([0.0, 1.0, 2.0])
    # red - blue: 0.75 and 2, twice green: 1 and 2
    drawn = difference_map(Weighted()(first)[0], Weighted()(second)[0])
    assert drawn.flatten().tolist() == [1.75, 4.0]


def test_numbers_of_a_map_that_is_the_gradient_itself() -> None:
    image = noise()
    gradient = gradient_magnitude(image)
    values = numbers(torch.full((1, 4, 48, 64), -2.0), gradient, gradient)
    assert values.edges == pytest.approx(1.0)
    assert values.layout == pytest.approx(1.0)
    assert values.strength == pytest.approx(float(gradient.mean()) / 4)
    assert values.relative == pytest.approx(values.strength / 2)
    top = np.sort(gradient.numpy().ravel())[::-1]
    assert values.share == pytest.approx(top[: round(0.1 * top.size)].sum() / top.sum(), rel=1e-5)


def test_a_flat_map_has_chance_share_and_no_correlation() -> None:
    gradient = gradient_magnitude(noise())
    values = numbers(torch.ones(1, 2, 3, 4), torch.ones(1, 1, 3, 4), gradient)
    assert values.share == pytest.approx(0.1, abs=1e-3)
    assert (values.edges, values.layout) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert correlation(gradient, -gradient) == pytest.approx(-1.0)


def test_the_gradient_lies_on_the_edge() -> None:
    gradient = gradient_magnitude(edge())[0, 0]
    assert gradient[10].nonzero().flatten().tolist() == [31, 32]
    assert float(gradient[10, 31]) == pytest.approx(0.5)


def test_crops_are_of_one_size_from_the_centre() -> None:
    large = np.arange(70 * 90 * 3, dtype=np.int64).reshape(70, 90, 3).astype(np.uint8)
    found = crop_alike([large, large[:50, :40]])
    assert [tuple(crop.shape) for crop in found] == [(1, 3, 48, 32)] * 2
    assert np.array_equal((found[0][0] * 255).round().byte().numpy(), large[11:59, 29:61].transpose(2, 0, 1))
    with pytest.raises(DataError, match="31 px"):
        crop_alike([large, large[:31]])


def test_the_study_without_imagenet_weights(pictures: Path, tmp_path: Path) -> None:
    said: list[str] = []
    assert features.run(StudyRequest(tmp_path / "out", sets=(str(pictures),), log=said.append))
    page = (tmp_path / "out" / "README.md").read_text()
    rows = (tmp_path / "out" / "features.md").read_text().splitlines()
    assert "2 of set, centre crops of 48x32 px" in page
    assert VGG19_FILE in page
    assert "give the study its path" in page
    for name in ("vgg19 ", "vgg19-tanh"):
        lacking = [row for row in rows if row.startswith(f"| {name}")]
        assert len(lacking) == len(VGG19_LAYERS)
        assert all(row.count(NOT_MEASURED) == 7 for row in lacking)
    measured = [row for row in rows if row.startswith(("| vgg19, random weights", "| random", "| pixels"))]
    assert len(measured) == len(VGG19_LAYERS) + 5
    assert all("nan" not in row and NOT_MEASURED not in row for row in measured)
    assert said == ["1 of 2: 0", "2 of 2: 1"]
    averaged, single = (read_picture(tmp_path / "out" / f"features{name}.png").pixels for name in ("", "-single"))
    assert single.shape[0] > 1.5 * averaged.shape[0]  # two pictures beside one average


def test_several_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="one set, not over Set5, Set14"):
        features.run(StudyRequest(tmp_path, sets=("Set5", "Set14")))


def test_imagenet_weights_are_measured_where_they_are(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cached_vgg19() is None
    path = tmp_path / "cache" / "rlfn" / VGG19_FILE
    path.parent.mkdir(parents=True)
    path.touch()
    assert cached_vgg19() == path
    torch.save(extractors.VGG19(torch.nn.ReLU).state_dict(), path)
    monkeypatch.setattr(features, "MOST", 1)
    assert features.run(StudyRequest(tmp_path / "out", sets=(str(pictures),), seeds=1, log=lambda line: None))
    page = (tmp_path / "out" / "README.md").read_text()
    assert NOT_MEASURED not in page
    assert "not at hand" not in page
    with pytest.raises(ModelError, match="VGG-19"):
        features.run(StudyRequest(tmp_path / "out", sets=(str(pictures),), vgg19=tmp_path / "nowhere.pth"))
