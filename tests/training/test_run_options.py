"""What a resumed run may change, the files a run writes, and the options of its stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from test_loop import interrupt, losses
from tiny import TINY, tiny_recipe

from rlfn.data.store import DataSource
from rlfn.errors import ModelError, OptionError
from rlfn.models.variants import VARIANTS, RLFNFields, Variant
from rlfn.networks.build import build
from rlfn.networks.checkpoints import load_checkpoint, save_checkpoint
from rlfn.training import results
from rlfn.training.devices import Devices
from rlfn.training.guard import Guard
from rlfn.training.learner import Learner
from rlfn.training.loop import train
from rlfn.training.reporting import read_metrics
from rlfn.training.run import settings_of_run

CPU = Devices(accelerator="cpu")
OTHER = Variant("tiny-wide", "rlfn", RLFNFields(blocks=1, channels=8, mid=10, esa_channels=4), "for tests")


@pytest.fixture(autouse=True)
def tiny_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in (TINY, OTHER):
        monkeypatch.setitem(VARIANTS, row.name, row)
    monkeypatch.setattr(results, "_write_onnx", lambda *given: None)


def weights_file(folder: Path, row: Variant = TINY, scale: int = 2) -> Path:
    torch.manual_seed(7)
    path = folder / f"{row.name}.safetensors"
    save_checkpoint(path, build(row, scale), row, scale)
    return path


def test_a_run_goes_on_with_another_length_and_rate_and_nothing_else(
    command, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe({"init": "scratch", "iterations": 4}, {"iterations": 6}, saving={"every": 2})
    with monkeypatch.context() as patch:
        assert not train(recipe, tmp_path, data=data, devices=CPU, stop=interrupt(patch, 6))
    for change, message in (
        ("seed=1", "cannot change seed"),
        ("variant=rlfn-s", "cannot change variant"),
        ("stages.1.loss.mse=1.0", "cannot change stages.1.loss.mse"),
        ("stages.0.iterations=9", "that stage is finished. The run is in stages.1"),
    ):
        with pytest.raises(OptionError, match=message):
            settings_of_run(tmp_path, [change])
    changes = ("--set", "stages.1.iterations=8", "--set", "stages.1.optimizer.lr=1e-9")
    assert command("train", "--resume", str(tmp_path), *changes, "--accelerator", "cpu").status == 0
    rows = [row for row in read_metrics(tmp_path) if "loss" in row]
    assert [row["iteration"] for row in rows] == list(range(1, 13))
    assert rows[5]["rate"] > 1e-4
    assert max(row["rate"] for row in rows[6:]) < 1e-8


def test_what_tensorboard_shows_is_trimmed_to_the_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = tiny_recipe({"init": "scratch", "iterations": 9}, saving={"every": 4})
    step = Learner.step

    def failing(self: Learner, *given: Any) -> Any:
        if self.ema.count == 6:
            raise KeyboardInterrupt
        return step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", failing)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path, data=data, devices=CPU)
    assert [row["iteration"] for row in read_metrics(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert train(recipe, tmp_path, data=data, devices=CPU, resume=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 10))
    assert {"rate", "psnr"} <= set(events.Tags()["scalars"])


def test_a_written_model_names_files_and_never_folders(data: Path, tmp_path: Path) -> None:
    import hashlib

    start = weights_file(tmp_path)
    digest = hashlib.sha256(start.read_bytes()).hexdigest()
    stage = {"init": str(start), "iterations": 2, "teacher": str(start), "loss": {"distillation": 1.0}}
    recipe = tiny_recipe(stage, {"iterations": 1}, validation={"sets": ["held-out", str(data.parent / "hr")]})
    assert train(recipe, tmp_path / "run", data=data, devices=CPU)
    metadata = load_checkpoint(tmp_path / "run/model.safetensors").metadata
    assert metadata["initial_weights"] == f"tiny.safetensors (sha256 {digest}), previous"
    assert metadata["teachers"] == f"tiny.safetensors (sha256 {digest})"
    assert str(tmp_path.parent) not in json.dumps(metadata) + (tmp_path / "run/README.md").read_text()


def test_several_sets_are_scored_and_their_pictures_kept(data: Path, tmp_path: Path) -> None:
    options = {"sets": [str(data.parent / "hr"), "held-out"], "pictures": 3, "save": 2, "every": 2}
    assert train(
        tiny_recipe({"init": "scratch", "iterations": 4}, validation=options), tmp_path, data=data, devices=CPU
    )
    rows = [row for row in read_metrics(tmp_path) if "psnr" in row]
    assert {"psnr", "ssim", "psnr_held-out", "ssim_held-out"} <= set(rows[-1])
    saved = sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / "validation").rglob("*.png"))
    assert saved[:3] == [f"validation/000000002/{name}.png" for name in ("held-out/0", "hr/0", "hr/2")]
    assert len(saved) == 6
    best = load_checkpoint(tmp_path / "best.safetensors").metadata["validation_psnr"]
    assert float(best) == pytest.approx(max(row["psnr"] for row in rows), abs=1e-3)


def test_several_packs_and_a_folder_are_trained_on(data: Path, tmp_path: Path) -> None:
    sources = [DataSource(data, 2.0), DataSource(data.parent / "hr")]
    assert train(tiny_recipe({"init": "scratch", "iterations": 3}), tmp_path, data=sources, devices=CPU)
    facts = load_checkpoint(tmp_path / "model.safetensors").metadata
    assert facts["data"] == "pack (weight 2) + hr (weight 1): 12 pictures, bicubic"
    assert settings_of_run(tmp_path)[1] == (DataSource(data, 2.0), DataSource(data.parent / "hr", 1.0))


def test_weights_that_fit_in_part_are_taken_only_when_asked_and_listed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = weights_file(tmp_path, OTHER)
    stage = {"init": str(start), "iterations": 1}
    with pytest.raises(OptionError, match="set partial = true"):
        train(tiny_recipe(stage), tmp_path / "run", data=data, devices=CPU)
    assert train(tiny_recipe({**stage, "partial": True}), tmp_path / "run", data=data, devices=CPU)
    text = capsys.readouterr().err
    assert (
        "tiny-wide.safetensors gives 19 of 24 tensors. These keep their initial values: "
        "block_1.c1_r.weight, block_1.c1_r.bias" in text
    )
    edsr = weights_file(tmp_path, VARIANTS["edsr-baseline"])
    with pytest.raises(ModelError, match="None of the"):
        Learner.start(
            Fabric(accelerator="cpu", devices=1), tiny_recipe({**stage, "init": str(edsr), "partial": True}), 0, None
        )


def test_frozen_parameters_stay_as_they_were(data: Path, tmp_path: Path) -> None:
    start = weights_file(tmp_path)
    stage = {"init": str(start), "iterations": 3, "freeze": ["block_1.*", "conv_1.bias"]}
    stages = (stage, {"iterations": 1, "optimizer": {"name": "muon"}, "freeze": ["block_1.c*"]})
    assert train(tiny_recipe(*stages), tmp_path / "run", data=data, devices=CPU)
    before = load_checkpoint(start).network.state_dict()
    after = load_checkpoint(tmp_path / "run/stage-1.safetensors").network.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith("block_1.") or name == "conv_1.bias"}


def test_a_batch_in_parts_makes_the_step_of_the_whole(data: Path, tmp_path: Path) -> None:
    for count in (1, 2, 4):
        recipe = tiny_recipe({"init": "scratch", "iterations": 5, "accumulate": count})
        assert train(recipe, tmp_path / str(count), data=data, devices=CPU)
    for count in (2, 4):
        assert losses(tmp_path / str(count)) == pytest.approx(losses(tmp_path / "1"), rel=1e-4)


def run_ahead(lag: int, poisoned: int | None = None) -> tuple[Learner, Guard]:
    """Train 40 steps on fixed images with a guard that hears of each step ``lag`` steps late."""
    recipe = tiny_recipe({"init": "scratch", "iterations": 40})
    learner, guard = Learner.start(Fabric(accelerator="cpu", devices=1), recipe, 0, None), Guard()
    learner.lag = lag
    lr = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    hr = torch.nn.functional.interpolate(lr, scale_factor=2)
    for number in range(40):
        wrong = hr * float("nan") if number == poisoned else hr
        learner.step(lr, wrong, number / 40, 1.0, guard)
    learner.catch_up(guard)
    return learner, guard


def test_a_learner_that_runs_ahead_of_its_guard_learns_the_same_and_keeps_bad_steps_out() -> None:
    waiting, ahead = (run_ahead(lag) for lag in (0, 8))
    assert ahead[1] == waiting[1]
    for name, tensor in waiting[0].network.state_dict().items():
        assert torch.equal(tensor, ahead[0].network.state_dict()[name]), name
    learner, guard = run_ahead(8, poisoned=30)
    assert guard.skipped == 1
    assert all(bool(tensor.isfinite().all()) for tensor in learner.network.state_dict().values())


def test_a_network_can_be_compiled(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def compile_(network: torch.nn.Module) -> torch.nn.Module:
        compiled.append(network)
        return network

    monkeypatch.setattr(torch, "compile", compile_)
    recipe = tiny_recipe({"init": "scratch", "iterations": 2}, {"iterations": 1}, compile=True)
    assert train(recipe, tmp_path, data=data, devices=CPU)
    assert len(compiled) == 2


def test_the_curves_show_the_rate(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    labels = []
    monkeypatch.setattr(Axes, "set_ylabel", lambda self, text: labels.append(text))
    results._draw_curves(tmp_path / "c.png", [{"iteration": 1, "mean_loss": 1.0, "rate": 1e-3, "psnr": 20.0}], None)
    assert "learning rate" in labels
    assert np.frombuffer((tmp_path / "c.png").read_bytes()[:4], np.uint8)[0] == 0x89
