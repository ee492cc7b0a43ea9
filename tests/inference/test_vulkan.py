"""Whole tiles through ncnn's Vulkan: the same picture as on the processor, and a driver that fails is no crash.

The first half runs the same graphs on the processor; the second needs a Vulkan device, which may be software.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("ncnn")

from rlfn.errors import RlfnError
from rlfn.inference.devices import load_on
from rlfn.inference.engines import load_engine, vulkan
from rlfn.inference.engines.vulkan import VulkanEngine
from rlfn.inference.loading import tensors_of
from rlfn.inference.part_upscaler import PartUpscaler
from rlfn.inference.parts import Computed, ImagePart
from rlfn.inference.upscaler import Upscaler
from rlfn.inference.vulkan import gpus
from rlfn.inference.vulkan.gpus import Gpu, NoGpuError, find_gpus
from rlfn.inference.vulkan.graphs import grid_blobs, whole_graph
from rlfn.models import catalog
from rlfn.models.blend import Blend
from rlfn.models.grid import axis_grid
from rlfn.models.source import ModelSource
from rlfn.models.variants import VARIANTS
from waiting import PATIENCE

FAMILIES = {model.family: name for name, model in catalog.models().items()}
"""One model of each family."""

ODD_SIZES = [(1, 1), (2, 2), (14, 14), (15, 15), (16, 16), (17, 17), (33, 21), (5, 61)]
CARD = Gpu(0, "Card", "discrete", lambda: 8 << 30)


def families() -> Iterator[Any]:
    """Yield the families; those whose network another has too are heavy."""
    seen = set()
    for family, name in FAMILIES.items():
        variant = catalog.models()[name].variant
        yield pytest.param(family, marks=[pytest.mark.heavy] if variant in seen else [])
        seen.add(variant)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def on_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what would run on a GPU run on the processor."""
    real = vulkan._GraphNet
    monkeypatch.setattr(vulkan, "_GraphNet", lambda graph, threads, gpu: real(graph, 1, None))


@pytest.mark.parametrize("name", ["rlfn-s-x2", "rlfn-s-x3", "rlfn-xs-x3", "rlfn-xxs-photo-x2"])
def test_a_tile_in_the_middle_is_the_runtimes(on_processor: None, name: str) -> None:
    engine, reference = VulkanEngine(ModelSource(name), 1, CARD), load_engine("onnxruntime", ModelSource(name), 1)
    for rows, columns in [((0, 31, 31), (0, 27, 27)), ((12, 53, 200), (6, 40, 41)), ((0, 24, 90), (60, 91, 91))]:
        shape = (2, 3, rows[1] - rows[0], columns[1] - columns[0])
        lr = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
        grid = (axis_grid(*rows), axis_grid(*columns)) if engine.takes_grid else None
        np.testing.assert_allclose(engine(lr, grid), reference(lr, grid), atol=0.01)
    assert engine.traits == reference.traits


def test_arrays_of_any_layout_are_taken(on_processor: None) -> None:
    engine = VulkanEngine(ModelSource("rlfn-xs-x2"), 1, CARD)
    lr = np.random.default_rng(0).uniform(0, 255, (1, 40, 30, 3)).astype(np.float32).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(engine(lr), engine(np.ascontiguousarray(lr)))


def test_networks_without_a_graph_are_told() -> None:
    assert whole_graph(VARIANTS["rfdn"], 4, {}) is None
    assert whole_graph(VARIANTS["rlfn-xs-train"], 4, {}) is None


def test_an_unknown_blob_is_no_crash(on_processor: None) -> None:
    engine = VulkanEngine(ModelSource("rlfn-xs-x2"), 1, CARD)
    with pytest.raises(AssertionError):
        engine._net(lr=np.zeros((3, 9, 9), np.float32), rows=np.zeros((9, 2), np.float32))


class FailingNet:
    """A graph on a GPU that works for some tiles, and computes them wrongly if it is to."""

    def __init__(self, real: Any, works: int, off: float = 0.0) -> None:
        self._real, self._left, self._off = real, works, off

    def __call__(self, **given: NDArray[np.float32]) -> NDArray[np.float32]:
        self._left -= 1
        if self._left < 0:
            raise NoGpuError("Card failed at a tile; its memory may be used by other programs")
        made: NDArray[np.float32] = self._real(**given) + np.float32(self._off)
        return made


def failing(monkeypatch: pytest.MonkeyPatch, works: int, off: float = 0.0) -> None:
    real = vulkan._GraphNet

    def net(graph: Any, threads: int | None, gpu: Gpu | None) -> Any:
        made = real(graph, 1, None)
        return made if gpu is None else FailingNet(made, works, off)

    monkeypatch.setattr(vulkan, "_GraphNet", net)
    monkeypatch.setattr("rlfn.inference.devices.find_gpus", lambda: [CARD])


def test_a_gpu_that_fails_on_the_way_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, works=3)
    upscaler, whole = (
        Upscaler("rlfn-xs-x2", device="gpu", tile=40),
        Upscaler("rlfn-xs-x2", engine="onnxruntime", tile=0, precision="fp32"),
    )
    assert (upscaler.device, upscaler.fallback_reason) == ("Card", "")
    image = noise(90, 41)
    assert np.abs(upscaler(image).astype(int) - whole(image)).max() <= 1
    assert upscaler.device == "cpu"
    assert upscaler.fallback_reason.startswith("the CPU did the work, not a GPU: Card failed at a tile")


@pytest.mark.parametrize("off", [0.5, np.nan])
def test_a_driver_that_computes_something_else_is_left(monkeypatch: pytest.MonkeyPatch, off: float) -> None:
    failing(monkeypatch, works=9, off=off)
    upscaler = Upscaler("rlfn-xs-x2", device="gpu")
    assert upscaler.device == "cpu"
    assert "Card computes something else than the processor" in upscaler.fallback_reason


def test_a_net_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(net: Any, graph: Any) -> None:
        raise RlfnError("ncnn cannot load a graph")

    monkeypatch.setattr(vulkan, "fill_net", refuse)
    monkeypatch.setattr(vulkan, "new_net", lambda threads: _EmptyNet())
    engine, fallback_reason = load_on("gpu", "auto", ModelSource("rlfn-xs-x2"), find=lambda: [CARD])
    assert engine.name != "ncnn"
    assert "Card cannot load the network" in fallback_reason


class _EmptyNet:
    def __init__(self) -> None:
        self.opt = SimpleNamespace()

    def set_vulkan_device(self, number: int) -> None:
        assert number == CARD.number


@pytest.mark.parametrize(
    ("trial", "said"), [("import os; os.abort()", "crashes"), ("import time; time.sleep(60)", "hangs")]
)
def test_a_driver_that_crashes_does_so_in_another_process(
    monkeypatch: pytest.MonkeyPatch, trial: str, said: str
) -> None:
    monkeypatch.setattr(gpus, "_TRIAL", trial)
    monkeypatch.setattr(gpus, "_TRIAL_SECONDS", 2.0)
    monkeypatch.setattr(gpus, "try_apart", gpus.try_apart.__wrapped__)
    engine, fallback_reason = load_on("gpu", "auto", ModelSource("rlfn-xs-x2"))
    assert engine.name != "ncnn"
    assert f"not a GPU: Vulkan's driver {said}" in fallback_reason


def test_blended_weights_run_too(on_processor: None) -> None:
    blend = Blend(ModelSource("rlfn-xs-x2"), ModelSource("rlfn-xs-photo-x2"), 0.5)
    lr = np.random.default_rng(0).uniform(0, 255, (1, 3, 20, 31)).astype(np.float32)
    whole = load_engine("onnxruntime", blend, 1)(lr)
    np.testing.assert_allclose(VulkanEngine(blend, 1, CARD)(lr), whole, atol=0.01)


def test_wide_networks_have_smaller_tiles(on_processor: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vulkan, "_LARGEST_ARRAY", 9 * 48 * 100**2)
    assert VulkanEngine(ModelSource("rlfn-s-x4"), 1, CARD).largest_tile() == 100


def test_a_result_that_is_no_number_is_left() -> None:
    variant, scale, tensors = tensors_of(ModelSource("rlfn-xs-x2"))
    made = whole_graph(variant, scale, {name: tensor * np.nan for name, tensor in tensors.items()})
    assert made is not None
    net = vulkan._GraphNet(made[0], 1, None)
    lr = np.zeros((3, 9, 9), np.float32)
    assert not np.isfinite(net(lr=lr)).all()
    net._on_gpu, net._where = True, "Card"
    with pytest.raises(NoGpuError, match="Card returned NaN or infinite values"):
        net(lr=lr)


def test_memory_that_others_took_meanwhile_is_no_error(on_processor: None) -> None:
    free = [8 << 30]
    engine = VulkanEngine(ModelSource("rlfn-s-x2"), 1, Gpu(0, "Card", "discrete", lambda: free[0]))
    assert engine.largest_tile() == 384
    free[0] = 100 << 20
    assert 78 < engine.largest_tile() < 384
    free[0] = 0
    assert engine.largest_tile() == 78


def test_without_a_driver_there_is_no_gpu() -> None:
    environment = {**os.environ, "VK_ICD_FILENAMES": os.devnull, "VK_DRIVER_FILES": os.devnull}
    code = "from rlfn.inference.vulkan.gpus import find_gpus; assert find_gpus() == []"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=PATIENCE)


@lru_cache(maxsize=1)
def _device() -> str | None:
    found = find_gpus()
    return f"gpu:{found[0].number}" if found else None


@pytest.fixture
def device() -> str:
    """Return a Vulkan device, or skip."""
    found = _device()
    if found is None:
        pytest.skip("needs a Vulkan device: a graphics card with its driver, or Debian's mesa-vulkan-drivers")
    return found


@pytest.mark.parametrize("family", families())
def test_vulkan_and_processor_agree(device: str, family: str) -> None:
    name = FAMILIES[family]
    ours, whole = Upscaler(name, device=device), Upscaler(name, engine="onnxruntime", tile=0, precision="fp32")
    assert (ours.engine, ours.precision, ours.fallback_reason) == ("ncnn", "fp32", "")
    assert ours.device != "cpu"
    for size in ODD_SIZES:
        image = noise(*size)
        assert np.abs(ours(image).astype(int) - whole(image)).max() <= 1, size


def watched(upscaler: PartUpscaler) -> tuple[Callable[[NDArray[Any]], NDArray[Any]], list[ImagePart]]:
    """Return an upscaler, and a list that fills with the parts that it computes."""
    seen: list[ImagePart] = []

    def run(parts: Iterable[ImagePart]) -> Iterator[Computed]:
        for part in parts:
            seen.append(part)
            yield from upscaler.compute(part)

    return partial(upscaler, run=run), seen


@pytest.mark.parametrize(("name", "tile", "size"), [("rlfn-s-x2", 78, (15, 84)), ("rlfn-xs-x4", 36, (50, 70))])
def test_tiles_on_vulkan_are_the_whole_picture(device: str, name: str, tile: int, size: tuple[int, int]) -> None:
    image, (ours, parts) = noise(*size), watched(PartUpscaler(name, device=device, tile=tile))
    assert (
        np.abs(ours(image).astype(int) - Upscaler(name, engine="onnxruntime", tile=0, precision="fp32")(image)).max()
        <= 1
    )
    assert len(parts) > 1


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["rlfn-xs-x4", "rlfn-s-x2"])
def test_a_tile_of_the_largest_side(device: str, name: str) -> None:
    image, (ours, parts) = noise(vulkan.LARGEST_TILE, vulkan.LARGEST_TILE), watched(PartUpscaler(name, device=device))
    assert (
        np.abs(ours(image).astype(int) - Upscaler(name, engine="onnxruntime", tile=0, precision="fp32")(image)).max()
        <= 1
    )
    assert len(parts) == 1


def test_a_forked_process_leaves_the_gpu_alone(device: str) -> None:
    code = f"""
import os, numpy as np
from rlfn.inference.parts import Computed, ImagePart
from rlfn.inference.upscaler import Upscaler
image = np.full((20, 20, 3), 9, np.uint8)
ours = Upscaler("rlfn-xs-x2", device={device!r}, engine="auto", threads=1)
first = ours(image)
child = os.fork()
if not child:
    second = ours(image)
    said = "it was forked after Vulkan had started its threads" in ours.fallback_reason
    good = said and np.abs(second.astype(int) - first).max() <= 1
    os._exit(0 if good else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)


def test_the_matrices_of_a_whole_picture_pad_with_zeros() -> None:
    mask = grid_blobs((axis_grid(0, 30, 30), axis_grid(6, 40, 60)))["mask"][0]
    assert mask[0].max() == mask[-1].max() == 0.0
    assert mask[1:-1].min() == 1.0
