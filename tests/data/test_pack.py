from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from rlfn.data.pack import Pack
from rlfn.data.packing import make_pack
from rlfn.data.pictures import read_rgb, write_rgb
from rlfn.errors import DataError, OptionError
from rlfn.images.resize import resize
from synthetic import SIZES, synthetic


def test_a_pack_holds_the_pictures_and_their_reductions(pack: Pack, folder: Path) -> None:
    assert pack.names == tuple(SIZES)
    assert pack.scales == (2, 3, 4)
    assert len(pack) == 3
    for index, name in enumerate(pack.names):
        hr = read_rgb(folder / name)
        assert np.array_equal(pack.hr(index), hr)
        for scale in pack.scales:
            height, width = hr.shape[0] // scale * scale, hr.shape[1] // scale * scale
            assert np.array_equal(pack.lr(index, scale), resize(hr[:height, :width], scale=1 / scale))
    pack.verify()


def test_pictures_are_views_that_cannot_be_written(pack: Pack) -> None:
    assert not pack.hr(0).flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        pack.hr(0)[0, 0, 0] = 1


def test_a_split_is_stable_and_complete(pack: Pack) -> None:
    held, train = pack.split(0.3, "held-out"), pack.split(0.3, "train")
    assert sorted([*held, *train]) == [0, 1, 2] == list(pack.split(0.3, "all"))
    assert len(held) >= 1
    assert np.array_equal(held, Pack.open(pack.path).split(0.3, "held-out"))
    assert len(pack.split(0.0, "held-out")) == 0
    assert len(pack.split(0.0, "train")) == 3


def test_a_split_is_stable_when_pictures_are_added(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    parts = []
    for count in (20, 40):
        for number in range(count):
            write_rgb(folder / f"{number:03}.png", synthetic(8, 8, number))
        pack = make_pack([folder], tmp_path / f"pack{count}", scales=(2,), min_side=4).pack
        parts.append({pack.names[i] for i in pack.split(0.3, "held-out")})
    assert parts[0] == {name for name in parts[1] if int(name[:3]) < 20}
    assert 4 <= len(parts[1]) <= 20


def test_a_split_that_leaves_nothing_is_refused(pack: Pack) -> None:
    with pytest.raises(DataError, match="leaves none to train on"):
        pack.split(0.999999, "train")
    with pytest.raises(OptionError, match="from 0 to below 1"):
        pack.split(1.0, "train")
    with pytest.raises(OptionError, match="train, held-out, all"):
        pack.split(0.1, "test")  # type: ignore[arg-type]


def test_other_folders_are_refused_as_packs(tmp_path: Path, pack: Pack) -> None:
    with pytest.raises(DataError, match="does not exist"):
        Pack.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no index\.json"):
        Pack.open(tmp_path / "empty")
    (pack.path / "index.json").rename(pack.path / "journal.jsonl")
    with pytest.raises(DataError, match="not finished"):
        Pack.open(pack.path)


def test_a_damaged_index_is_noticed(pack: Pack) -> None:
    file = pack.path / "index.json"
    good = json.loads(file.read_text())
    file.write_text(file.read_text()[:-20])
    with pytest.raises(DataError, match="damaged"):
        Pack.open(pack.path)
    good["pictures"][0]["height"] += 4
    file.write_text(json.dumps(good))
    with pytest.raises(DataError, match="checksum is wrong"):
        Pack.open(pack.path)
    file.write_text(json.dumps(good | {"version": 99}))
    with pytest.raises(DataError, match="version 99"):
        Pack.open(pack.path)


@pytest.mark.parametrize("name", ["hr.u8", "x3.u8"])
def test_a_truncated_file_is_noticed(pack: Pack, name: str) -> None:
    os.truncate(pack.path / name, (pack.path / name).stat().st_size - 1)
    with pytest.raises(DataError, match=f"{name} has .* bytes and"):
        Pack.open(pack.path)
    (pack.path / name).unlink()
    with pytest.raises(DataError, match=f"{name} has 0 bytes"):
        Pack.open(pack.path)


def test_changed_samples_are_found_by_verify(pack: Pack) -> None:
    with (pack.path / "x2.u8").open("r+b") as stream:
        stream.write(bytes(16))
    with pytest.raises(DataError, match=r"damaged in: a\.png\."):
        Pack.open(pack.path).verify()
