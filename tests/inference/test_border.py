"""Borders: no rings around flat colours, no seam in textures, nothing changed elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import rlfn
from rlfn.inference.border import MIRRORED, add_border, has_flat_border
from rlfn.inference.upscaler import Upscaler

NOISE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("turns", range(4))
def test_a_flat_stretch_of_any_side_is_found(kind: type, turns: int) -> None:
    image = NOISE.astype(kind) * (np.iinfo(kind).max // 255)
    assert not has_flat_border(image)
    image[:4, 5:21] = np.iinfo(kind).max
    assert has_flat_border(np.rot90(image, turns))
    assert add_border(np.rot90(image, turns)).top == MIRRORED
    image[1, 8] = 0
    assert not has_flat_border(np.rot90(image, turns))


@pytest.mark.parametrize("shape", [(1, 1), (2, 50), (50, 2), (3, 3)])
def test_small_images_are_framed(shape: tuple[int, int]) -> None:
    assert add_border(np.full((*shape, 3), 99, np.uint8)).image.shape == (shape[0] + 24, shape[1] + 24, 3)


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 0, 255), (255, 255, 0), (255, 255, 255), (0, 0, 0), (128, 60, 200)])
@pytest.mark.parametrize("model", ["rlfn-s-x4", "rlfn-xs-x2"])
def test_flat_colours_have_no_rings(color: tuple[int, int, int], model: str) -> None:
    image = np.full((33, 26, 3), color, np.uint8)
    upscaler = Upscaler(model, engine="onnxruntime", precision="fp32")
    assert np.abs(upscaler(image).astype(int) - color).max() <= 3  # black in rlfn-s-x4, at the border
    ensemble = upscaler(image, self_ensemble=True)
    assert np.abs(ensemble.astype(int) - color).max() <= 2


def test_tiles_of_a_framed_image_are_the_whole(nearest: type) -> None:
    image = np.dstack([np.full((90, 70), 77, np.uint8)] * 3)
    image[30:60, 20:50] = NOISE[:30, :30]
    found = Upscaler(engine=nearest(), tile=48)(image)
    np.testing.assert_array_equal(found, image.repeat(4, axis=0).repeat(4, axis=1))


@pytest.mark.parametrize("scale", [4, 3])
def test_a_seamless_texture_stays_seamless(scale: float) -> None:
    """Turning the texture in a circle and back gives the same result: no place of it is a border."""
    x, y = np.meshgrid(np.arange(48), np.arange(36))
    waves = np.sin(2 * np.pi * x / 16) + np.cos(2 * np.pi * (y / 12 + x / 24))
    texture = np.dstack([127 + 50 * waves, 127 - 40 * waves, 100 + 30 * waves]).astype(np.uint8)

    def large(image: NDArray[np.uint8], **options: bool) -> NDArray[np.int64]:
        made: NDArray[np.uint8] = rlfn.upscale(
            image, scale, model="rlfn-s-x4", engine="onnxruntime", precision="fp32", **options
        )
        return made.astype(np.int64)

    turned = np.roll(texture, (18, 24), axis=(0, 1))
    back = [np.roll(large(turned, wrap=wrap), (-18 * scale, -24 * scale), axis=(0, 1)) for wrap in (True, False)]
    seam, plain = (
        np.abs(other - large(texture, wrap=wrap)).max() for other, wrap in zip(back, (True, False), strict=True)
    )
    assert seam <= 2
    assert plain > 10
