"""Synthetic pictures and packs."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlfn.data.pack import Pack
from rlfn.data.packing import make_pack
from rlfn.data.pictures import write_rgb
from synthetic import SIZES, synthetic


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with three pictures of odd sizes, one in a sub-folder."""
    for seed, (name, (height, width)) in enumerate(SIZES.items()):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rgb(path, synthetic(height, width, seed))
    return tmp_path / "pictures"


@pytest.fixture
def pack(folder: Path, tmp_path: Path) -> Pack:
    """Return a pack of the three pictures at x2, x3 and x4."""
    return make_pack([folder], tmp_path / "pack", scales=(2, 3, 4), min_side=64).pack
