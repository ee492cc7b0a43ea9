"""Every export format computes what torch does, in its own runtime, before its file appears."""

from __future__ import annotations

import errno
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rlfn.errors import MissingExtraError, ModelError, OptionError, OutputError
from rlfn.export import checks, formats, openvino
from rlfn.export.executorch import FACTS_METHOD
from rlfn.export.formats import FORMATS, Format, export
from rlfn.export.request import Request, parse_shape
from rlfn.export.torch_files import write_torchscript
from rlfn.inference.upscaler import Upscaler
from rlfn.models.variants import VARIANTS, RLFNFields, Variant
from rlfn.networks import Checkpoint, build, save_checkpoint
from rlfn.networks.graph import source_hash

TINY = Variant("rlfn-custom", "rlfn", RLFNFields(blocks=1, channels=6, mid=6, esa_channels=4), "for tests")

NEEDS = {
    "openvino": ("openvino",),
    "ncnn": ("pnnx", "ncnn"),
    "tflite": ("litert_torch", "ai_edge_litert"),
    "executorch": ("executorch",),
}
"""Formats whose converter and runtime are extras, and the modules that say whether they are there."""


def require(to: str, precision: str) -> None:
    for module in NEEDS.get(to, ()):
        pytest.importorskip(module)
    if (to, precision) == ("openvino", "int8"):
        pytest.importorskip("nncf")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    network = build(TINY, 2).eval()
    network.start_as_interpolation()
    return Checkpoint(network.requires_grad_(False), TINY, 2)


CASES = [(to, precision) for to, row in FORMATS.items() for precision in row.precisions]


@pytest.mark.parametrize(("to", "precision"), CASES)
@pytest.mark.parametrize(("shape", "image_io"), [(None, False), ((1, 3, 21, 34), True)], ids=["any", "fixed-bytes"])
def test_every_format_equals_torch(
    checkpoint: Checkpoint, tmp_path: Path, to: str, precision: str, shape: tuple[int, ...] | None, image_io: bool
) -> None:
    require(to, precision)
    row = FORMATS[to]
    image_io = image_io and row.image_io
    shape = shape if row.any_size else (1, 3, 21, 34)
    path = tmp_path / f"tiny{row.suffixes[0]}"
    report = export(checkpoint, to, path, Request(precision, shape, image_io))
    assert set(tmp_path.iterdir()) == set(report.files) == set(row.files(path))
    assert report.size == sum(file.stat().st_size for file in report.files)
    assert report.agreement.psnr >= {"fp32": 90, "fp16": 60, "int8": 40}[precision] - 20 * image_io
    # the file that appeared, and not only the one that was checked, at a size that was not
    height, width = (21, 34) if shape else (29, 22)
    lr = np.random.default_rng(1).integers(30, 220, (1, 3, height, width)).astype(np.float32)
    wanted = checkpoint.network(torch.from_numpy(lr)).numpy()
    if image_io:
        lr = lr.transpose(0, 2, 3, 1).astype(np.uint8)
        wanted = np.floor(wanted + 0.5).clip(0, 255).transpose(0, 2, 3, 1)
    found = row.load(path)(np.ascontiguousarray(lr))
    assert found.dtype == (np.uint8 if image_io else np.float32)
    assert np.abs(found.astype(float) - wanted).max() <= {"fp32": 0.01, "fp16": 1.0, "int8": 40}[precision] + image_io


@pytest.mark.parametrize("name", [name for name, row in VARIANTS.items() if row.architecture != "rlfn"][::3])
def test_other_architectures(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    other = Checkpoint(build(VARIANTS[name], 2).eval().requires_grad_(False), VARIANTS[name], 2)
    export(other, "torchscript", tmp_path / "x.pt", Request(shape=(1, 3, 24, 24)))


@pytest.fixture(scope="module")
def half(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("half") / "x.onnx"
    export(checkpoint, "onnx", path, Request("fp16"))
    return path


def test_metadata_and_half_weights_are_inside(half: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(half)
    found = {item.key: item.value for item in model.metadata_props}
    assert found["source_sha256"] == source_hash(checkpoint)
    assert (found["variant"], found["scale"], found["value_range"]) == ("rlfn-custom", "2", "255")
    weights = [item for item in model.graph.initializer if item.name.endswith("weight")]
    assert weights
    assert all(item.data_type == onnx.TensorProto.FLOAT16 for item in weights)
    for to, suffix in (("torchscript", ".pt"), ("torch-export", ".pt2")):
        export(checkpoint, to, tmp_path / f"x{suffix}")
        with zipfile.ZipFile(tmp_path / f"x{suffix}") as archive:
            (name,) = (name for name in archive.namelist() if "rlfn.json" in name)
            assert json.loads(archive.read(name))["source_sha256"] == source_hash(checkpoint)
    runtime = pytest.importorskip("openvino")
    export(checkpoint, "openvino", tmp_path / "x.xml", Request("fp16"))
    graph = runtime.Core().read_model(tmp_path / "x.xml")
    assert graph.get_rt_info(["rlfn", "source_sha256"]).astype(str) == source_hash(checkpoint)


def test_an_executorch_file_says_what_it_is(checkpoint: Checkpoint, tmp_path: Path) -> None:
    runtime = pytest.importorskip("executorch.runtime")
    export(checkpoint, "executorch", tmp_path / "x.pte", Request(shape=(2, 3, 20, 24)))
    program = runtime.Runtime.get().load_program((tmp_path / "x.pte").read_bytes())
    (facts,) = program.load_method(FACTS_METHOD).execute([])
    assert json.loads(facts)["source_sha256"] == source_hash(checkpoint)


def test_a_dynamic_fp16_file_runs_in_the_upscaler(half: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    weights = tmp_path / "x.safetensors"
    save_checkpoint(weights, checkpoint.network, checkpoint.variant, checkpoint.scale)
    image = checks.photograph()[:40, :50]
    wanted = Upscaler(weights, "torch")(image).astype(int)
    assert np.abs(Upscaler(half, "onnxruntime")(image) - wanted).max() <= 1


def test_files_that_tiles_cannot_run_are_refused_by_the_upscaler(checkpoint: Checkpoint, tmp_path: Path) -> None:
    export(checkpoint, "onnx", tmp_path / "x.onnx", Request(shape=(1, 3, 20, 20)))
    with pytest.raises(ModelError, match="writes for any size"):
        Upscaler(tmp_path / "x.onnx", "onnxruntime")


def test_an_export_that_differs_is_not_written(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A converter that computes something else: here another network's file."""
    torch.manual_seed(7)
    other = replace(checkpoint, network=build(TINY, 2).eval().requires_grad_(False))
    row = replace(FORMATS["torchscript"], write=lambda given, request, path: write_torchscript(other, request, path))
    monkeypatch.setitem(formats.FORMATS, "torchscript", row)
    with pytest.raises(ModelError, match=r"differs from torch by up to .* Nothing was written"):
        export(checkpoint, "torchscript", tmp_path / "x.pt")
    scaled = replace(checkpoint, network=build(TINY, 3).eval().requires_grad_(False), scale=3)
    row = replace(row, write=lambda given, request, path: write_torchscript(scaled, request, path))
    monkeypatch.setitem(formats.FORMATS, "torchscript", row)
    with pytest.raises(ModelError, match="where torch returns"):
        export(checkpoint, "torchscript", tmp_path / "x.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_converter_that_fails_says_so(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("no such operator")

    row: Format = replace(FORMATS["onnx"], write=broken)
    monkeypatch.setitem(formats.FORMATS, "onnx", row)
    with pytest.raises(ModelError, match=r"cannot be converted to onnx fp32: KeyError: 'no such operator'"):
        export(checkpoint, "onnx", tmp_path / "x.onnx")
    monkeypatch.setitem(formats.FORMATS, "onnx", replace(row, write=lambda *_: None))
    with pytest.raises(ModelError, match=r"wrote no x\.onnx"):
        export(checkpoint, "onnx", tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(given: Checkpoint, request: Request, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(formats.FORMATS, "onnx", replace(FORMATS["onnx"], write=full))
    with pytest.raises(OutputError, match="No space left on device"):
        export(checkpoint, "onnx", tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match="cannot be written"):
        export(checkpoint, "torchscript", tmp_path / "none" / "x.pt")


def test_a_missing_converter_names_its_extra(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rlfn\[openvino\]'"):
        openvino.write_openvino(checkpoint, Request(), tmp_path / "x.xml")


def test_what_a_format_does_not_have(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean 'openvino'"):
        export(checkpoint, "openvno", tmp_path / "x.xml")
    with pytest.raises(OptionError, match="Allowed: fp32"):
        export(checkpoint, "torchscript", tmp_path / "x.pt", Request("fp16"))
    with pytest.raises(OptionError, match=r"ends in \.xml"):
        export(checkpoint, "openvino", tmp_path / "x.onnx")
    with pytest.raises(OptionError, match="at least 15 px"):
        export(checkpoint, "onnx", tmp_path / "x.onnx", Request(shape=(1, 3, 14, 20)))
    with pytest.raises(OptionError, match="Only int8 is calibrated"):
        export(checkpoint, "onnx", tmp_path / "x.onnx", Request(calibration=tmp_path))
    for text in ("1x3x20", "1x4x20x20", "1x3x0x20", "big"):
        with pytest.raises(OptionError, match="1x3x180x320"):
            parse_shape(text)
    with pytest.raises(OptionError, match="shape=1x3x180x320"):
        export(checkpoint, "tflite", tmp_path / "x.tflite")
    for request in (Request(image_io=True), Request(shape=(2, 3, 20, 20))):
        with pytest.raises(OptionError, match=r"formats have: onnx|one picture at a time"):
            export(checkpoint, "ncnn", tmp_path / "x.ncnn.param", request)
    assert list(tmp_path.iterdir()) == []


def test_the_command(command, checkpoint: Checkpoint, tmp_path: Path) -> None:
    weights = tmp_path / "mine.safetensors"
    save_checkpoint(weights, checkpoint.network, checkpoint.variant, checkpoint.scale)
    target = tmp_path / "mine.pt"
    arguments = ["export", str(weights), "--to", "torchscript", "--shape", "1x3x16x20", "-o", str(target)]
    said = command(*arguments).out.decode()
    assert target.is_file()
    assert "PSNR" in said
    assert "ms at 20x16" in said
    assert "Replace it with --overwrite" in command(*arguments).err
    listed = command("export", "--list").out.decode()
    assert all(name in listed for name in FORMATS)
