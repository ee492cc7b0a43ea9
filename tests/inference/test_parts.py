"""Parts of an image, computed elsewhere and in any order, make the very same image."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rlfn.inference.engines import ENGINES
from rlfn.inference.part_upscaler import PartUpscaler
from rlfn.inference.parts import Computed, ImagePart

MODEL = "rlfn-s-x2"
TILED = [name for name in ("onnxruntime", "openvino") if find_spec(ENGINES[name].module)]


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


class Elsewhere:
    """Computes parts the last one first, each after a journey as bytes, and by an upscaler that made one too."""

    def __init__(self, upscaler: PartUpscaler) -> None:
        self.away: PartUpscaler = pickle.loads(pickle.dumps(upscaler))
        self.parts = 0

    def __call__(self, parts: Iterable[ImagePart]) -> Iterator[Computed]:
        for part in reversed(list(parts)):
            self.parts += 1
            yield from self.away.compute(pickle.loads(pickle.dumps(part)))


@pytest.mark.parametrize(
    ("shape", "how"),
    [((40, 90), {}), ((40, 90, 3), {"self_ensemble": True}), ((60, 50, 4), {"wrap": True}), ((9, 150, 3), {})],
)
def test_the_order_and_the_place_do_not_matter(shape: tuple[int, ...], how: dict[str, Any]) -> None:
    here = PartUpscaler("rlfn-xs-x2", engine=TILED[0], threads=1, tile=60)
    elsewhere = Elsewhere(here)
    np.testing.assert_array_equal(here(noise(*shape), run=elsewhere, **how), here(noise(*shape), **how))
    assert elsewhere.parts > 1


@pytest.mark.parametrize("engine", TILED)
def test_every_engine_of_tiles_can_be_elsewhere(engine: str) -> None:
    here = PartUpscaler(MODEL, engine=engine, threads=1, tile=96)
    elsewhere = Elsewhere(here)
    np.testing.assert_array_equal(here(noise(100, 100, 3), run=elsewhere), here(noise(100, 100, 3)))
    assert elsewhere.parts == 4


@pytest.mark.parametrize("engine", TILED)
def test_results_stay_when_the_next_part_is_computed(engine: str) -> None:
    """Several processes compute an image, and it is put together behind them."""
    upscaler = PartUpscaler("rlfn-xs-x2", engine=engine, threads=1, tile=60)

    def late(parts: Iterable[ImagePart]) -> Iterator[Computed]:
        yield from [computed for part in parts for computed in upscaler.compute(part)]

    np.testing.assert_array_equal(upscaler(noise(40, 150, 3), run=late), upscaler(noise(40, 150, 3)))


def test_an_engine_of_columns_can_be_elsewhere() -> None:
    here = PartUpscaler(MODEL, engine="ncnn", threads=2)
    elsewhere = Elsewhere(here)
    np.testing.assert_array_equal(here(noise(30, 1500, 3), run=elsewhere), here(noise(30, 1500, 3)))
    assert elsewhere.parts == 2


def test_nothing_is_computed_here_while_parts_are_elsewhere() -> None:
    here = PartUpscaler(MODEL, engine=TILED[0], threads=1, tile=90)

    def nowhere(parts: Iterable[ImagePart]) -> Iterator[Computed]:
        raise AssertionError("not asked for")

    with pytest.raises(AssertionError, match="not asked for"):
        here(noise(20, 20, 3), run=nowhere)
    assert here(noise(20, 20, 3)).shape == (40, 40, 3)
