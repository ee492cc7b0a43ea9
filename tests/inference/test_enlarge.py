"""The pipeline: which models are loaded, and when."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from rlfn.errors import ModelError
from rlfn.inference.engines import ENGINES, Engine
from rlfn.inference.enlarge import Enlarger
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.sizing import Wanted
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.models import catalog
from rlfn.models.source import ModelSource
from waiting import PATIENCE

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the engines that load a model, in order."""
    found: list[str] = []

    def counted(name: str) -> None:
        load = ENGINES[name].load

        def loading(model: ModelSource, threads: int | None, precision: str) -> Engine:
            found.append(name)
            return load(model, threads, precision)

        monkeypatch.setitem(ENGINES, name, replace(ENGINES[name], load=loading))

    for name in ENGINES:
        counted(name)
    return found


@pytest.mark.parametrize("format", [catalog.GRAPH, catalog.TENSORS])
@pytest.mark.parametrize("pixels", [600, None])
def test_a_model_file_is_loaded_once(tmp_path: Path, loads: list[str], format: str, pixels: int | None) -> None:
    if format == catalog.TENSORS:
        pytest.importorskip("torch")
    source = catalog.get_model("rlfn-xs-x2").file(format).path
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes())
    pool = UpscalerPool()
    enlarger = Enlarger(EnlargeOptions(model=path, threads=1), pool)
    assert enlarger.size(30, 20) == (60, 40)
    assert enlarger.with_auto_engine(pixels)(IMAGE).image.shape == (40, 60, 3)
    assert (
        Enlarger(EnlargeOptions(model=path, threads=1), pool).with_auto_engine(pixels)(IMAGE).plan.upscaler.model
        == path.stem
    )
    assert len(loads) == 1


def test_a_file_without_the_network_s_traits_is_refused_before_it_is_loaded(tmp_path: Path, loads: list[str]) -> None:
    path = tmp_path / "bare.onnx"
    path.write_bytes(b"")
    with pytest.raises(ModelError, match=r"bare\.onnx: .*variant is missing"):
        Enlarger(EnlargeOptions(model=path))
    path.write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"bare\.onnx is not an ONNX graph"):
        Enlarger(EnlargeOptions(model=path))
    assert loads == []


def test_a_reduced_texture_stays_seamless(nearest: type) -> None:
    enlarger = Enlarger(EnlargeOptions(Wanted(2), engine=nearest(), wrap=True))
    shifted = enlarger(np.roll(IMAGE, (7, 11), axis=(0, 1))).image
    np.testing.assert_array_equal(shifted, np.roll(enlarger(IMAGE).image, (14, 22), axis=(0, 1)))


def _options(model: str, **options: object) -> EnlargeOptions:
    return EnlargeOptions(model=model, engine="onnxruntime", threads=1, **options)  # type: ignore[arg-type]


def test_a_loaded_model_is_had_while_another_loads(monkeypatch: pytest.MonkeyPatch, nearest: type) -> None:
    begun, go_on = Event(), Event()
    loaded: list[str] = []

    def load(model: ModelSource, threads: int | None, precision: str) -> Engine:
        loaded.append(model.name)
        if model.name == "rlfn-s-x4":
            begun.set()
            assert go_on.wait(PATIENCE)
        engine: Engine = nearest()
        return engine

    monkeypatch.setitem(ENGINES, "onnxruntime", replace(ENGINES["onnxruntime"], load=load))
    pool = UpscalerPool()
    kept = pool.get(_options("rlfn-xs-x4"), "rlfn-xs-x4")
    with ThreadPoolExecutor(3) as threads:
        try:
            slow = [threads.submit(pool.get, _options("rlfn-s-x4"), "rlfn-s-x4") for _ in range(2)]
            assert begun.wait(PATIENCE)
            assert threads.submit(pool.get, _options("rlfn-xs-x4"), "rlfn-xs-x4").result(PATIENCE) is kept
        finally:
            go_on.set()
        assert slow[0].result(PATIENCE) is slow[1].result(PATIENCE)
    assert loaded == ["rlfn-xs-x4", "rlfn-s-x4"]


def test_a_model_that_could_not_be_loaded_is_tried_again(monkeypatch: pytest.MonkeyPatch, nearest: type) -> None:
    fails = [True, False]

    def load(model: ModelSource, threads: int | None, precision: str) -> Engine:
        if fails.pop(0):
            raise ModelError("It is damaged.")
        engine: Engine = nearest()
        return engine

    monkeypatch.setitem(ENGINES, "onnxruntime", replace(ENGINES["onnxruntime"], load=load))
    pool = UpscalerPool()
    with pytest.raises(ModelError, match="damaged"):
        pool.get(_options("rlfn-s-x4"), "rlfn-s-x4")
    assert pool.get(_options("rlfn-s-x4"), "rlfn-s-x4") is pool.get(_options("rlfn-s-x4"), "rlfn-s-x4")


def test_the_pool_keeps_those_that_were_used_last(nearest: type) -> None:
    pool = UpscalerPool(2)
    first, second = (pool.get(_options("rlfn-s-x4", tile=tile), "rlfn-s-x4") for tile in (48, 60))
    assert pool.get(_options("rlfn-s-x4", tile=48), "rlfn-s-x4") is first
    pool.get(_options("rlfn-s-x4", tile=72), "rlfn-s-x4")
    assert pool.get(_options("rlfn-s-x4", tile=48), "rlfn-s-x4") is first
    assert pool.get(_options("rlfn-s-x4", tile=60), "rlfn-s-x4") is not second
