"""Folders that nobody packed and mixtures behave as packs do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rlfn.data.crops import sample_batch
from rlfn.data.degradations import Bicubic
from rlfn.data.folder import FolderPictures
from rlfn.data.pack import Pack
from rlfn.data.packing import make_pack
from rlfn.data.pictures import write_rgb
from rlfn.data.store import DataSource, MixedPictures, PictureStore, open_pictures
from rlfn.errors import DataError
from synthetic import synthetic


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Two folders of pictures, and the pack of the first."""
    root = tmp_path_factory.mktemp("store")
    for name, first in (("one", 0), ("two", 10)):
        (root / name / "deep").mkdir(parents=True)
        for number in range(3):
            write_rgb(root / name / "deep" / f"{first + number}.png", synthetic(60, 70 + number, first + number))
    make_pack([root / "one"], root / "pack", scales=(2,), min_side=32)
    return root / "one", root / "two", root / "pack"


def batch(store: PictureStore, iteration: int = 0) -> tuple[np.ndarray, np.ndarray]:
    pictures = store.split(0.2, "train")
    return sample_batch(
        store, seed=3, iteration=iteration, first=0, count=6, scale=2, patch=12, pictures=pictures,
        degradation=Bicubic(), skip_flat=0.5,
    )  # fmt: skip


def test_a_folder_gives_the_samples_of_its_pack(places: tuple[Path, Path, Path]) -> None:
    folder, _, packed = places
    loose, pack = FolderPictures(folder), Pack.open(packed)
    assert loose.names == pack.names
    assert (loose.slow, pack.slow) == (True, False)
    assert loose.pixels(loose.split(0.0, "all")) == 60 * (70 + 71 + 72)
    for iteration in range(3):
        for ours, theirs in zip(batch(loose, iteration), batch(pack, iteration), strict=True):
            assert np.array_equal(ours, theirs)


def test_a_mixture_draws_by_weight_and_holds_out_like_its_parts(places: tuple[Path, Path, Path]) -> None:
    folder, other, packed = places
    mixed = open_pictures([DataSource(packed, 3.0), DataSource(other, 1.0)])
    assert isinstance(mixed, MixedPictures)
    assert mixed.published == "pack (weight 3) + two (weight 1)"
    parts = [Pack.open(packed), FolderPictures(other)]
    for index, (part, number) in enumerate((part, number) for part in parts for number in range(3)):
        assert np.array_equal(mixed.planes(index, 2), part.planes(number, 2))
    pictures = mixed.split(0.0, "all")
    drawn = [mixed.pick(np.random.default_rng(seed), pictures) for seed in range(2000)]
    assert set(drawn) == set(range(6))
    assert np.mean(np.array(drawn) < 3) == pytest.approx(0.75, abs=0.05)
    held = {mixed.names[index] for index in mixed.split(0.3, "held-out")}
    assert 0 < len(held) < 6
    assert not held & {mixed.names[index] for index in mixed.split(0.3, "train")}
    with pytest.raises(DataError, match="has no x3 pictures"):
        mixed.check_scale(3)
    assert open_pictures([DataSource(folder)]).slow


def test_other_paths_are_refused_as_sources(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_pictures([DataSource(tmp_path / "none")])
    with pytest.raises(DataError, match="has no pictures"):
        open_pictures([DataSource(tmp_path)])
    with pytest.raises(DataError, match="There is no training data"):
        open_pictures([])
