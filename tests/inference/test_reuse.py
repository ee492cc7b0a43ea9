"""Tiles that are not computed again: the result is what it would have been, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rlfn.inference.engines import OnnxRuntimeEngine
from rlfn.inference.part_upscaler import PartUpscaler
from rlfn.inference.reuse import TileCache

SIDE = 150


def sequence(shape: tuple[int, ...], kind: Any) -> list[NDArray[Any]]:
    """Return images of which some change nowhere, some in a corner, and some everywhere; bright borders come and go."""
    random = np.random.default_rng(0)
    first = random.integers(0, 200, shape).astype(kind)
    corner = first.copy()
    corner[:9, :9] += 30
    other = random.integers(0, 200, shape).astype(kind)
    framed = corner.copy()
    framed[-8:] = 180  # a flat, bright border is continued by a mirror
    return [first, first.copy(), corner, first, other, other.copy(), framed, framed.copy(), corner]


@pytest.mark.parametrize(("shape", "kind"), [((SIDE, SIDE, 3), np.uint8), ((SIDE, SIDE), np.uint16)])
def test_results_are_the_same_to_the_bit(shape: tuple[int, ...], kind: Any) -> None:
    upscaler, cache = PartUpscaler("rlfn-xxs-photo-x2", engine="onnxruntime", threads=1, tile=96), TileCache()
    for image in sequence(shape, kind):
        np.testing.assert_array_equal(upscaler(image, cache=cache), upscaler(image))
    assert cache.reused > cache.computed / 3


def test_tiles_of_a_network_that_sees_the_whole_picture_are_the_same_too() -> None:
    upscaler, cache = PartUpscaler("rlfn-s-x2", engine="onnxruntime", threads=1, tile=96), TileCache()
    for image in (image[:100, :100] for image in sequence((SIDE, SIDE, 3), np.uint8)[1:3]):
        np.testing.assert_array_equal(upscaler(image, cache=cache), upscaler(image))
    assert cache.reused > 0


def test_only_what_changed_is_computed(nearest: Any) -> None:
    upscaler, cache = PartUpscaler("rlfn-s-x4", tile=60), TileCache()
    counts = []
    for image in sequence((SIDE, SIDE, 3), np.uint8)[:6]:
        before = cache.computed
        upscaler(image, cache=cache)
        counts.append(cache.computed - before)
    everything = counts[0]
    assert everything > 4
    assert counts == [everything, 0, 1, 1, everything, 0]
    assert cache.reused == 6 * everything - sum(counts)


def test_scattered_changes_do_not_cost_more_than_the_whole_image(monkeypatch: pytest.MonkeyPatch) -> None:
    upscaler, cache, read = PartUpscaler("rlfn-xxs-photo-x2", engine="onnxruntime", threads=1), TileCache(), 0
    engine = OnnxRuntimeEngine.__call__

    def count(self: OnnxRuntimeEngine, lr: NDArray[np.float32], *rest: Any) -> NDArray[np.float32]:
        nonlocal read
        read += lr[0, 0].size
        return engine(self, lr, *rest)

    monkeypatch.setattr(OnnxRuntimeEngine, "__call__", count)
    random = np.random.default_rng(1)
    first = random.integers(0, 200, (300, 300, 3)).astype(np.uint8)
    upscaler(first, cache=cache)
    whole, corner = read, first.copy()
    corner[:9, :9] += 30
    upscaler(corner, cache=cache)
    assert 0 < read - whole < whole / 4
    scattered = corner.copy()
    scattered[20:-20:80, 20:-20:80] += 30
    before, cells, reused = read, cache.computed + cache.reused, cache.reused
    result = upscaler(scattered, cache=cache)
    assert read - before == whole
    assert cache.reused == reused
    assert cache.computed + cache.reused == cells * 3 / 2
    np.testing.assert_array_equal(result, upscaler(scattered))


def test_a_failure_leaves_nothing_behind() -> None:
    upscaler, cache = PartUpscaler("rlfn-xxs-photo-x2", engine="onnxruntime", threads=1, tile=96), TileCache()
    first, _, corner = sequence((SIDE, SIDE, 3), np.uint8)[:3]
    upscaler(first, cache=cache)

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscaler(corner, cache=cache, progress=stop)
    np.testing.assert_array_equal(upscaler(corner, cache=cache), upscaler(corner))


def test_pictures_with_alpha_are_computed_whole() -> None:
    upscaler, cache = PartUpscaler("rlfn-xxs-photo-x2", engine="onnxruntime", threads=1, tile=96), TileCache()
    image = sequence((SIDE, SIDE, 4), np.uint8)[0]
    for _ in range(2):
        np.testing.assert_array_equal(upscaler(image, cache=cache), upscaler(image))
    assert cache.computed == cache.reused == 0


def test_neighbours_that_changed_are_computed_together() -> None:
    """Of a local network; what is put together is cut again where it is large."""
    parts: list[tuple[int, int]] = []
    upscaler = PartUpscaler("rlfn-xxs-photo-x2", engine="onnxruntime", threads=1, tile=128)

    def watched(found: Any) -> Any:
        for part in found:
            parts.append(part.pixels.shape[:2])
            yield from upscaler.compute(part)

    cache = TileCache()
    first = np.random.default_rng(0).integers(0, 200, (300, 310, 3), np.uint8)
    spot, band = first.copy(), first.copy()
    spot[100:120, 150:160] += 30
    band[130:] += 30
    for image in (first, spot, spot, band):
        parts.clear()
        np.testing.assert_array_equal(upscaler(image, cache=cache, run=watched), upscaler(image))
        assert all(max(shape) <= 128 for shape in parts)
        if image is spot:
            assert len(parts) <= 1
            assert sum(height * width for height, width in parts) < 128 * 128
        else:
            assert len(parts) >= 6
