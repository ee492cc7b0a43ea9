"""What an engine raises or returns: a picture or a sentence."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rlfn.errors import ModelError
from rlfn.inference.upscaler import Upscaler
from rlfn.models.traits import Traits


class Broken:
    """An engine that repeats pixels, and changes the result."""

    name, precision, takes_grid = "broken", "fp32", False
    traits = Traits("broken", scale=4, min_side=1, margin=0, stride=1)

    def __init__(self, change):
        self.change = change

    def __call__(self, lr, grid=None):
        return self.change(lr.repeat(4, axis=2).repeat(4, axis=3))


def _raise(_):
    raise RuntimeError("[ONNXRuntimeError] : 6 :\n  bad_alloc")


def _spoil(value):
    def change(sr):
        sr = sr.copy()
        sr[0, 1, 3, 2] = value
        return sr

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_raise, "could not run"),
        (_spoil(np.nan), "NaN or infinite"),
        (_spoil(np.inf), "NaN or infinite"),
        (lambda sr: sr[:, :1], "where"),
        (lambda sr: sr[:, :, :-1], "where"),
        (lambda sr: np.repeat(sr, 2, axis=0), "where"),
        (lambda sr: sr.astype(np.float64), "float64"),
        (lambda sr: sr[0], "where"),
        (lambda sr: None, "NoneType"),
    ],
)
def test_broken_results_are_sentences(change, words):
    with pytest.raises(ModelError, match=words):
        Upscaler(engine=Broken(change))(np.full((20, 21, 3), 9, np.uint8))


def test_values_beyond_the_range_are_clipped():
    upscaler = Upscaler(engine=Broken(lambda sr: sr * np.float32(1e30) - np.float32(1e31)))
    assert set(np.unique(upscaler(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)))) == {0, 255}


_GOOD = Traits("rlfn-s", 4, 15, 42, 6).to_metadata()


def test_traits_come_back():
    assert dataclasses.asdict(Traits.from_metadata(_GOOD))["margin"] == 42


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            (key, value)
            for key in ("scale", "min_side", "stride")
            for value in ("0", "-1", "9999", "1e3", "", "9" * 5000)
        ),
        ("margin", "-1"),
        ("margin", str(1 << 62)),
        ("scale", "9"),
        ("value_range", "nan"),
        ("value_range", "wide"),
        ("value_range", "inf"),
        ("value_range", "1"),
        ("scale", "1" * 21),
    ],
)
def test_traits_that_cannot_be(key, value):
    with pytest.raises(ModelError, match=r"value_range|lacks metadata|takes"):
        Traits.from_metadata({**_GOOD, key: value})


@pytest.mark.parametrize("key", sorted(_GOOD.keys() - {"exact"}))
def test_traits_that_are_missing(key):
    with pytest.raises(ModelError, match=f"{key} is missing"):
        Traits.from_metadata({name: value for name, value in _GOOD.items() if name != key})
