"""Tiles that compute what the whole picture does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from rlfn.errors import OptionError
from rlfn.images.files import read_picture
from rlfn.inference.hardware import available_memory
from rlfn.inference.tiling import spans, tiles
from rlfn.inference.upscaler import Upscaler
from rlfn.models.grid import axis_grid, pooled_length
from rlfn.models.variants import VARIANTS, EDSRFields, IMDNFields, SPANFields, Variant
from rlfn.networks import ARCHITECTURES, build, save_checkpoint

EXAMPLE = Path(__file__).parents[2] / "examples" / "astronaut.png"


@given(
    length=st.integers(1, 3000), room=st.integers(1, 60), margin=st.integers(0, 60), stride=st.sampled_from([1, 2, 6])
)
def test_cores_cover_an_axis_exactly_once(length: int, room: int, margin: int, stride: int) -> None:
    tile = 2 * -(-margin // stride) * stride + room * stride
    found = spans(length, tile, margin, stride)
    assert [span.core_start for span in found] == [0, *(span.core_stop for span in found[:-1])]
    assert found[-1].core_stop == found[-1].stop == length
    assert len({span.stop - span.start for span in found}) <= 2
    for span in found:
        assert span.start % stride == 0
        assert span.stop - span.start <= tile
        assert span.start <= max(0, span.core_start - margin)
        assert span.stop >= min(length, span.core_stop + margin)
        assert span.core_start < span.core_stop


def test_tiles_cover_a_picture() -> None:
    hits = np.zeros((200, 333), int)
    for tile in tiles(200, 333, 108, 36, 6):
        hits[tile.rows.core_start : tile.rows.core_stop, tile.columns.core_start : tile.columns.core_stop] += 1
    assert (hits == 1).all()


def test_a_tile_without_room_is_refused() -> None:
    with pytest.raises(OptionError, match="at least 78 px"):
        spans(500, 72, 36, 6)


@given(length=st.integers(15, 400))
def test_the_whole_axis_is_torchs_bilinear_resize(length: int) -> None:
    pooled = pooled_length(length)
    values = torch.arange(pooled, dtype=torch.float64).sin()
    wanted = F.interpolate(values[None, None, :, None], (length, 1), mode="bilinear", align_corners=False)[0, 0, :, 0]
    grid = axis_grid(0, length, length)
    np.testing.assert_allclose(grid.interpolate @ values.numpy(), wanted.numpy(), atol=1e-5)
    assert np.array_equal(grid.pad @ np.ones(pooled, np.float32), [0, *[1] * pooled, 0])


@given(start=st.integers(1, 20).map(lambda n: 6 * n), size=st.integers(60, 120), rest=st.integers(1, 300))
def test_a_tiles_rows_are_the_whole_pictures(start: int, size: int, rest: int) -> None:
    """Away from the tile's ends each line takes the same samples with the same weights as in the whole picture."""
    length = start + size + rest
    whole, part = axis_grid(0, length, length), axis_grid(start, start + size, length)
    inner = slice(24, size - 24)
    wide = np.zeros((size, pooled_length(length)), np.float32)
    offset = start // 6
    wide[:, offset : offset + part.interpolate.shape[1]] = part.interpolate
    np.testing.assert_array_equal(wide[inner], whole.interpolate[start : start + size][inner])
    np.testing.assert_allclose(part.interpolate.sum(axis=1), 1.0, atol=1e-6)
    assert part.pad[0, 0] == part.pad[-1, -1] == 1.0


def difference(model: str | Path, image: np.ndarray, tile: int) -> tuple[int, float]:
    engine = "onnxruntime" if isinstance(model, str) else "torch"
    whole = Upscaler(model, engine=engine, tile=0)(image).astype(int)
    tiled = Upscaler(model, engine=engine, tile=tile)(image).astype(int)
    return int(np.abs(tiled - whole).max()), float(np.abs(tiled - whole).mean())


def test_tiled_equals_whole_on_a_photograph() -> None:
    image = read_picture(EXAMPLE).pixels[:150, :190]
    worst, mean = difference("rlfn-s-x4", image, 96)
    assert worst <= 2
    assert mean < 0.05


@pytest.mark.parametrize("picture", ["barbara", "ppt3"])
@pytest.mark.parametrize(
    "weights",
    ["packaged", pytest.param("rlfn_s_x4", marks=pytest.mark.heavy), pytest.param("rlfn_x4", marks=pytest.mark.heavy)],
)
def test_tiled_equals_whole_on_the_hard_pictures(shared: Path, picture: str, weights: str) -> None:
    image = read_picture(shared / "data" / "bench" / "Set14" / "LR_bicubic" / "X4" / f"{picture}x4.png").pixels
    model = "rlfn-s-x4" if weights == "packaged" else shared / "reference" / "rlfn_official" / f"{weights}.pth"
    worst, mean = difference(model, image, 96)
    assert worst <= 2
    assert mean < 0.05


LOCAL = {
    "edsr-baseline": VARIANTS["edsr-baseline"],
    "imdn-aim": VARIANTS["imdn-aim"],
    "span": VARIANTS["span"],
    "span-ch28": VARIANTS["span-ch28"],
    "edsr-deep": Variant("edsr-custom", "edsr", EDSRFields(20, 8), "deeper than any of the table"),
    "edsr-flat": Variant("edsr-custom", "edsr", EDSRFields(2, 8), "flatter than any of the table"),
    "imdn-deep": Variant("imdn-custom", "imdn", IMDNFields(9, 8), "deeper than the one of the table"),
    "span-deep": Variant("span-custom", "span", SPANFields(9, 8), "deeper than any of the table"),
}
"""Networks of convolutions only: none of them looks at the whole picture, IMDN in its challenge's form neither."""


def pieced(network: torch.nn.Module, lr: torch.Tensor, tile: int, margin: int, scale: int) -> torch.Tensor:
    """Upscale (1, 3, H, W) tile by tile."""
    height, width = lr.shape[2:]
    found = torch.full((1, 3, height * scale, width * scale), float("nan"))
    for part in tiles(height, width, tile, margin, 1):
        rows, columns = part.rows, part.columns
        sr = network(lr[:, :, rows.start : rows.stop, columns.start : columns.stop])
        target = [slice(span.core_start * scale, span.core_stop * scale) for span in (rows, columns)]
        cut = [slice((s.core_start - s.start) * scale, (s.core_stop - s.start) * scale) for s in (rows, columns)]
        found[:, :, target[0], target[1]] = sr[:, :, cut[0], cut[1]]
    return found


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("scale", [1, 4])
def test_local_networks_tiles_are_exact(name: str, scale: int) -> None:
    """With a margin as wide as what the network sees, rounding alone is left."""
    torch.manual_seed(0)
    variant = LOCAL[name]
    network = build(variant, scale).eval().requires_grad_(False)
    margin = ARCHITECTURES[variant.architecture].margin(variant.fields)
    lr = 255.0 * torch.rand(1, 3, 30, 2 * margin + 50)
    whole = network(lr)
    assert (pieced(network, lr, 2 * margin + 20, margin, scale) - whole).abs().max() <= 1e-5 * whole.abs().max()


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("scale", [1, 4, 8])
def test_a_margin_is_what_the_network_sees(name: str, scale: int) -> None:
    """The gradient of the pixels made of one goes back as far as the margin, but for EDSR's last px at most."""
    variant = LOCAL[name]
    network = build(variant, scale).eval().double().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            # positive, so that nothing cancels on its way
            module.weight.fill_(1.0 / module.weight[0].numel())
    margin = ARCHITECTURES[variant.architecture].margin(variant.fields)
    lr = torch.full((1, 3, 1, 2 * margin + 9), 200.0, dtype=torch.float64, requires_grad=True)
    middle = margin + 4
    network(lr)[:, :, :, middle * scale : (middle + 1) * scale].sum().backward()
    assert lr.grad is not None
    reached = lr.grad[0].abs().sum((0, 1)).nonzero()[:, 0]
    assert margin - 1 <= max(int(reached[-1]) - middle, middle - int(reached[0])) <= margin


@pytest.mark.parametrize("name", ["edsr-baseline", "imdn-aim", "span"])
def test_peers_are_tiled_exactly_by_the_upscaler(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "w.safetensors"
    save_checkpoint(path, build(VARIANTS[name], 2), VARIANTS[name], 2)
    margin = ARCHITECTURES[VARIANTS[name].architecture].margin(VARIANTS[name].fields)
    worst, mean = difference(path, read_picture(EXAMPLE).pixels[:40, : 2 * margin + 60], 2 * margin + 24)
    # where a value lies between two levels, rounding of the last bit decides
    assert worst <= 1
    assert mean < 0.001


def test_some_memory_is_available() -> None:
    assert available_memory() > 0
