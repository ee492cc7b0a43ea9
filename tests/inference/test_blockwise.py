"""Block by block over tiles: the same picture as at once, for every number of threads, and ncnn's traps kept shut."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("ncnn")

from rlfn.inference.blockwise import nets
from rlfn.inference.blockwise import picture as blockwise
from rlfn.inference.blockwise.layers import Graph
from rlfn.inference.blockwise.nets import Memory, Net, aligned, pack_of, unpacked
from rlfn.inference.blockwise.picture import Blockwise, WholeImage, cuts
from rlfn.inference.blockwise.planes import Strips, plane_shape
from rlfn.inference.engines.ncnn import NcnnEngine
from rlfn.inference.loading import tensors_of
from rlfn.inference.upscaler import Upscaler
from rlfn.inference.workers import Workers
from rlfn.models.grid import axis_grid
from rlfn.models.source import ModelSource
from rlfn.models.variants import RLFNFields

ODD_SIZES = [(1, 1), (2, 1), (14, 15), (15, 15), (16, 17), (17, 16), (33, 21), (5, 61)]
TILED_SIZES = [(67, 66), (99, 100), (133, 200), (170, 41)]


def noise(height: int, width: int, kind: type = np.uint8) -> NDArray[np.uint8]:
    return np.random.default_rng(height * 1000 + width).integers(0, np.iinfo(kind).max + 1, (height, width, 3), kind)


@pytest.fixture(scope="module")
def whole() -> Upscaler:
    return Upscaler("rlfn-s-x4", engine="onnxruntime", tile=0, precision="fp32")


@pytest.fixture(scope="module")
def ours() -> Upscaler:
    return Upscaler("rlfn-s-x4", engine="ncnn", threads=2)


@pytest.mark.parametrize("size", ODD_SIZES + TILED_SIZES)
def test_it_is_the_whole_picture(whole: Upscaler, ours: Upscaler, size: tuple[int, int]) -> None:
    image = noise(*size)
    assert np.abs(ours(image).astype(int) - whole(image)).max() <= 1


def test_sixteen_bits_agree_to_a_hundredth_of_a_level(whole: Upscaler, ours: Upscaler) -> None:
    image = noise(90, 70, np.uint16)
    assert np.abs(ours(image).astype(int) - whole(image)).max() < 257 / 100


def test_every_number_of_threads_gives_the_same_bits(ours: Upscaler) -> None:
    image = noise(150, 140, np.uint16)
    for threads in (1, 3, 7):
        np.testing.assert_array_equal(Upscaler("rlfn-s-x4", engine="ncnn", threads=threads)(image), ours(image))


@pytest.mark.parametrize("scale", [2, 3])
def test_other_scales(scale: int) -> None:
    image = noise(71, 80)
    found = [
        Upscaler(f"rlfn-s-x{scale}", engine=name, precision="fp32")(image).astype(int)
        for name in ("ncnn", "onnxruntime")
    ]
    assert np.abs(found[0] - found[1]).max() <= 1


@pytest.mark.parametrize(("channels", "mid", "esa"), [(46, 48, 16), (52, 52, 16), (5, 7, 3)])
def test_widths_that_ncnn_packs_in_other_ways(channels: int, mid: int, esa: int) -> None:
    torch = pytest.importorskip("torch")
    from rlfn.networks.rlfn import RLFN

    torch.manual_seed(0)
    fields = RLFNFields(blocks=2, channels=channels, mid=mid, esa_channels=esa)
    network = RLFN(fields, 2).eval()
    tensors = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    image = noise(75, 90)
    with torch.inference_mode():
        lr = torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1).copy())[None]
        wanted = network(lr)[0].numpy()
    found = np.empty_like(wanted)
    picture = WholeImage(image, np.float32(1.0), 0, 90)
    for area, block in Blockwise(tensors, fields, 2, tile=(48, 30)).run(picture, 2):
        found[:, 2 * area.top : 2 * area.bottom, 2 * area.left : 2 * area.right] = block
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_the_processor_decides_how_many_channels_are_packed(
    whole: Upscaler, ours: Upscaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    for have, packs in (({"avx2", "avx512f"}, [16, 8, 4, 1]), ({"avx2"}, [8, 8, 4, 1]), (set(), [8, 8, 4, 1])):
        monkeypatch.setattr(nets, "features", lambda have=have: frozenset(have))
        assert [pack_of(channels) for channels in (48, 24, 20, 7)] == packs
    # eight, which ncnn converts where it packs sixteen itself
    image = noise(67, 66)
    assert np.abs(ours(image).astype(int) - whole(image)).max() <= 1


def test_columns_of_a_wide_picture(whole: Upscaler) -> None:
    engine = NcnnEngine(ModelSource("rlfn-s-x4"), 2)
    image = noise(40, 300)
    wanted, seen = whole(image).astype(float), np.zeros((160, 1200), int)
    for tile, block in engine.blocks(image, 1.0, widest=150):
        rows, columns = (slice(4 * span.core_start, 4 * span.core_stop) for span in (tile.rows, tile.columns))
        seen[rows, columns] += 1
        assert np.abs(np.clip(block, 0, 255).transpose(1, 2, 0) - wanted[rows, columns]).max() < 1.01
    assert (seen == 1).all()


def test_of_a_plane_few_strips_exist(monkeypatch: pytest.MonkeyPatch, ours: Upscaler) -> None:
    most = 0
    opened = Strips.open

    def count(self: Strips, number: int) -> NDArray[np.float32]:
        nonlocal most
        made = opened(self, number)
        most = max(most, sum(strip.shape[1] for strip in self.strips.values()))
        return made

    monkeypatch.setattr(Strips, "open", count)
    ours(noise(660, 30))
    assert 2 * blockwise.TILE[0] <= most <= 4.5 * blockwise.TILE[0]


def test_the_padding_of_a_small_picture_is_cut_off_and_progress_ends_at_one(ours: Upscaler) -> None:
    shares: list[float] = []
    assert ours(noise(3, 100), progress=shares.append).shape == (12, 400, 3)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_no_thread_is_left(ours: Upscaler) -> None:
    before = threading.active_count()
    ours(noise(80, 80))
    blocks: Iterator[object] = ours._engine.blocks(noise(200, 80), 1.0)  # type: ignore[attr-defined]
    next(blocks)
    del blocks
    assert threading.active_count() == before


def test_workers_hand_errors_on() -> None:
    def fail() -> None:
        raise ValueError("no")

    with Workers(1) as workers:
        workers.submit("first", fail)
        with pytest.raises(ValueError, match="no"):
            workers.next()


@pytest.mark.parametrize(("length", "side"), [(15, 66), (98, 66), (99, 66), (1280, 66), (1281, 66), (33, 10)])
def test_cuts_are_even_and_cover(length: int, side: int) -> None:
    found = cuts(length, side)
    assert found[0] == 0
    assert found[-1] == length
    steps = [second - first for first, second in pairwise(found)]
    assert all(step == steps[0] and step % 4 == 2 for step in steps[:-1])
    assert 0 < steps[-1] <= max(steps[0], side)


def test_the_map_is_the_same_however_its_rows_come() -> None:
    _, scale, tensors = tensors_of(ModelSource("rlfn-s-x2"))
    network = Blockwise(tensors, RLFNFields(6, 48, 48), scale)
    random = np.random.default_rng(0)
    maps = []
    for parts in ([59], [20, 20, 19], [1, 6, 52]):
        random = np.random.default_rng(0)
        half = random.normal(size=plane_shape(16, 59, 40)).astype(np.float32)
        pooled = network.pooled_map(1, (0, 120, 120), (0, 82, 82))
        for stop, count in zip(np.cumsum(parts), parts, strict=True):
            pooled.add(half[:, stop - count : stop])
        maps.append(pooled.map)
    assert maps[0].shape[1:] == tuple(axis_grid(0, side, side).interpolate.shape[1] for side in (120, 82))
    for found in maps[1:]:
        np.testing.assert_allclose(found, maps[0], atol=1e-4)


def test_names_shapes_and_addresses_that_would_crash_ncnn_are_refused() -> None:
    graph = Graph(("x",), ("y",))
    graph.conv("y", "x", np.ones((8, 8, 1, 1), np.float32), np.zeros(8, np.float32))
    net = Net(graph, Memory())
    given = aligned((1, 4, 5, 8))
    with pytest.raises(AssertionError):
        net(z=given)
    with pytest.raises(AssertionError):
        net(x=given)["z"]
    for bad in (aligned((1, 4, 6, 8))[:, :, :5], aligned((161,))[1:].reshape(given.shape), given.astype(np.float64)):
        with pytest.raises(AssertionError):
            net(x=bad)
    given[...] = np.arange(160).reshape(1, 4, 5, 8)
    sums = unpacked(given).sum(axis=0)
    np.testing.assert_allclose(unpacked(net(x=given)["y"]), np.broadcast_to(sums, (8, 4, 5)))


def test_results_do_not_depend_on_memory_that_was_freed(ours: Upscaler) -> None:
    image = noise(70, 75)
    first = ours(image)
    for number in range(5):
        ours(noise(40 + number, 50))
        np.testing.assert_array_equal(ours(image), first)


def test_other_networks_are_refused_with_what_to_do() -> None:
    from rlfn.errors import OptionError

    with pytest.raises(OptionError, match=r"rlfn-xs-x4 is a network of another kind, plain.*Use the engine"):
        Upscaler("rlfn-xs-x4", engine="ncnn")
