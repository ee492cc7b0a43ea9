from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny import tiny_pack, tiny_recipe

from rlfn.images.resize import resize
from rlfn.training.pack import Pack
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
    for (lr, hr), (same, _), (clean, same_hr) in zip(first.pairs, again.pairs, plain.pairs, strict=True):
        assert np.array_equal(lr, same)
        assert np.array_equal(hr, same_hr)
        assert lr.shape == clean.shape
        assert not np.array_equal(lr, clean)
        assert np.abs(lr.astype(float) - resize(hr.astype(float), scale=0.5)).mean() < 25
