"""All engines compute the same picture; what is not a model is refused."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from rlfn.errors import MissingExtraError, ModelError, OptionError
from rlfn.inference import engines, hardware
from rlfn.inference.engine_order import TABLE
from rlfn.inference.engines import ENGINES, OnnxRuntimeEngine, choose_engine, choose_precision, load_engine
from rlfn.inference.upscaler import Upscaler
from rlfn.models import catalog
from rlfn.models.source import ModelSource

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
SIZES = [(1, 1), (2, 2), (14, 14), (15, 15), (16, 16), (17, 17), (33, 21), (5, 61)]


@pytest.fixture(scope="module")
def upscalers() -> dict[str, Upscaler]:
    return {name: Upscaler("rlfn-s-x4", engine=name) for name, row in ENGINES.items() if find_spec(row.module)}


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
    results = {name: Upscaler("rlfn-s-x4", engine=name, tile=96)(image).astype(int) for name in upscalers}
    for result in results.values():
        assert np.abs(result - results["onnxruntime"]).max() <= 1


def test_idle_threads_of_onnxruntime_leave_the_cores_to_others() -> None:
    engine = OnnxRuntimeEngine(ModelSource("rlfn-xs-x2").graph(), threads=2)
    options = engine._session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


@pytest.mark.parametrize(
    ("model", "have", "machine", "pixels", "installed", "precision", "wanted"),
    [
        ("rlfn-s-x4", {"avx2"}, "x86_64", None, {"onnxruntime", "openvino", "ncnn"}, "auto", "ncnn"),
        ("rlfn-s-x4", {"avx2"}, "x86_64", 10_000, {"onnxruntime", "openvino", "ncnn"}, "auto", "onnxruntime"),
        ("rlfn-s-x4", {"avx2"}, "x86_64", None, {"onnxruntime", "openvino"}, "auto", "openvino"),
        ("rlfn-s-x4", {"avx2"}, "x86_64", None, {"onnxruntime", "ncnn"}, "int8", "onnxruntime"),
        ("rlfn-xs-x4", {"avx2"}, "x86_64", None, {"onnxruntime", "openvino", "ncnn"}, "auto", "openvino"),
        ("rlfn-s-x4", {"avx2", "avx512f"}, "x86_64", None, {"onnxruntime", "openvino", "ncnn"}, "auto", "ncnn"),
        ("rlfn-s-x4", set(), "AMD64", None, {"onnxruntime", "openvino"}, "auto", "openvino"),
        ("rlfn-s-x4", set(), "arm64", None, {"onnxruntime", "openvino", "ncnn"}, "auto", "onnxruntime"),
        ("rlfn-s-x4", set(), "arm64", None, {"torch"}, "auto", "torch"),
    ],
)
def test_auto_follows_the_table(
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    have: set[str],
    machine: str,
    pixels: int | None,
    installed: set[str],
    precision: str,
    wanted: str,
) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: object() if name in installed else None)
    monkeypatch.setattr(engines, "features", lambda: frozenset(have))
    monkeypatch.setattr(engines.platform, "machine", lambda: machine)
    assert choose_engine(ModelSource(model), pixels, precision) == wanted


def test_every_row_of_the_table_has_engines_that_exist() -> None:
    assert not TABLE[-1].feature
    assert not TABLE[-1].pixels
    for row in TABLE:
        assert set(row.engines) == set(ENGINES) - {"torch"}


@pytest.mark.parametrize("name", ENGINES)
def test_a_missing_engine_names_what_installs_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install .*") as error:
        load_engine(name, ModelSource("rlfn-s-x4"))
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    base = {re.match(r"[a-z]+", row)[0] for row in project["dependencies"]}  # type: ignore[index]
    wanted = name if name in base else f"'rlfn[{name}]'"
    assert str(error.value).endswith(f": pip install {wanted}")
    assert name in base or name in project["optional-dependencies"]


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
    with pytest.raises(
        ModelError, match=r"is not an ONNX graph that can be trusted|cannot be loaded as an ONNX graph|lacks metadata"
    ):
        Upscaler(path, engine=engine)


def test_foreign_graphs_are_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    shape = ["n", 3, "h", "w"]
    infos = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", infos[:1], infos[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    path = tmp_path / "foreign.onnx"
    onnx.save(model, path)
    for engine in ("onnxruntime", "openvino"):
        with pytest.raises(ModelError, match="lacks metadata of its network"):
            Upscaler(path, engine=engine)
    with pytest.raises(OptionError, match="which torch cannot run"):
        Upscaler(path, engine="torch")


def test_a_damaged_package_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = catalog.get_model("rlfn-s-x4")
    file = model.file(catalog.GRAPH)
    copy = tmp_path / file.path.name
    copy.write_bytes(file.path.read_bytes()[:-1] + b"\0")
    damaged = catalog.ModelFile(copy, file.format, file.precision, file.sha256, {})
    with pytest.raises(ModelError, match="SHA-256"):
        damaged.read()


@pytest.mark.parametrize(
    ("flags", "amd", "engine", "model", "wanted"),
    [
        (set(), True, "openvino", "rlfn-s-x4", "fp32"),
        ({"avx512_bf16"}, True, "openvino", "rlfn-s-x4", "bf16"),
        ({"avx512_bf16"}, False, "openvino", "rlfn-s-x4", "fp32"),  # slower than fp32
        ({"avx512_bf16", "amx_bf16"}, False, "openvino", "rlfn-s-x4", "bf16"),
        ({"avx512_bf16"}, True, "onnxruntime", "rlfn-s-x4", "fp32"),
        ({"avx512_vnni"}, True, "onnxruntime", "rlfn-s-x4", "fp32"),  # int8 loses more than 0.03 dB
        ({"avx512_vnni"}, True, "onnxruntime", "rlfn-xs-x2", "int8"),
        ({"avx512_vnni"}, True, "onnxruntime", "rlfn-s-photo-x4", "int8"),  # more on Set5 alone, less on all sets
        ({"avx512_vnni", "avx512_bf16"}, True, "openvino", "rlfn-xs-x2", "int8"),
    ],
)
def test_auto_takes_a_native_precision_that_loses_little(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], amd: bool, engine: str, model: str, wanted: str
) -> None:
    base = catalog.get_model(model)
    scores = {"Set5": {**base.scores["Set5"], "psnr": base.scores["Set5"]["psnr"] - 0.02}}
    monkeypatch.setattr(catalog, "models", lambda: {model: replace(base, bf16=scores)})
    monkeypatch.setattr(engines, "features", lambda: frozenset(flags))
    monkeypatch.setattr(hardware, "is_amd", lambda: amd)
    assert choose_precision(engine, ModelSource(model)) == wanted


def test_a_loss_that_nobody_measured_is_not_risked(monkeypatch: pytest.MonkeyPatch) -> None:
    base = catalog.get_model("rlfn-s-x4")
    monkeypatch.setattr(catalog, "models", lambda: {"rlfn-s-x4": replace(base, bf16={})})
    monkeypatch.setattr(engines, "features", lambda: frozenset({"avx512_bf16"}))
    assert choose_precision("openvino", ModelSource("rlfn-s-x4")) == "fp32"


def test_a_precision_that_the_processor_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "features", lambda: frozenset())
    with pytest.raises(OptionError, match=r"openvino does not compute in bf16 on this processor\. It has: fp32, int8"):
        load_engine("openvino", ModelSource("rlfn-s-x4"), precision="bf16")
    monkeypatch.setattr(engines, "find_spec", lambda name: object() if name == "onnxruntime" else None)
    with pytest.raises(OptionError, match="No engine that is installed computes in bf16"):
        load_engine("auto", ModelSource("rlfn-s-x4"), precision="bf16")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_torch_computes_in_bf16_anywhere(precision: str) -> None:
    pytest.importorskip("torch")
    lr = np.random.default_rng(0).uniform(0, 255, (1, 3, 20, 24)).astype(np.float32)
    plain = load_engine("onnxruntime", ModelSource("rlfn-xs-x2"))(lr)
    engine = load_engine("torch", ModelSource("rlfn-xs-x2"), precision=precision)
    difference = np.abs(engine(lr) - plain).max()
    assert engine.precision == precision
    assert (difference > 0.05) == (precision == "bf16")
    assert difference < 8.0


def test_int8_of_a_user_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.onnx"
    path.write_bytes(catalog.get_model("rlfn-xs-x2").file(catalog.GRAPH).read())
    with pytest.raises(OptionError, match="is not a packaged model, so it has no int8 file"):
        load_engine("onnxruntime", ModelSource(str(path)), precision="int8")


def test_openvino_keeps_little_of_the_shapes_that_it_has_seen() -> None:
    """A folder of pictures of a thousand sizes took 0.9 GB."""
    pytest.importorskip("openvino")
    status = Path("/proc/self/statm")
    if not status.is_file():
        pytest.skip("the memory of a process is read from Linux's /proc")
    code = """
import numpy as np
from rlfn.inference.engines import load_engine
from rlfn.models.source import ModelSource
engine = load_engine("openvino", ModelSource("rlfn-xxs-photo-x2"), 1)
found = []
for number in range(400):
    engine(np.zeros((1, 3, 32 + number % 140, 150 - number % 130), np.float32))
    if number in (100, 399):
        found.append(int(open("/proc/self/statm").read().split()[1]) * 4096)
print(found[1] - found[0])
"""
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert grown < 50_000_000


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot interrupt itself there")
def test_ctrl_c_after_openvino_s_models_are_gone() -> None:
    """It was a segmentation fault after two of them had gone in the order in which they came."""
    pytest.importorskip("openvino")
    code = """
import gc, os, signal
from rlfn.inference.engines import load_engine
from rlfn.models.source import ModelSource
engines = [load_engine("openvino", ModelSource("rlfn-xxs-photo-x2"), 1) for number in range(2)]
while engines:
    del engines[0]
    gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
