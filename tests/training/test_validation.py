from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_pack, tiny_recipe

from rlfn.data.pack import Pack
from rlfn.errors import DataError
from rlfn.images.resize import resize
from rlfn.training.validation import make_validator


def test_held_out_pictures_are_degraded_as_those_trained_on(tmp_path: Path) -> None:
    pack = Pack.open(tiny_pack(tmp_path, count=12))
    stage = {"init": "scratch", "iterations": 1}
    watched = {"pictures": 6, "crop": 20}
    data = {"held_out": 0.5, "degradation": "photo", "degradation_settings": {"clean": 0.0}}
    plain = make_validator(tiny_recipe(stage, validation=watched, data={"held_out": 0.5}, variant="rlfn-xs"), pack)
    first, again = (
        make_validator(tiny_recipe(stage, validation=watched, data=data, variant="rlfn-xs"), pack) for _ in range(2)
    )
    assert plain is not None
    assert first is not None
    assert again is not None
    for ours, same, clean in zip(*(made.sets[0].samples for made in (first, again, plain)), strict=True):
        assert np.array_equal(ours.lr, same.lr)
        assert np.array_equal(ours.hr, clean.hr)
        assert ours.lr.shape == clean.lr.shape
        assert not np.array_equal(ours.lr, clean.lr)
        assert np.abs(ours.lr.astype(float) - resize(ours.hr.astype(float), scale=0.5)).mean() < 25


@pytest.mark.parametrize(("variant", "least"), [("rlfn-s", 15), ("rlfn-xs", 8)])
def test_pictures_that_cannot_be_validated_with_are_named_before_any_training(
    tmp_path: Path, variant: str, least: int
) -> None:
    pack = Pack.open(tiny_pack(tmp_path, count=12))
    stage = {"init": "scratch", "iterations": 1}

    def make(crop: int) -> None:
        watched = {"pictures": 6, "crop": crop}
        make_validator(tiny_recipe(stage, validation=watched, data={"held_out": 0.5}, variant=variant), pack)

    make(least)
    said = f"after the cut to validation.crop = {least - 1}, too small to validate with: .* x2 takes {least} px"
    with pytest.raises(DataError, match=said):
        make(least - 1)
