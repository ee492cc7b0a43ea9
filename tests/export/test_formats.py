"""Every export format computes what torch does, in its own runtime, before its file appears."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rlfn.errors import MissingExtraError, ModelError, OptionError, OutputError
from rlfn.export import formats, openvino
from rlfn.export.executorch import FACTS_METHOD
from rlfn.export.formats import FORMATS, ExportFormat, export
from rlfn.export.onnx import onnx_notes
from rlfn.export.request import ExportRequest, parse_shape
from rlfn.export.torch_files import write_torchscript
from rlfn.images.photograph import photograph
from rlfn.inference.engines.onnxruntime import OnnxRuntimeEngine
from rlfn.inference.upscaler import Upscaler
from rlfn.models.traits import Traits
from rlfn.models.variants import VARIANTS, RLFNFields, Variant
from rlfn.networks import Checkpoint, build, save_checkpoint
from rlfn.networks.graph import source_hash
from rlfn.wording import setting

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
    shape = (1, 3, 21, 34) if not row.any_size else shape if row.one_size else None
    path = tmp_path / f"tiny{row.suffixes[0]}"
    report = export(checkpoint, to, path, ExportRequest(precision, shape, image_io))
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
    export(other, "torchscript", tmp_path / "x.pt", ExportRequest(shape=(1, 3, 24, 24)))


@pytest.fixture(scope="module")
def half(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("half") / "x.onnx"
    export(checkpoint, "onnx", path, ExportRequest("fp16"))
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
    export(checkpoint, "openvino", tmp_path / "x.xml", ExportRequest("fp16"))
    graph = runtime.Core().read_model(tmp_path / "x.xml")
    assert graph.get_rt_info(["rlfn", "source_sha256"]).astype(str) == source_hash(checkpoint)


def test_an_executorch_file_has_metadata(checkpoint: Checkpoint, tmp_path: Path) -> None:
    runtime = pytest.importorskip("executorch.runtime")
    export(checkpoint, "executorch", tmp_path / "x.pte", ExportRequest(shape=(2, 3, 20, 24)))
    program = runtime.Runtime.get().load_program((tmp_path / "x.pte").read_bytes())
    (facts,) = program.load_method(FACTS_METHOD).execute([])
    assert json.loads(facts)["source_sha256"] == source_hash(checkpoint)


def test_a_file_says_whether_its_tiles_are_exact(checkpoint: Checkpoint, half: Path, tmp_path: Path) -> None:
    report = export(checkpoint, "rlfn", tmp_path / "x.onnx")
    assert report.notes == ()
    exact, plain = (OnnxRuntimeEngine(path.read_bytes(), 1) for path in (tmp_path / "x.onnx", half))
    assert (exact.takes_grid, exact.traits.exact, exact.traits.min_side) == (True, True, 15)
    assert (plain.takes_grid, plain.traits.exact, plain.traits.min_side) == (False, False, 1)
    (note,) = onnx_notes(checkpoint, ExportRequest(), half)
    assert "differ from the whole" in note
    assert setting("to", "rlfn") in note
    facts = {key: value for key, value in exact.traits.to_metadata().items() if key != "exact"}
    assert Traits.from_metadata(facts).exact


def test_a_file_of_a_local_network_has_no_notes() -> None:
    variant = VARIANTS["rlfn-xs"]
    local = Checkpoint(build(variant, 2).eval(), variant, 2)
    assert onnx_notes(local, ExportRequest(), Path("x.onnx")) == ()
    never = Checkpoint(build(VARIANTS["rfdn"], 2).eval(), VARIANTS["rfdn"], 2)
    (note,) = onnx_notes(never, ExportRequest(), Path("x.onnx"))
    assert setting("to", "rlfn") not in note


def test_a_dynamic_fp16_file_runs_in_the_upscaler(half: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    weights = tmp_path / "x.safetensors"
    save_checkpoint(weights, checkpoint.network, checkpoint.variant, checkpoint.scale)
    image = photograph()[:40, :50]
    wanted = Upscaler(weights, engine="torch")(image).astype(int)
    assert np.abs(Upscaler(half, engine="onnxruntime")(image) - wanted).max() <= 1


def test_files_that_tiles_cannot_run_are_refused_by_the_upscaler(checkpoint: Checkpoint, tmp_path: Path) -> None:
    export(checkpoint, "onnx", tmp_path / "x.onnx", ExportRequest(shape=(1, 3, 20, 20)))
    with pytest.raises(ModelError, match="writes for any size"):
        Upscaler(tmp_path / "x.onnx", engine="onnxruntime")


@pytest.mark.parametrize("to", ["openvino", "ncnn"])
def test_the_default_precision_of_a_runtime_is_noted(checkpoint: Checkpoint, tmp_path: Path, to: str) -> None:
    """OpenVINO computes in bf16 and ncnn in fp16 where they can: the difference as they come is printed too."""
    require(to, "fp32")
    report = export(checkpoint, to, tmp_path / f"x{FORMATS[to].suffixes[0]}")
    (note,) = report.notes
    assert {"openvino": "INFERENCE_PRECISION_HINT is f32", "ncnn": "use_fp16_arithmetic"}[to] in note
    assert "levels of 255 from torch, PSNR" in note


def test_openvinos_bf16_is_estimated_where_the_processor_has_none(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    lr = 255.0 * torch.rand(1, 3, 24, 24)
    with torch.inference_mode():
        wanted = checkpoint.network(lr)
        found = openvino._in_bfloat16(checkpoint)(lr.numpy())
    assert found.dtype == np.float32
    assert 0.01 < np.abs(found - wanted.numpy()).max() < 8.0
    assert next(checkpoint.network.parameters()).dtype == torch.float32


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


def test_a_failing_converter_is_reported(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("no such operator")

    row: ExportFormat = replace(FORMATS["onnx"], write=broken)
    monkeypatch.setitem(formats.FORMATS, "onnx", row)
    with pytest.raises(ModelError, match=r"cannot be converted to onnx fp32: KeyError: 'no such operator'"):
        export(checkpoint, "onnx", tmp_path / "x.onnx")
    monkeypatch.setitem(formats.FORMATS, "onnx", replace(row, write=lambda *_: None))
    with pytest.raises(ModelError, match=r"wrote no x\.onnx"):
        export(checkpoint, "onnx", tmp_path / "new" / "folder" / "x.onnx")
    monkeypatch.setitem(formats.FORMATS, "onnx", replace(row, write=FORMATS["torchscript"].write))
    with pytest.raises(ModelError, match=r"cannot be run in onnx fp32: .*\. Nothing was written\.$"):
        export(checkpoint, "onnx", tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(given: Checkpoint, request: ExportRequest, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(formats.FORMATS, "onnx", replace(FORMATS["onnx"], write=full))
    with pytest.raises(OutputError, match="no space left on device"):
        export(checkpoint, "onnx", tmp_path / "x.onnx")

    def vague(*_: object) -> None:
        raise RuntimeError("failed writing file data/0")

    monkeypatch.setitem(formats.FORMATS, "onnx", replace(FORMATS["onnx"], write=vague))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(OutputError, match="no space left on device"):
        export(checkpoint, "onnx", tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
@pytest.mark.parametrize("to", ["onnx", "torchscript", "torch-export"])
def test_a_file_that_cannot_be_completed_is_an_error_and_not_the_end_of_the_process(tmp_path: Path, to: str) -> None:
    """torch's own writer aborts the process, like on a full disk."""
    code = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000,) * 2); from rlfn.cli import main; main()"
    path = tmp_path / "new" / f"x{FORMATS[to].suffixes[0]}"
    arguments = ["export", "rlfn-xs-x2", "--to", to, "-o", str(path)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        f"rlfn: '{path}' cannot be written: file too large. Write elsewhere.\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_refused_before_the_work(
    command, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    for to in ("torchscript", "openvino"):
        monkeypatch.setitem(formats.FORMATS, to, replace(FORMATS[to], write=never))
    (tmp_path / "file").touch()
    (tmp_path / "x.bin").mkdir()
    with pytest.raises(OutputError, match="is a file, not a folder"):
        export(checkpoint, "torchscript", tmp_path / "file" / "x.pt")
    with pytest.raises(OutputError, match=r"x\.bin' is a folder"):
        export(checkpoint, "openvino", tmp_path / "x.xml")
    for more in ((), ("--overwrite",)):
        done = command("export", "rlfn-xs-x2", "--to", "openvino", "-o", str(tmp_path / "x.xml"), *more)
        assert (done.status, done.err) == (2, f"rlfn: '{tmp_path}/x.bin' is a folder; the name of a file is needed.\n")


def test_a_missing_converter_names_its_extra(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rlfn\[openvino\]'"):
        openvino.write_openvino(checkpoint, ExportRequest(), tmp_path / "x.xml")


def test_unsupported_requests_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean 'openvino'"):
        export(checkpoint, "openvno", tmp_path / "x.xml")
    with pytest.raises(OptionError, match="Allowed: fp32"):
        export(checkpoint, "torchscript", tmp_path / "x.pt", ExportRequest("fp16"))
    with pytest.raises(OptionError, match=r"ends in \.xml"):
        export(checkpoint, "openvino", tmp_path / "x.onnx")
    with pytest.raises(OptionError, match=r"pictures of any size\. These formats have a fixed shape: onnx"):
        export(checkpoint, "rlfn", tmp_path / "x.onnx", ExportRequest(shape=(1, 3, 20, 20)))
    with pytest.raises(OptionError, match="Only int8 is calibrated"):
        export(checkpoint, "onnx", tmp_path / "x.onnx", ExportRequest(calibration=tmp_path))
    with pytest.raises(OptionError, match=r"1x3x90000x90000 takes about 20,368\.0 GiB .* Choose a smaller shape"):
        export(checkpoint, "onnx", tmp_path / "x.onnx", ExportRequest(shape=(1, 3, 90_000, 90_000)))
    for text in ("1x3x20", "1x4x20x20", "1x3x0x20", "big", ""):
        with pytest.raises(OptionError, match="1x3x180x320"):
            parse_shape(text)
    with pytest.raises(OptionError, match="0x3x5x7 is empty"):
        parse_shape("0x3x5x7")
    with pytest.raises(OptionError, match="1x4x20x20 has 4 channels"):
        parse_shape("1x4x20x20")
    with pytest.raises(OptionError, match="shape=1x3x180x320"):
        export(checkpoint, "tflite", tmp_path / "x.tflite")
    for request in (ExportRequest(image_io=True), ExportRequest(shape=(2, 3, 20, 20))):
        with pytest.raises(OptionError, match=r"Formats that do: onnx|one picture at a time"):
            export(checkpoint, "ncnn", tmp_path / "x.ncnn.param", request)
    assert list(tmp_path.iterdir()) == []


def test_the_command(command, checkpoint: Checkpoint, tmp_path: Path) -> None:
    weights = tmp_path / "mine.safetensors"
    save_checkpoint(weights, checkpoint.network, checkpoint.variant, checkpoint.scale)
    target = tmp_path / "no" / "folder" / "mine.pt"
    arguments = ["export", str(weights), "--to", "torchscript", "--shape", "1x3x16x20", "-o", str(target)]
    said = command(*arguments).out.decode()
    assert target.is_file()
    assert ("equal to torch, on" in said) != ("levels of 255, PSNR at least" in said)
    assert "inf dB" not in said
    assert "ms at 20x16" in said
    assert "Replace it with --overwrite" in command(*arguments).err
    assert "'' is not a shape" in command("export", str(weights), "--shape", "", "-o", str(tmp_path / "x.onnx")).err
    listed = command("export", "--list").out.decode()
    assert all(name in listed for name in FORMATS)


@pytest.mark.heavy
@pytest.mark.parametrize("to", FORMATS)
def test_no_runtime_prints_anything(checkpoint: Checkpoint, tmp_path: Path, to: str) -> None:
    require(to, "fp32")
    weights = tmp_path / "mine.safetensors"
    save_checkpoint(weights, checkpoint.network, checkpoint.variant, checkpoint.scale)
    command = [sys.executable, "-m", "rlfn", "export", str(weights), "--to", to, "-o", f"mine{FORMATS[to].suffixes[0]}"]
    command += [] if FORMATS[to].any_size else ["--shape", "1x3x21x34"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    files, measured, timed, *notes = done.stdout.splitlines()
    assert files.startswith("mine")
    assert "levels of 255" in measured or "equal to torch" in measured
    assert timed.split()[1] == "ms"
    assert all(line[0].isalpha() and line.endswith(".") for line in notes)
