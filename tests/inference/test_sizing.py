"""Wanted sizes: exact numbers, labels, and the model that fits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlfn.errors import OptionError
from rlfn.inference.sizing import Wanted, check_reach, is_family_or_default, pick_model
from rlfn.models import catalog
from rlfn.models.source import ModelSource


@pytest.mark.parametrize(
    ("wanted", "size", "label", "factor"),
    [
        (Wanted(), (120, 80), "x4", 4),
        (Wanted(2), (60, 40), "x2", 2),
        (Wanted(scale=2.55), (77, 51), "x2.55", 2.55),
        (Wanted(scale=0.001), (1, 1), "x0.001", 0.001),
        (Wanted(scale=np.float32(3)), (90, 60), "x3", 3),
        (Wanted(width=100), (100, 67), "w100", 100 / 30),
        (Wanted(height=np.int64(50)), (75, 50), "h50", 2.5),
        (Wanted(width=10, height=80), (10, 80), "10x80", 4),
    ],
)
def test_sizes_of_a_picture_of_30_by_20(wanted: Wanted, size: tuple[int, int], label: str, factor: float) -> None:
    assert wanted.size(30, 20, 4) == size
    assert wanted.label(4) == label
    assert wanted.factor(30, 20, 4) == pytest.approx(factor)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(1, 8))
def test_a_side_that_the_model_just_reaches_is_reached(width: int, height: int, scale: int) -> None:
    for wanted in (Wanted(width=scale * width), Wanted(height=scale * height), Wanted(scale=scale)):
        assert wanted.size(width, height, scale) == (scale * width, scale * height)
        check_reach("m", scale, wanted.factor(width, height, scale))
    too_wide = Wanted(width=scale * width + 1)
    with pytest.raises(OptionError, match="A factor of"):
        check_reach("m", scale, too_wide.factor(width, height, scale))


@pytest.mark.parametrize(
    "values", [{"scale": "4"}, {"scale": True - 1}, {"width": 1.5}, {"height": -1}, {"scale": 2, "width": 9}]
)
def test_impossible_sizes(values: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        Wanted(**values)  # type: ignore[arg-type]


def test_the_smallest_model_that_reaches_is_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    one = catalog.get_model("rlfn-s-x4")
    models = {name: replace(one, name=name, scale=scale) for name, scale in (("c", 4), ("a", 2), ("b", 2), ("d", 3))}
    monkeypatch.setattr(catalog, "models", lambda: models)
    picked = {factor: pick_model(factor).name for factor in (0.5, 2, 2.0000000001, 2.1, 3, 3.5, 4)}
    assert picked == {0.5: "a", 2: "a", 2.0000000001: "a", 2.1: "d", 3: "d", 3.5: "c", 4: "c"}
    with pytest.raises(OptionError, match=r"upscales x4\.5\. Ask for at most x4, or upscale the result once more\."):
        pick_model(4.5)


def test_a_family_s_name_leaves_the_scale_open(monkeypatch: pytest.MonkeyPatch) -> None:
    one = catalog.get_model("rlfn-s-x4")
    kinds = (("rlfn-s", 4), ("rlfn-s", 2), ("rlfn-xs", 4), ("rlfn-xs", 3))
    models = {
        f"{kind}-x{scale}": replace(one, name=f"{kind}-x{scale}", family=kind, scale=scale) for kind, scale in kinds
    }
    monkeypatch.setattr(catalog, "models", lambda: models)
    assert all(is_family_or_default(name) for name in (None, "rlfn-s", "rlfn-xs"))
    assert not any(is_family_or_default(name) for name in ("rlfn-xs-x4", "a.onnx"))
    picked = {factor: pick_model(factor, "rlfn-xs").name for factor in (None, 2, 3, 3.5)}
    assert picked == {None: "rlfn-xs-x4", 2: "rlfn-xs-x3", 3: "rlfn-xs-x3", 3.5: "rlfn-xs-x4"}
    with pytest.raises(OptionError, match=r"No packaged model of rlfn-xs upscales x5\. Ask for at most x4"):
        pick_model(5, "rlfn-xs")


def test_two_families_of_one_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    one = catalog.get_model("rlfn-s-x4")
    photo = replace(one, name="rlfn-s-photo-x4", family="rlfn-s-photo")
    monkeypatch.setattr(catalog, "models", lambda: {"rlfn-s-x4": one, "rlfn-s-photo-x4": photo})
    assert catalog.families() == ("rlfn-s", "rlfn-s-photo")
    assert [pick_model(2, name).name for name in (None, *catalog.families())] == [
        "rlfn-s-x4",
        "rlfn-s-x4",
        "rlfn-s-photo-x4",
    ]
    with pytest.raises(OptionError) as caught:
        ModelSource("rlfn-s-foto")
    for name in ("rlfn-s,", "rlfn-s-photo,", "rlfn-s-x4", "Did you mean 'rlfn-s-photo'?"):
        assert name in str(caught.value)
