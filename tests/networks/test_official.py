"""The official checkpoints reproduce the scores that were measured on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rlfn.evaluation.metrics import score_y
from rlfn.images.color import to_rgb
from rlfn.images.files import read_picture
from rlfn.inference.upscaler import Upscaler
from rlfn.networks import load_checkpoint
from rlfn.networks.checkpoints import save_checkpoint

BUTTERFLY = {"rlfn_ntire_x4": 28.535, "rlfn_s_x4": 28.847, "rlfn_x4": 28.692, "rlfn_s_x2": 35.550, "rlfn_x2": 35.580}
NAMES = {
    "rlfn_ntire_x4": "rlfn-ntire",
    "rlfn_s_x4": "rlfn-s",
    "rlfn_x4": "rlfn",
    "rlfn_s_x2": "rlfn-s",
    "rlfn_x2": "rlfn",
}
SETS = [
    ("rlfn_s_x4", "Set5", 32.240, 0.8954),
    ("rlfn_s_x4", "Set14", 28.623, 0.7817),
    ("rlfn_x4", "Set5", 32.238, 0.8953),
    ("rlfn_x4", "Set14", 28.620, 0.7814),
    ("rlfn_s_x2", "Set5", 38.047, 0.9607),
    ("rlfn_s_x2", "Set14", 33.623, 0.9174),
    ("rlfn_x2", "Set5", 38.066, 0.9607),
    ("rlfn_x2", "Set14", 33.718, 0.9193),
]


def official(shared: Path, name: str) -> Path:
    return shared / "reference" / "rlfn_official" / f"{name}.pth"


def scores(shared: Path, name: str, data: str, only: str = "*") -> tuple[float, float]:
    upscaler = Upscaler(official(shared, name), engine="torch")
    scale, found = upscaler.scale, []
    for path in sorted((shared / "data" / "bench" / data / "HR").glob(f"{only}.png")):
        hr = to_rgb(read_picture(path).pixels)
        lr = to_rgb(read_picture(path.parents[1] / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png").pixels)
        hr = hr[: lr.shape[0] * scale, : lr.shape[1] * scale]
        found.append(score_y(upscaler(lr), hr, scale))
    return float(np.mean([score.psnr for score in found])), float(np.mean([score.ssim for score in found]))


@pytest.mark.parametrize("name", BUTTERFLY)
def test_butterfly(shared: Path, name: str) -> None:
    checkpoint = load_checkpoint(official(shared, name))
    assert (checkpoint.variant.name, checkpoint.scale) == (NAMES[name], int(name[-1]))
    assert scores(shared, name, "Set5", "butterfly")[0] == pytest.approx(BUTTERFLY[name], abs=0.005)


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "data", "psnr", "ssim"), SETS)
def test_sets(shared: Path, name: str, data: str, psnr: float, ssim: float) -> None:
    found = scores(shared, name, data)
    assert found[0] == pytest.approx(psnr, abs=0.005)
    assert found[1] == pytest.approx(ssim, abs=0.0003)


def test_weights_round_trip_to_the_official_layout(shared: Path, tmp_path: Path) -> None:
    """Official to ours and back: the tensors and their names stay the same, bit for bit."""
    import torch

    source = official(shared, "rlfn_ntire_x4")
    checkpoint = load_checkpoint(source)
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back.pth"
    save_checkpoint(ours, checkpoint.network, checkpoint.variant, checkpoint.scale)
    again = load_checkpoint(ours)
    save_checkpoint(back, again.network, again.variant, again.scale)
    before = torch.load(source, map_location="cpu", weights_only=True)
    after = torch.load(back, weights_only=True)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name].cpu(), after[name]) for name in before)
