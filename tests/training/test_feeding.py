"""The same samples, whether they are drawn on the CPU or gathered on the device."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TINY, tiny_recipe

from rlfn.data.store import DataSource, open_pictures
from rlfn.models.variants import VARIANTS
from rlfn.networks.checkpoints import load_checkpoint
from rlfn.training import results, run
from rlfn.training.devices import Devices
from rlfn.training.feeding import DeviceFeeder, HostFeeder, WantedBatch, make_feeder
from rlfn.training.loop import train

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def tiny_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    monkeypatch.setattr(results, "_write_onnx", lambda *given: None)


@pytest.mark.parametrize("several", [False, True])
def test_gathered_samples_are_the_drawn_ones(several: bool, data: Path) -> None:
    recipe = tiny_recipe({"init": "scratch", "iterations": 1}, data={"held_out": 0.2, "skip_flat": 0.6}, scale=3)
    sources = [DataSource(data), DataSource(data.parent / "hr", 2.0)] if several else [DataSource(data)]
    store = open_pictures(sources)
    host, device = HostFeeder(recipe, store, CPU), DeviceFeeder(recipe, store, CPU)
    for iteration, patch in itertools.product(range(6), (5, 16)):
        wanted = WantedBatch(seed=4, iteration=iteration, first=8 * (iteration % 2), count=8, patch=patch)
        for ours, theirs in zip(device.load(device.draw(wanted)), host.load(host.draw(wanted)), strict=True):
            assert ours.dtype == torch.uint8
            assert torch.equal(ours, theirs)
    pixels = store.pixels(store.split(0.2, "train"))
    assert DeviceFeeder.size(recipe, store) == 3 * (pixels + pixels // 9)


def test_a_run_that_gathers_learns_what_one_that_draws_does(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe({"init": "scratch", "iterations": 5, "phases": [{"at": 0.5, "patch": 20, "batch": 6}]})

    def gathering(*given: Any) -> DeviceFeeder:
        return DeviceFeeder(*given)

    for name, make in (("drawn", make_feeder), ("gathered", gathering)):
        monkeypatch.setattr(run, "make_feeder", make)
        assert train(recipe, tmp_path / name, data=data, devices=Devices(accelerator="cpu"))
    drawn, gathered = (load_checkpoint(tmp_path / n / "model.safetensors").network for n in ("drawn", "gathered"))
    for name, tensor in drawn.state_dict().items():
        assert torch.equal(tensor, gathered.state_dict()[name]), name
