"""All engines compute the same picture; what is not a model is refused."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from rlfn.errors import MissingExtraError, ModelError, OptionError
from rlfn.inference import engines
from rlfn.inference.engines import ENGINES, OnnxRuntimeEngine, choose_engine, load_engine
from rlfn.inference.upscaler import Upscaler
from rlfn.models import catalog
from rlfn.models.reference import Reference

SIZES = [(1, 1), (2, 2), (14, 14), (15, 15), (16, 16), (17, 17), (33, 21), (5, 61)]


@pytest.fixture(scope="module")
def upscalers() -> dict[str, Upscaler]:
    return {name: Upscaler("rlfn-s-x4", name) for name, row in ENGINES.items() if find_spec(row.module)}


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_engines_agree(upscalers: dict[str, Upscaler], height: int, width: int, kind: type) -> None:
    top = np.iinfo(kind).max
    image = np.random.default_rng(height * width).integers(0, top + 1, (height, width, 3)).astype(kind)
    results = {name: upscaler(image).astype(int) for name, upscaler in upscalers.items()}
    for result in results.values():
        assert result.shape == (4 * height, 4 * width, 3)
        assert np.abs(result - results["onnxruntime"]).max() <= top // 255


def test_tiles_agree_across_engines(upscalers: dict[str, Upscaler]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (90, 100, 3), np.uint8)
    results = {name: Upscaler("rlfn-s-x4", name, tile=96)(image).astype(int) for name in upscalers}
    for result in results.values():
        assert np.abs(result - results["onnxruntime"]).max() <= 1


def test_idle_threads_of_onnxruntime_leave_the_cores_to_others() -> None:
    engine = OnnxRuntimeEngine(Reference("rlfn-xs-x2").graph(), threads=2)
    options = engine._session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


def test_auto_prefers_openvino_on_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Reference("rlfn-s-x4")
    monkeypatch.setattr(engines, "find_spec", lambda name: object())
    monkeypatch.setattr(engines.platform, "machine", lambda: "x86_64")
    assert choose_engine(source) == "openvino"
    monkeypatch.setattr(engines.platform, "machine", lambda: "arm64")
    assert choose_engine(source) == "onnxruntime"
    monkeypatch.setattr(engines, "find_spec", lambda name: object() if name == "onnxruntime" else None)
    monkeypatch.setattr(engines.platform, "machine", lambda: "x86_64")
    assert choose_engine(source) == "onnxruntime"


def test_an_engine_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rlfn\[openvino\]'"):
        load_engine("openvino", Reference("rlfn-s-x4"))


def test_bad_names(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean 'openvino'"):
        Upscaler(engine="openvno")
    with pytest.raises(OptionError, match="0 threads"):
        Upscaler(threads=0)
    with pytest.raises(OptionError, match="Did you mean 'rlfn-s-x4'"):
        Upscaler("rlfn-s-x44")
    with pytest.raises(OptionError, match=r"Files end in \.onnx"):
        Upscaler(tmp_path / "weights.bin")
    with pytest.raises(ModelError, match="no model file"):
        Upscaler(tmp_path / "weights.onnx")


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x09" * 50])
def test_damaged_graphs(tmp_path: Path, engine: str, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"cannot be loaded as an ONNX graph|does not say"):
        Upscaler(path, engine)


def test_foreign_graphs_are_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    shape = ["n", 3, "h", "w"]
    infos = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", infos[:1], infos[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    path = tmp_path / "foreign.onnx"
    onnx.save(model, path)
    for engine in ("onnxruntime", "openvino"):
        with pytest.raises(ModelError, match="does not say what the runtime must know"):
            Upscaler(path, engine)
    with pytest.raises(OptionError, match="which torch cannot run"):
        Upscaler(path, "torch")


def test_a_damaged_package_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = catalog.get_model("rlfn-s-x4")
    file = model.file(catalog.GRAPH)
    copy = tmp_path / file.path.name
    copy.write_bytes(file.path.read_bytes()[:-1] + b"\0")
    damaged = catalog.ModelFile(copy, file.format, file.precision, file.sha256, {})
    with pytest.raises(ModelError, match="SHA-256"):
        damaged.read()
