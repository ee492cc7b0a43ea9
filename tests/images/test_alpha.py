"""Transparency: no fringes, opaque stays opaque, transparent stays transparent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rlfn.images.alpha import fill_transparent, limit_alpha
from rlfn.images.files import Picture, read_picture, write_picture
from rlfn.inference.upscaler import Upscaler

COLOUR = np.array([220, 60, 30])
SCALE = 4


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler("rlfn-s-x4", engine="onnxruntime")


def disc(background: int, size: tuple[int, int] = (47, 51), kind: type = np.uint8) -> NDArray[np.generic]:
    """A disc of one colour, softly edged, over transparent pixels of another colour."""
    high, wide = size
    y, x = np.mgrid[:high, :wide]
    distance = np.hypot(y - high / 2, x - wide / 2)
    alpha = np.clip(0.34 * min(size) - distance + 0.5, 0, 1)
    image = np.empty((*size, 4))
    image[..., :3] = np.where(alpha[..., None] > 0, COLOUR, background)
    image[..., 3] = np.rint(alpha * 255)
    return (image * (257 if kind == np.uint16 else 1)).astype(kind)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("background", [0, 255])
def test_a_disc_has_no_fringe_over_white_or_black(upscaler: Upscaler, background: int, kind: type) -> None:
    """Whatever hides under the transparent pixels, every composite lies between the disc and what is behind it."""
    top = np.iinfo(kind).max
    result = upscaler(disc(background, kind=kind)) / top * 255
    alpha = result[..., 3:] / 255
    assert 0.02 < (alpha == 1).mean() < (alpha > 0).mean() < 0.6
    for behind in (0, 255):
        composite = result[..., :3] * alpha + behind * (1 - alpha)
        expected = COLOUR * alpha + behind * (1 - alpha)
        assert np.abs(composite - expected).max() < 6
        low, high = np.minimum(COLOUR, behind), np.maximum(COLOUR, behind)
        assert (composite > low - 6).all()
        assert (composite < high + 6).all()


@pytest.mark.parametrize("size", [(15, 15), (31, 33), (5, 40)])
def test_the_hidden_colour_has_no_influence(upscaler: Upscaler, size: tuple[int, int]) -> None:
    black, white = upscaler(disc(0, size)), upscaler(disc(255, size))
    np.testing.assert_array_equal(black[..., 3], white[..., 3])
    shown = black[..., 3] > 0
    assert np.abs(black[shown].astype(int) - white[shown]).max() <= 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_opaque_stays_exactly_opaque_and_transparent_exactly_transparent(upscaler: Upscaler, kind: type) -> None:
    top = np.iinfo(kind).max
    image = disc(0, (41, 37), kind)
    alpha, result = image[..., 3], upscaler(image)[..., 3]
    for value in (0, top):
        padded = np.pad(alpha == value, 1, mode="edge")
        inside = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).all(axis=(2, 3))
        assert inside.sum() > 50
        assert (result[inside.repeat(SCALE, 0).repeat(SCALE, 1)] == value).all()


@pytest.mark.parametrize("value", [0, 1, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 16)])
def test_a_constant_alpha_stays_exactly(upscaler: Upscaler, value: int, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 4), dtype=np.uint8)
    image[..., 3] = value
    result = upscaler(image)
    assert (result[..., 3] == value).all()
    np.testing.assert_array_equal(result[..., :3], upscaler(np.ascontiguousarray(image[..., :3])))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (8, 8), (33, 65)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_filling_keeps_what_is_visible_and_invents_no_colour(size: tuple[int, int], kind: type) -> None:
    random = np.random.default_rng(1)
    rgb = random.integers(100, 140, (*size, 3)).astype(kind)
    alpha = (random.random(size) < 0.2).astype(kind) * np.iinfo(kind).max
    alpha[0, 0] = np.iinfo(kind).max
    rgb[alpha == 0] = 0
    filled = fill_transparent(rgb, alpha)
    assert filled.dtype == kind
    np.testing.assert_array_equal(filled[alpha > 0], rgb[alpha > 0])
    for channel in range(3):
        seen = rgb[..., channel][alpha > 0]
        assert filled[..., channel].min() >= seen.min()
        assert filled[..., channel].max() <= seen.max()


def test_nothing_visible_is_left_alone() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fill_transparent(rgb, np.zeros((5, 4), np.uint8)), rgb)


def test_alpha_is_kept_within_its_neighbourhood() -> None:
    alpha = np.array([[0, 0, 0, 10], [0, 0, 0, 200]], np.uint8)
    limited = limit_alpha(np.full((4, 8), 90, np.uint8), alpha, 2)
    np.testing.assert_array_equal(limited[:, :4], 0)
    np.testing.assert_array_equal(limited[:, 4:], 90)
    np.testing.assert_array_equal(limit_alpha(np.full((4, 8), 255, np.uint8), alpha, 2)[:, 6:], 200)


def test_hidden_colours_are_kept_on_request(upscaler: Upscaler) -> None:
    """Alpha of a texture is a mask: the colours are those of the picture without it."""
    image = disc(30)
    image[:6, :6, :3] = (200, 10, 90)
    kept = upscaler(image, keep_hidden=True)
    np.testing.assert_array_equal(kept[..., :3], upscaler(np.ascontiguousarray(image[..., :3])))
    np.testing.assert_array_equal(kept[..., 3], upscaler(image)[..., 3])
    assert np.abs(upscaler(image)[:20, :20, :3].astype(int) - (200, 10, 90)).max() > 50


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_hidden_colours_survive_in_files(command, tmp_path: Path, suffix: str) -> None:
    image = disc(30)
    write_picture(Picture(image), tmp_path / f"in.{suffix}", quality=100 if suffix == "webp" else None)
    assert command("upscale", f"in.{suffix}", "-o", f"out.{suffix}", "--keep-hidden", "-m", "rlfn-xs-x2").status == 0
    assert np.abs(read_picture(tmp_path / f"out.{suffix}").pixels[:8, :8, :3].astype(int) - 30).max() < 12
