"""MATLAB's bicubic: bit for bit against the field's files, by hand, and its laws."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlfn.errors import OptionError
from rlfn.images.color import to_rgb
from rlfn.images.resize import axis_taps, cubic, resize


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_equals_the_fields_files_bit_for_bit(name: str, scale: int) -> None:
    shared = os.environ.get("RLFN_SHARED")
    if not shared:
        pytest.skip("RLFN_SHARED does not name the folder with the test sets")
    from skimage.io import imread

    folder = Path(shared) / "data" / "bench" / name
    pictures = sorted((folder / "HR").glob("*.png"))
    assert pictures
    for path in pictures:
        hr = imread(path)
        hr = hr[: hr.shape[0] // scale * scale, : hr.shape[1] // scale * scale]
        lr = imread(folder / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png")
        assert np.array_equal(resize(to_rgb(hr), scale=1 / scale), to_rgb(lr)), path.name


def test_kernel_at_quarters() -> None:
    # Keys (1981) with a = -1/2, worked out by hand
    quarters = cubic(np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 3.0]))
    wanted = [1.0, 111 / 128, 0.5625, 29 / 128, 0.0, -9 / 128, -0.0625, -3 / 128, 0.0, 0.0]
    assert quarters.tolist() == pytest.approx(wanted, abs=1e-15)


def test_doubling_by_hand() -> None:
    # an even output lies 1/4 px before its source sample: weights at distances 1.75, 0.75, 0.25, 1.25, edges repeated
    row = np.array([[0.0, 100.0, 200.0, 50.0]])
    before, far, near, after = -3 / 128, 29 / 128, 111 / 128, -9 / 128
    wanted_2 = before * 0.0 + far * 0.0 + near * 100.0 + after * 200.0
    wanted_0 = before * 100.0 + far * 0.0 + near * 0.0 + after * 100.0
    out = resize(row, size=(1, 8))
    assert out[0, 2] == pytest.approx(wanted_2, abs=1e-12)
    assert out[0, 0] == pytest.approx(wanted_0, abs=1e-12)


def test_halving_by_hand() -> None:
    # the kernel is twice as wide: distances 1.75, 1.25, 0.75, 0.25 in halved px, each weighing half
    row = np.array([[10.0, 20.0, 30.0, 40.0, 80.0, 120.0, 160.0, 200.0]])
    half = [-3 / 256, -9 / 256, 29 / 256, 111 / 256, 111 / 256, 29 / 256, -9 / 256, -3 / 256]
    mirrored = np.concatenate([row[0, :1], row[0, :7]])  # the second output covers samples -1 to 6; -1 mirrors to 0
    assert resize(row, size=(1, 4))[0, 1] == pytest.approx(float(np.dot(half, mirrored)), abs=1e-12)


def test_integers_round_after_each_pass_halves_up() -> None:
    image = np.array([[0, 1], [0, 0]], np.uint8)
    # rows first: [0, 0.5] becomes [0, 1]; columns then: 0.5 becomes 1; at once it would be 0.25 and become 0
    assert resize(image, size=(1, 2)).tolist() == [[0, 1]]
    assert resize(image, size=(1, 1)).tolist() == [[1]]
    assert resize(image.astype(np.float64), size=(1, 1)).item() == pytest.approx(0.25)


def test_golden_values() -> None:
    places = np.arange(12 * 9 * 3).reshape(12, 9, 3)
    image = (places * 37 % 256).astype(np.uint8)
    assert resize(image, scale=1 / 3)[:, :, 0].tolist() == GOLDEN_THIRD
    assert resize(image[:2, :2, 0], scale=2).tolist() == GOLDEN_DOUBLE


GOLDEN_THIRD = [[125, 120, 119], [131, 127, 124], [120, 122, 147], [129, 134, 121]]
GOLDEN_DOUBLE = [[0, 23, 90, 124], [41, 59, 94, 112], [193, 165, 110, 82], [255, 219, 118, 68]]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from([np.uint8, np.uint16, np.float32, np.float64]),
    st.integers(0, 255),
)
def test_a_constant_picture_stays_constant(h: int, w: int, oh: int, ow: int, kind: Any, level: int) -> None:
    out = resize(np.full((h, w), level, kind), size=(oh, ow))
    assert out.shape == (oh, ow)
    assert out.dtype == kind
    assert np.allclose(out, level, rtol=1e-5, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 30), st.sampled_from([0.25, 1 / 3, 0.5, 2.0, 3.0, 4.0]), st.integers(0, 2**31)
)
def test_flips_commute(height: int, width: int, scale: float, seed: int) -> None:
    # whole blocks, so that the picture's centre stays the centre
    step = round(1 / scale) if scale < 1 else 1
    image = np.random.default_rng(seed).uniform(0, 255, (height * step, width * step, 3))
    out = resize(image, scale=scale)
    assert np.allclose(resize(image[::-1], scale=scale), out[::-1], rtol=0, atol=1e-9)
    assert np.allclose(resize(image[:, ::-1], scale=scale), out[:, ::-1], rtol=0, atol=1e-9)
    assert np.allclose(resize(image.transpose(1, 0, 2), scale=scale), out.transpose(1, 0, 2), rtol=0, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 30), st.integers(4, 30), st.sampled_from([0.25, 0.5, 2.0, 4.0]), st.integers(0, 2**31))
def test_integers_stay_near_floats(height: int, width: int, scale: float, seed: int) -> None:
    # levels so far from the ends that no overshoot is clipped between the passes
    image = np.random.default_rng(seed).integers(64, 192, (height, width), dtype=np.uint8)
    exact = resize(image.astype(np.float64), scale=scale)
    # the first pass rounds by up to 1/2, which the second spreads with weights whose absolute sum is under 1.3
    assert np.abs(resize(image, scale=scale) - exact).max() <= 0.5 + 0.5 * 1.3 + 1e-9


def test_floats_keep_overshoots_and_integers_clip() -> None:
    edge = np.array([[0, 0, 0, 255, 255, 255]])
    assert resize(edge.astype(np.float32), scale=4).max() > 255
    assert resize(edge.astype(np.uint8), scale=4).max() == 255


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_bands_do_not_change_the_result(kind: Any) -> None:
    # wide enough for several bands of the inner loop; columns far apart must equal those of narrow pictures
    image = np.random.default_rng(7).integers(0, 256, (40, 5000)).astype(kind)
    assert np.array_equal(resize(image, size=(20, 5000))[:, 4000:4010], resize(image[:, 4000:4010], size=(20, 10)))


def test_weights_sum_to_one() -> None:
    for length, out_length in ((7, 3), (3, 7), (1, 5), (100, 33)):
        taps = axis_taps(length, out_length, out_length / length)
        assert np.allclose(taps.weight.sum(axis=0), 1.0, rtol=0, atol=1e-12)
        assert taps.index.min() >= 0
        assert taps.index.max() < length


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([(), (1,), (3,)]),
)
def test_wrapped_is_the_middle_of_a_texture_laid_out_in_tiles(
    sides: tuple[int, int], out: tuple[int, int], kind: Any, channels: tuple[int, ...]
) -> None:
    image = np.random.default_rng(sum(sides)).integers(0, np.iinfo(kind).max, (*sides, *channels)).astype(kind)
    tiles = 7  # the kernel reaches at most three tiles far
    tiled = np.tile(image, (tiles, tiles) + (1,) * len(channels))
    wanted = resize(tiled, size=(out[0] * tiles, out[1] * tiles))[3 * out[0] : 4 * out[0], 3 * out[1] : 4 * out[1]]
    np.testing.assert_array_equal(resize(image, size=out, wrap=True), wanted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either scale or size"),
        ({"scale": 2.0, "size": (1, 1)}, "either scale or size"),
        ({"scale": 0.0}, "above 0"),
        ({"scale": float("nan")}, "above 0"),
        ({"size": (0, 4)}, "at least 1"),
    ],
)
def test_bad_options(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        resize(np.zeros((4, 4), np.uint8), **arguments)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.int32), np.zeros(4, np.uint8), np.zeros((0, 4), np.uint8), np.zeros((4, 4), bool)]
)
def test_bad_arrays(image: Any) -> None:
    with pytest.raises(OptionError, match="Cannot resize"):
        resize(image, scale=2.0)
