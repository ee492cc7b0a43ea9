"""A GPU that is asked for does the work, or a sentence says why the processor does it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import rlfn
from rlfn.api import pool
from rlfn.api.pictures import upscale_with_details
from rlfn.errors import ForkedError, MissingExtraError, OptionError, PictureWarning
from rlfn.images.files import read_picture
from rlfn.inference import devices
from rlfn.inference.devices import check_device, load_on
from rlfn.inference.engines import ENGINES
from rlfn.inference.engines.onnxruntime import OnnxRuntimeEngine
from rlfn.inference.enlarge import Enlarger
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.sizing import Wanted
from rlfn.inference.upscaler import Upscaler
from rlfn.inference.upscaler_pool import UpscalerPool
from rlfn.inference.vulkan.gpus import SOFTWARE, Gpu, NoGpuError, pick_gpu
from rlfn.models.source import ModelSource
from rlfn.models.traits import Traits
from rlfn.wording import as_argument, worded


def gpu(number: int, kind: str, name: str = "Card", free: int = 8 << 30) -> Gpu:
    return Gpu(number, name, kind, lambda: free)


CARDS = [gpu(0, SOFTWARE, "llvmpipe"), gpu(1, "integrated", "Small"), gpu(2, "discrete", "Large")]


class StandInEngine:
    """What an engine on a GPU looks like to the pipeline; it repeats pixels."""

    name, precision, takes_grid = "ncnn", "fp32", False
    traits = Traits("nearest", scale=4, min_side=1, margin=4, stride=1)

    def __init__(self, model: ModelSource, threads: int | None, card: Gpu) -> None:
        self.device, self.fallback_reason = card.name, ""
        self.sides: list[int] = []

    def __call__(self, lr: NDArray[np.float32], grid: object = None) -> NDArray[np.float32]:
        self.sides.append(max(lr.shape[2:]))
        return lr.repeat(4, axis=2).repeat(4, axis=3)

    def largest_tile(self) -> int:
        return 40


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> list[Gpu]:
    """Let there be three GPUs, on which a stand-in runs."""
    no_gpus(monkeypatch, CARDS)
    monkeypatch.setitem(ENGINES, "ncnn", replace(ENGINES["ncnn"], gpu=StandInEngine))
    return CARDS


def no_gpus(monkeypatch: pytest.MonkeyPatch, found: Sequence[Gpu] = ()) -> None:
    monkeypatch.setattr(devices, "find_gpus", lambda: found)
    monkeypatch.setattr(pool, "POOL", UpscalerPool())


@pytest.mark.parametrize(("device", "wanted"), [("gpu", 2), ("gpu:0", 0), ("gpu:1", 1), ("gpu:2", 2)])
def test_the_fastest_kind_or_the_one_of_the_number(device: str, wanted: int) -> None:
    assert pick_gpu(device, CARDS).number == wanted


@pytest.mark.parametrize(
    ("device", "found", "said"),
    [
        ("gpu", [], "ncnn finds no Vulkan device. Install the driver"),
        ("gpu", CARDS[:1], "the only Vulkan device, llvmpipe, is software, .* device=gpu:0 takes it all the same"),
        ("gpu:7", CARDS, "there is no gpu:7; 'rlfn doctor' lists"),
        ("gpu", [gpu(0, "discrete", "Tiny", 1 << 20)], "Tiny has 1 MiB of free memory, too little for a tile of 21 px"),
    ],
)
def test_without_a_gpu_the_processor_works_and_says_why(
    monkeypatch: pytest.MonkeyPatch, device: str, found: list[Gpu], said: str
) -> None:
    pytest.importorskip("ncnn")
    no_gpus(monkeypatch, found)
    upscaler = Upscaler("rlfn-xs-x2", device=device)
    assert upscaler.device == "cpu"
    with pytest.warns(PictureWarning, match=f"the CPU did the work, not a GPU: {said}"):
        made = rlfn.upscale(np.full((9, 8, 3), 90, np.uint8), 2, model="rlfn-xs", device=device)
    assert np.abs(made.astype(int) - 90).max() <= 3


@pytest.mark.parametrize(
    "error", [MissingExtraError("The engine ncnn", install="pip install ncnn"), ForkedError("It was forked.")]
)
def test_what_hinders_is_told(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def find() -> list[Gpu]:
        raise error

    engine, reason = load_on("gpu", "auto", ModelSource("rlfn-xs-x2"), find=find)
    assert engine.name != "ncnn"
    assert reason.startswith("the CPU did the work, not a GPU: ")
    assert str(error).rstrip(".") in reason


def test_an_engine_by_name_falls_back_to_one_that_runs_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ncnn")
    kept, _ = load_on("gpu", "ncnn", ModelSource("rlfn-s-x2"), find=list)
    other, _ = load_on("gpu", "ncnn", ModelSource("rlfn-xs-x2"), find=list)
    assert kept.name == "ncnn"
    assert other.name != "ncnn"


def test_a_graph_of_ones_own_runs_on_the_processor(tmp_path: Path) -> None:
    path = tmp_path / "own.onnx"
    path.write_bytes(ModelSource("rlfn-xs-x2").graph())
    engine, reason = load_on("gpu", "auto", ModelSource(path), find=lambda: CARDS)
    assert engine.name != "ncnn"
    assert "is an ONNX graph, and a GPU runs the weights themselves" in reason


def test_a_gpu_does_the_work(cards: list[Gpu]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 90, 3), np.uint8)
    made = upscale_with_details(image, model="rlfn-s-x4", device="gpu")
    assert (made.engine, made.precision, made.device, made.warnings) == ("ncnn", "fp32", "Large", ())
    np.testing.assert_array_equal(made.picture, image.repeat(4, axis=0).repeat(4, axis=1))


@pytest.mark.parametrize(("tile", "side"), [("auto", 40), (0, 40), (30, 30), (2000, 40)])
def test_tiles_follow_the_gpu(cards: list[Gpu], tile: int | str, side: int) -> None:
    upscaler = Upscaler("rlfn-s-x4", device="gpu", tile=tile)
    upscaler(np.zeros((100, 100, 3), np.uint8))
    assert max(upscaler._engine.sides) in range(side - 8, side + 1)


def test_another_process_takes_the_same_device(cards: list[Gpu]) -> None:
    assert pickle.loads(pickle.dumps(Upscaler("rlfn-s-x4", device="gpu:1"))).device == "Small"


def test_each_device_has_an_upscaler_of_its_own(cards: list[Gpu]) -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    enlarger = Enlarger(EnlargeOptions(Wanted(4), device="gpu"))
    on_cpu = Enlarger(replace(enlarger.options, device="cpu"), enlarger._pool)
    enlargers = (enlarger, on_cpu, enlarger.with_auto_engine(400))
    assert [one(image).plan.upscaler.device for one in enlargers] == ["Large", "cpu", "Large"]


@pytest.mark.parametrize(
    ("device", "engine", "precision", "said"),
    [
        ("gpx", "auto", "auto", "There is no device 'gpx'. Allowed: cpu, gpu, gpu:0, gpu:1"),
        ("gpu:", "auto", "auto", "There is no device 'gpu:'"),
        ("gpu:-1", "auto", "auto", "There is no device 'gpu:-1'"),
        (1, "auto", "auto", "There is no device '1'"),
        ("gpu", "onnxruntime", "auto", "the engine onnxruntime has no such choice. With a GPU: ncnn; engine=auto"),
        ("gpu", "auto", "int8", "a GPU computes in fp32 here, not in int8. Leave precision out"),
        ("gpu", "ncnn", "bf16", "a GPU computes in fp32 here, not in bf16"),
    ],
)
def test_what_cannot_be_is_refused(device: str, engine: str, precision: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        check_device(device, engine, precision)


def test_an_engine_that_is_handed_in_has_its_own_device() -> None:
    engine = OnnxRuntimeEngine(ModelSource("rlfn-xs-x2").graph(), 1)
    with pytest.raises(OptionError, match="an engine that is handed in"):
        EnlargeOptions(engine=engine, device="gpu")
    with pytest.raises(OptionError, match="an engine that is handed in"):
        Upscaler(engine=engine, device="gpu")


def test_a_reason_words_its_setting_for_each_face() -> None:
    with pytest.raises(NoGpuError) as caught:
        pick_gpu("gpu", CARDS[:1])
    assert "device=gpu:0" in worded(caught.value.template, as_argument)


def test_the_command_names_the_device_and_words_the_reason(
    command, monkeypatch: pytest.MonkeyPatch, tmp_path, cards: list[Gpu]
) -> None:
    from PIL import Image

    Image.fromarray(np.full((12, 10, 3), 7, np.uint8)).save(tmp_path / "a.png")
    done = command("upscale", "a.png", "--device", "gpu", "-o", "b.png")
    assert (done.status, done.err) == (0, "")
    assert ", ncnn on Large)" in done.out.decode()
    assert read_picture(tmp_path / "b.png").pixels.shape == (48, 40, 3)
    no_gpus(monkeypatch, CARDS[:1])
    done = command("upscale", "a.png", "--device", "gpu", "-o", "c.png", "--json")
    assert "--device gpu:0 takes it all the same" in done.err
    record = json.loads(done.out)
    assert (record["status"], record["device"]) == ("done", "cpu")
    assert len(record["warnings"]) == 1


def test_a_video_says_it_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("av")
    from clips import moving, write_clip

    no_gpus(monkeypatch)
    source = write_clip(tmp_path / "a.mp4", moving("yuv420p", 64, 48), codec="libx264", times=(0,))
    with pytest.warns(PictureWarning, match="the CPU did the work, not a GPU"):
        record = rlfn.upscale_video(source, tmp_path / "b.mp4", 2, device="gpu")
    assert (record.device, len(record.warnings)) == ("cpu", 1)


def test_a_bulk_job_has_no_gpu() -> None:
    pytest.importorskip("pyarrow")
    from rlfn.jobs.batch import Settings
    from rlfn.jobs.bulk.pending import resolve_settings

    with pytest.raises(OptionError, match="device=gpu was given, but bulk processing runs on CPUs only"):
        resolve_settings(Settings(EnlargeOptions(device="gpu")), [()])


def test_a_server_hands_its_device_on(command) -> None:
    pytest.importorskip("starlette")
    from rlfn.serve.fields import read_fields
    from rlfn.serve.settings import ServeSettings

    assert read_fields([], ServeSettings(device="gpu:1")).enlarge.device == "gpu:1"
    done = command("serve", "--device", "gpx")
    assert done.status == 2
    assert "There is no device 'gpx'" in done.err


def test_the_doctor_lists_gpus(command, monkeypatch: pytest.MonkeyPatch) -> None:
    from rlfn.inference.vulkan import gpus

    monkeypatch.setattr(gpus, "find_gpus", lambda: CARDS)
    lines = command("doctor", "--quick").lines
    assert "  gpu:1 Small: integrated, 8.0 GiB free" in lines
    assert "  gpu: Large" in lines
    monkeypatch.setattr(gpus, "find_gpus", lambda: CARDS[:1])
    done = command("doctor", "--quick")
    assert "--device gpu:0 takes it all the same" in done.out.decode()
