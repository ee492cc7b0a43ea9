"""How strongly to restore: what the file says, what the pixels show, and the strength that follows."""

from __future__ import annotations

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from rlfn.errors import OptionError
from rlfn.images.coding import UNKNOWN_CODING, CodingInfo
from rlfn.images.files import read_picture
from rlfn.images.resize import resize
from rlfn.inference.restore import (
    BLOCKS,
    CODED,
    GRAIN,
    JPEG_QUALITY,
    NOISE,
    STEP,
    PixelEvidence,
    check_restore,
    choose_strength,
    measure,
    strength_for,
)


def clean(height: int = 160, width: int = 200, seed: int = 0) -> NDArray[np.uint8]:
    """Return a picture with slopes, edges and texture, reduced as test sets are."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: 4 * height, : 4 * width]
    texture = np.repeat(np.repeat(random.integers(-40, 40, (height // 2, width // 2)), 8, 0), 8, 1)
    gray = 120 + 60 * np.sin(x / 97) * np.cos(y / 71) + 50 * ((x // 60 + y // 44) % 2) + texture
    tint = np.array([1.0, 0.9, 0.75])
    return resize(np.clip(gray[..., None] * tint, 0, 255).astype(np.uint8), scale=0.25)


def noisy(image: NDArray[np.uint8], sigma: float, alike: bool = False) -> NDArray[np.uint8]:
    shape = (*image.shape[:2], 1) if alike else image.shape
    noise = sigma * np.random.default_rng(1).standard_normal(shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", "420"))


@pytest.mark.parametrize("seed", range(4))
def test_a_clean_picture_is_left_alone(seed: int) -> None:
    image = clean(seed=seed)
    for shown in (image, image[..., 0], np.dstack([image, image[..., 0]]), image.astype(np.uint16) * 257):
        assert choose_strength(np.ascontiguousarray(shown), CodingInfo(False)).strength == 0.0
    assert choose_strength(image).reason == "no traces of coding or noise"


@pytest.mark.parametrize("sigma", [3, 5, 10])
def test_noise_is_measured_in_levels(sigma: int) -> None:
    image = noisy(clean(), sigma)
    signs = measure(image)
    assert abs(signs.noise - sigma) < 0.2 * sigma
    choice = choose_strength(image)
    assert choice.strength > 0
    assert choice.reason.startswith("chroma noise of ")
    deep = measure(image.astype(np.uint16) * 257)
    assert abs(deep.noise - signs.noise) < 1e-9


def test_luma_noise_alone_counts_as_grain() -> None:
    for image in (noisy(clean(), 14, alike=True), noisy(clean(), 14, alike=True)[..., 1]):
        choice = choose_strength(np.ascontiguousarray(image))
        assert choice.strength > 0
        assert choice.reason.startswith("luma noise of ")


@pytest.mark.parametrize("quality", [30, 60, 75])
@pytest.mark.parametrize("cut", [(0, 0), (3, 5)], ids=["whole", "cut off its grid"])
def test_blocks_of_a_jpeg_are_seen_in_pixels_whatever_the_file_says(quality: int, cut: tuple[int, int]) -> None:
    image = np.ascontiguousarray(read_picture(jpeg(clean(), quality)).pixels[cut[0] :, cut[1] :])
    choice = choose_strength(image, CodingInfo(False))
    assert choice.strength > 0
    assert choice.reason == "JPEG blocking in the pixels"


def test_the_quality_of_a_jpeg_counts_and_the_reason_tells_it() -> None:
    picture = read_picture(jpeg(clean(), 70))
    choice = choose_strength(picture.pixels, picture.coding)
    assert (choice.strength, choice.reason) == (1.0, "JPEG of quality 70, subsampled chroma")


@pytest.mark.parametrize(
    ("rows", "facts", "least"),
    [
        (JPEG_QUALITY, lambda limit: (CodingInfo(True, limit), PixelEvidence()), False),
        (BLOCKS, lambda limit: (UNKNOWN_CODING, PixelEvidence(blocks=limit)), True),
        (NOISE, lambda limit: (UNKNOWN_CODING, PixelEvidence(noise=limit)), True),
        (GRAIN, lambda limit: (UNKNOWN_CODING, PixelEvidence(grain=limit)), True),
    ],
    ids=["quality", "blocks", "noise", "grain"],
)
def test_every_row_of_the_tables(rows, facts, least: bool) -> None:
    for limit, strength in rows:
        assert strength_for(*facts(limit)).strength == strength
        assert strength % STEP == 0
    assert [strength for _, strength in rows] == sorted((strength for _, strength in rows), reverse=True)
    outside = rows[-1][0] * 0.99 if least else rows[-1][0] + 1
    assert strength_for(*facts(outside)).strength == 0.0


def test_the_strongest_fact_decides() -> None:
    assert strength_for(CodingInfo(True, 95), PixelEvidence(noise=20.0)).reason == "chroma noise of 20.0 levels"
    assert strength_for(CodingInfo(True), PixelEvidence()).strength == CODED
    assert strength_for(CodingInfo(True, 99), PixelEvidence()).reason == "JPEG of quality 99"


@pytest.mark.parametrize(("given", "meant"), [("auto", "auto"), ("off", 0.0), (0.3, 0.25), ("0.9", 1.0), (1, 1.0)])
def test_what_may_be_asked_for(given: float | str, meant: float | str) -> None:
    assert check_restore(given) == meant


@pytest.mark.parametrize("given", ["of", -0.1, 1.1, float("nan"), None, ""])
def test_what_may_not_be_asked_for(given: object) -> None:
    with pytest.raises(OptionError, match="Allowed: auto, off, or a number from 0"):
        check_restore(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(1, 1), (5, 300, 3), (300, 5, 4), (24, 24, 3), (31, 25)])
def test_pictures_of_any_size_can_be_judged(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert 0.0 <= choose_strength(image).strength <= 1.0


def test_what_transparency_hides_does_not_count() -> None:
    image = np.dstack([noisy(clean(), 20), np.zeros((160, 200), np.uint8)])
    assert choose_strength(image).strength == 0.0
