"""Model files that are damaged, foreign or malicious: refused before any work, with one clear message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rlfn.images.files import Picture, write_picture
from rlfn.models import catalog


def make(name: str) -> None:
    write_picture(Picture(np.zeros((20, 30, 3), np.uint8)), Path(name))


def assert_refused(done, words: str) -> None:
    assert (done.status, done.out) == (2, b"")
    assert words in done.err
    assert done.err.count("\n") == 1


def model_files(folder: Path) -> Iterator[Path]:
    """Write files that are no models, each in its own way."""
    graph = catalog.get_model("rlfn-s-x4").file("onnx").read()
    for suffix in (".onnx", ".safetensors", ".pth"):
        for name, data in (("empty", b""), ("garbage", b"garbage" * 20), ("cut", graph[: len(graph) // 2])):
            path = folder / f"{name}{suffix}"
            path.write_bytes(data)
            yield path


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_damaged_and_foreign_models(command, tmp_path: Path, engine: str) -> None:
    for module in (engine, "torch"):
        pytest.importorskip(module)
    make("a.png")
    for path in model_files(tmp_path):
        done = command("upscale", "a.png", "-o", "out.png", "-m", path.name, "--engine", engine)
        assert_refused(done, path.name)
    assert not Path("out.png").exists()


def test_foreign_weights_and_a_malicious_pickle(command, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return Path.touch, (Path("pwned"),)  # type: ignore[return-value]

    make("a.png")
    torch.save({"w": Evil()}, "evil.pth")
    torch.save({"w": torch.zeros(3)}, "foreign.pth")
    save_file({"w": torch.zeros(3)}, "foreign.safetensors")
    for name, words in (
        ("evil.pth", "holds objects other than tensors"),
        ("foreign.pth", "that match no known network"),
        ("foreign.safetensors", "that match no known network"),
    ):
        assert_refused(command("upscale", "a.png", "-m", name), words)
    assert not Path("pwned").exists()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_graphs_that_rlfn_did_not_write(command, engine: str) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip(engine)
    ends = [onnx.helper.make_tensor_value_info(name, 1, [1, 3, "h", "w"]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    make("a.png")
    onnx.save(model, "bare.onnx")
    facts = {"variant": "x", "scale": "4", "min_side": "15", "margin": "20", "stride": "6", "value_range": "255"}
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, "lying.onnx")
    for name, words in (("bare.onnx", "lacks metadata of its network"), ("lying.onnx", "takes x. Networks")):
        assert_refused(command("upscale", "a.png", "-m", name, "--engine", engine), words)
