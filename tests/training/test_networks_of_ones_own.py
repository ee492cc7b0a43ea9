"""Networks by their sizes, and networks, losses and degradations from outside the package."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_recipe

import rlfn
from rlfn.data.degradations import DEGRADATIONS
from rlfn.errors import ModelError, OptionError
from rlfn.models.variants import SIZES, in_recipes
from rlfn.networks.build import ARCHITECTURES
from rlfn.networks.checkpoints import load_checkpoint, save_checkpoint
from rlfn.networks.prune import prune
from rlfn.training import results
from rlfn.training.devices import Devices
from rlfn.training.loop import train
from rlfn.training.losses import PIXEL_LOSSES
from rlfn.training.recipe_files import load_recipe
from rlfn.training.signals import StopRequest

CPU = Devices(accelerator="cpu")
SIZED = {"architecture": "rlfn", "blocks": 1, "channels": 8, "mid": 6, "esa_channels": 4}
STAGE = {"init": "scratch", "iterations": 4}


@pytest.fixture
def no_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "_write_onnx", lambda *given: None)


def test_a_network_of_its_own_sizes_trains_resumes_and_says_its_sizes(data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(STAGE, variant=SIZED, saving={"every": 2})
    stop = StopRequest()
    stop.asked = True
    assert not train(recipe, tmp_path, data=data, devices=CPU, stop=stop)
    assert train(recipe, tmp_path, data=data, devices=CPU, resume=True)
    model = load_checkpoint(tmp_path / "model.safetensors")
    assert (model.variant.name, model.metadata["architecture"]) == ("rlfn-custom", "rlfn")
    assert json.loads(model.metadata["sizes"]) == {"blocks": 1, "channels": 8, "mid": 6, "esa_channels": 4}
    assert (tmp_path / "model.onnx").is_file()
    assert "# rlfn-custom-x2" in (tmp_path / "README.md").read_text()


@pytest.mark.usefixtures("no_onnx")
def test_any_rlfn_is_pruned_and_trained_on(data: Path, tmp_path: Path) -> None:
    assert train(tiny_recipe(STAGE, variant=SIZED), tmp_path / "wide", data=data, devices=CPU)
    pruned = prune(load_checkpoint(tmp_path / "wide/model.safetensors"), channels=6, mid=5)
    save_checkpoint(tmp_path / "pruned.safetensors", pruned.network, pruned.variant, pruned.scale, pruned.metadata)
    sizes = {"architecture": "rlfn", **json.loads(load_checkpoint(tmp_path / "pruned.safetensors").metadata["sizes"])}
    assert tomllib.loads(f"variant = {in_recipes(pruned.variant)}")["variant"] == sizes
    tuned = tiny_recipe({**STAGE, "init": str(tmp_path / "pruned.safetensors")}, variant=sizes)
    assert train(tuned, tmp_path / "tuned", data=data, devices=CPU)
    assert load_checkpoint(tmp_path / "tuned/model.safetensors").variant.fields.channels == 6


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({**SIZED, "chanels": 3}, "Did you mean 'channels'"),
        ({"architecture": "rlfn", "blocks": 1, "channels": 8}, "also needs: mid"),
        ({**SIZED, "blocks": 0}, "whole numbers from 1 up"),
        ({**SIZED, "architecture": "rlfm"}, "Did you mean 'rlfn'"),
        ({"blocks": 1}, "no architecture '(none)'"),
        ({"architecture": "rfdn", "blocks": 1, "channels": 8, "esa_channels": 4, "body": "rfdx"}, "Allowed: rfdb, srb"),
    ],
)
def test_wrong_sizes_say_what_is_allowed(sizes: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        tiny_recipe(STAGE, variant=sizes)
    assert message in str(caught.value)


def test_sizes_that_the_table_has_are_that_row() -> None:
    assert (
        tiny_recipe(STAGE, variant={"architecture": "rlfn", "blocks": 6, "channels": 48, "mid": 48}).network.name
        == "rlfn-s"
    )


EXTENSION = """
from dataclasses import dataclass
import numpy as np
from torch import nn
from rlfn.networks.build import Architecture, undeduced

@dataclass(frozen=True)
class MineSizes:
    channels: int

class Mine(nn.Module):
    def __init__(self, sizes, scale):
        super().__init__()
        self.body = nn.Conv2d(3, sizes.channels, 3, padding=1)
        self.tail = nn.Sequential(nn.Conv2d(sizes.channels, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))
        self.range_ends = ("body", "tail.0")

    def forward(self, x):
        return self.tail(self.body(x).relu())

def signed(sr, hr):
    return (sr - hr).abs().pow(1.5).mean()

@dataclass(frozen=True)
class Nearest:
    packed = False
    clean = 0.0
    margin = 0
    offset: int = 0
    def apply(self, hr, scale, random):
        return np.ascontiguousarray(hr[self.offset::scale, self.offset::scale])
    def degrade(self, hr, scale, random):
        return self.apply(hr, scale, random)

NETWORKS = {"mine": (MineSizes, Architecture(Mine, undeduced, 1, False, lambda sizes: 2, 1))}
LOSSES = {"signed": signed}
DEGRADATIONS = {"nearest": Nearest}
"""
RECIPE = """
extensions = ["mine.py"]
variant = { architecture = "mine", channels = 6 }
scale = 2
log_every = 1
[data]
degradation = "nearest"
degradation_settings = { offset = 1 }
held_out = 0.2
[validation]
crop = 20
[[stages]]
init = "scratch"
iterations = 6
patch = 16
batch = 4
loss = { signed = 1.0, l1 = 0.5 }
"""


@pytest.fixture
def tables() -> Iterator[None]:
    """Put the tables back after a test that adds to them."""
    changed = (ARCHITECTURES, SIZES, PIXEL_LOSSES, DEGRADATIONS)
    before = [dict(table) for table in changed]
    yield
    for table, rows in zip(changed, before, strict=True):
        table.clear()
        table.update(rows)  # type: ignore[arg-type]


@pytest.mark.usefixtures("tables")
def test_ones_own_network_loss_and_degradation_from_a_file(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(EXTENSION)
    (tmp_path / "mine.toml").write_text(RECIPE)
    recipe = load_recipe(tmp_path / "mine.toml")
    assert train(recipe, tmp_path / "run", data=data, devices=CPU)
    model = load_checkpoint(tmp_path / "run/model.safetensors")
    assert (model.variant.architecture, model.scale) == ("mine", 2)
    assert model.metadata["extensions"].startswith("mine.py (sha256 ")
    assert str(tmp_path) not in json.dumps(model.metadata) + (tmp_path / "run/README.md").read_text()
    image = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    upscaled = rlfn.upscale(image, model=str(tmp_path / "run/model.onnx"), scale=2, engine="onnxruntime")
    planes = torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1))[None]
    wanted = model.network(planes).round().clamp(0, 255)[0].numpy().transpose(1, 2, 0)
    assert np.abs(upscaled - wanted).max() <= 1.0


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("def signed", "def signed(sr, hr): return sr - hr\ndef other"), "fails on two"),
        (("hr[self.offset::scale, self.offset::scale]", "hr"), "not uint8 of half the size"),
        (('"signed": signed', '"l1": signed'), "a loss 'l1', which exists already"),
        (("import numpy", "import nonsense"), "cannot be loaded: ModuleNotFoundError"),
        (('"mine": (MineSizes,', '"mine": (None,'), "not a pair of a dataclass"),
    ],
)
def test_an_extension_is_checked_as_the_package_is(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(EXTENSION.replace(*change))
    (tmp_path / "mine.toml").write_text(RECIPE)
    with pytest.raises(OptionError) as caught:
        load_recipe(tmp_path / "mine.toml")
    assert message in str(caught.value)


@pytest.mark.usefixtures("tables")
def test_an_installed_extension_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rlfn.models.variants import variant_from_sizes
    from rlfn.networks import extensions
    from rlfn.networks.build import build

    (tmp_path / "mine.py").write_text(EXTENSION)
    module = extensions.load_module(tmp_path / "mine.py")
    monkeypatch.setattr(extensions, "installed", lambda: [module])
    extensions.register_installed_networks()
    row = variant_from_sizes("mine", {"channels": 4})
    save_checkpoint(tmp_path / "m.safetensors", build(row, 2), row, 2)
    for table in (ARCHITECTURES, SIZES):
        table.pop("mine")
    assert load_checkpoint(tmp_path / "m.safetensors").variant == row


def test_a_file_of_an_unknown_architecture_asks_for_its_extension(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    facts = {"architecture": "theirs", "sizes": "{}", "scale": "2", "variant": "theirs-custom"}
    save_file({"a": torch.zeros(1)}, tmp_path / "theirs.safetensors", metadata=facts)
    with pytest.raises(ModelError, match="Load the extension that defines it"):
        load_checkpoint(tmp_path / "theirs.safetensors")
