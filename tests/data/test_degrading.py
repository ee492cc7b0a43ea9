from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rlfn.data.degradations import Bicubic
from rlfn.data.degrading import degrade_folder
from rlfn.data.packing import make_pack, reduce_bicubic
from rlfn.data.photo import Photo
from rlfn.data.pictures import read_rgb, write_rgb
from rlfn.errors import DataError, OptionError, OutputError
from synthetic import SIZES, synthetic


def test_bicubic_pictures_match_a_pack(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "lr" / "X3"
    seen = []
    assert degrade_folder(folder, out, scale=3, degradation=Bicubic(), progress=lambda *step: seen.append(step)) == []
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.*")) == ["ax3.png", "bx3.png", "sub/cx3.png"]
    assert [(done, total) for done, total, _ in seen] == [(1, 3), (2, 3), (3, 3)]
    pack = make_pack([folder], tmp_path / "pack", scales=(3,), lr_folder=tmp_path / "lr", min_side=64).pack
    for index, name in enumerate(SIZES):
        assert np.array_equal(pack.lr(index, 3), reduce_bicubic(read_rgb(folder / name), 3))


def test_photo_depends_only_on_the_seed_and_the_name(folder: Path, tmp_path: Path) -> None:
    def run(name: str, seed: int) -> dict[str, bytes]:
        degrade_folder(folder, tmp_path / name, scale=4, degradation=Photo(), seed=seed)
        return {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.png")}

    first = run("first", 1)
    (folder / "a.png").unlink()
    second, other = run("second", 1), run("other", 2)
    assert second == {name: first[name] for name in ("bx4.png", "cx4.png")}
    assert all(second[name] != other[name] for name in second)


def test_failures_are_collected_and_the_rest_is_written(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_text("no picture")
    write_rgb(folder / "tiny.png", synthetic(3, 30))
    failures = degrade_folder(folder, tmp_path / "out", scale=4, degradation=Bicubic())
    assert len(failures) == 2
    assert "broken.png" in failures[0]
    assert "30x3, too small to be reduced by 4" in failures[1]
    assert len(list((tmp_path / "out").rglob("*.png"))) == 3


def test_invalid_requests_are_refused_before_any_work(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="of at least 2"):
        degrade_folder(folder, tmp_path / "out", scale=1, degradation=Bicubic())
    with pytest.raises(DataError, match="folder of the input pictures"):
        degrade_folder(folder, folder / "sub" / "..", scale=2, degradation=Bicubic())
    (folder / "a.jpg").write_bytes((folder / "a.png").read_bytes())
    with pytest.raises(DataError, match=r"a\.jpg and a\.png would both become"):
        degrade_folder(folder, tmp_path / "out", scale=2, degradation=Bicubic())
    (folder / "a.jpg").unlink()
    with pytest.raises(OutputError, match="cannot be written"):
        degrade_folder(folder, Path("/proc/out"), scale=2, degradation=Bicubic())
    assert not (tmp_path / "out").exists()
