"""The code that the guide to deploying gives away does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from rlfn.images.photograph import photograph
from rlfn.inference.upscaler import Upscaler
from rlfn.models import catalog

GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "deploy.md"


@pytest.fixture(scope="module")
def tiles() -> dict[str, Any]:
    found = re.search(r"<!-- tiles -->\n```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    names: dict[str, Any] = {}
    exec(found[1], names)
    return names


@pytest.mark.parametrize("name", ["rlfn-s-x2", "rlfn-xs-x2"])
@pytest.mark.parametrize(("height", "width"), [(130, 150), (9, 20), (70, 97)])
def test_its_tiles_equal_the_whole_picture(tiles: dict[str, Any], name: str, height: int, width: int) -> None:
    image = photograph()[20 : 20 + height, 60 : 60 + width]
    session = onnxruntime.InferenceSession(catalog.get_model(name).file(catalog.GRAPH).read())
    found = tiles["upscale"](session, image, tile=96)
    wanted = Upscaler(name, engine="onnxruntime", tile=0, precision="fp32")(image)
    assert found.shape == wanted.shape
    difference = np.abs(found.astype(int) - wanted)
    assert difference.max() <= 2
    assert difference.mean() < 0.05


@pytest.mark.parametrize("length", [1, 15, 95, 96, 97, 150, 300])
@pytest.mark.parametrize(("margin", "stride"), [(36, 6), (10, 1)])
def test_its_spans_cover_a_side_once(tiles: dict[str, Any], length: int, margin: int, stride: int) -> None:
    found = list(tiles["spans"](length, 96, margin, stride))
    assert [first for _, _, first, _ in found] == [0, *(last for _, _, _, last in found[:-1])]
    assert found[-1][1] == found[-1][3] == length
    for start, stop, first, last in found:
        assert start % stride == 0
        assert stop - start <= 96
        assert first < last
        assert start <= max(0, first - margin)
        assert stop >= min(length, last + margin)
