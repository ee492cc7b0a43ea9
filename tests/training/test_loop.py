from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import TINY, tiny_recipe

from rlfn.data.store import DataSource
from rlfn.errors import ModelError, OptionError, TrainingError
from rlfn.inference.engines.onnxruntime import OnnxRuntimeEngine
from rlfn.models.grid import axis_grid
from rlfn.models.variants import VARIANTS
from rlfn.networks.build import build
from rlfn.networks.checkpoints import load_checkpoint, save_checkpoint
from rlfn.training import results
from rlfn.training.checkpoint import Checkpoints
from rlfn.training.devices import Devices
from rlfn.training.learner import Learner, Step
from rlfn.training.loop import train
from rlfn.training.recipe import Recipe
from rlfn.training.reporting import read_metrics
from rlfn.training.run import settings_of_run
from rlfn.training.signals import SignalStop, StopRequest
from waiting import PATIENCE

CPU = Devices(accelerator="cpu")
TWO_STAGES = (
    {
        "init": "interpolate",
        "iterations": 30,
        "optimizer": {"name": "muon", "lr": 5e-3, "adam_lr": 2e-3},
        "centred": True,
    },
    {"init": "previous", "iterations": 20, "patch": 18, "loss": {"contrastive": 0.05}, "contrastive": {"width": 8}},
)


@pytest.fixture(autouse=True)
def tiny_runs(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Let recipes name the tiny network, and leave out the export, which takes longer than such a run, but once."""
    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    if request.node.name != test_two_stages_with_a_warm_start_leave_everything.__name__:
        monkeypatch.setattr(results, "_write_onnx", lambda *given: None)


def losses(out: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(out) if "loss" in row]


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int, number: signal.Signals | None = None) -> StopRequest:
    """Ask for a stop during step number ``at``: with the request that is returned, or with a signal to this process."""
    step, count, stop = Learner.step, itertools.count(1), StopRequest()

    def interrupted(self: Learner, *given: Any) -> Step:
        if next(count) == at:
            stop.asked = True
            if number is not None:
                signal.raise_signal(number)
        return step(self, *given)

    monkeypatch.setattr(Learner, "step", interrupted)
    return stop


def in_a_process(
    recipe: Recipe, out: Path, data: Path, *more: str, launcher: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    script = str(Path(__file__).parent / "run_tiny.py")
    command = [sys.executable, *launcher, script, recipe.model_dump_json(), str(out), str(data), *more]
    places = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": places}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)


def test_two_stages_with_a_warm_start_leave_everything(data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(*TWO_STAGES, validation={"every": 10, "pictures": 2, "crop": 20})
    assert train(recipe, tmp_path, data=data, devices=CPU)
    rows = read_metrics(tmp_path)
    assert [row["iteration"] for row in rows if "loss" in row] == list(range(1, 51))
    assert [row["stage"] for row in rows if "loss" in row] == [1] * 30 + [2] * 20
    found = losses(tmp_path)
    assert np.mean(found[20:30]) < np.mean(found[:5])
    scores = [row["psnr"] for row in rows if "psnr" in row]
    assert len(scores) == 5
    assert scores[2] > scores[0]
    model = load_checkpoint(tmp_path / "model.safetensors")
    assert (model.variant.name, model.scale) == ("tiny", 2)
    assert model.metadata["iterations"] == "50"
    assert model.metadata["recipe_sha256"] == recipe.hash()
    assert float(model.metadata["validation_psnr"]) == pytest.approx(scores[-1], abs=1e-3)
    assert load_checkpoint(tmp_path / "stage-1.safetensors").metadata["iterations"] == "30"
    assert load_checkpoint(tmp_path / "best.safetensors").metadata["validation_psnr"] == f"{max(scores):.4f}"
    engine = OnnxRuntimeEngine((tmp_path / "model.onnx").read_bytes(), 1)
    assert engine.takes_grid  # the graph that rlfn tiles exactly
    lr = np.random.default_rng(0).uniform(0, 255, (1, 3, 16, 19)).astype(np.float32)
    answer = engine(lr, (axis_grid(0, 16, 16), axis_grid(0, 19, 19)))
    assert np.abs(answer - model.network(torch.from_numpy(lr)).numpy()).max() < 0.05
    card = (tmp_path / "README.md").read_text()
    assert "# tiny-x2" in card
    assert model.metadata["data"] in card
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize("at", [7, 33])
def test_a_resumed_run_equals_an_uninterrupted_one(
    at: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny_recipe(*TWO_STAGES, saving={"every": 5}, seed=3)
    assert train(recipe, tmp_path / "whole", data=data, devices=CPU)
    with monkeypatch.context() as patch:
        assert not train(recipe, tmp_path / "parts", data=data, devices=CPU, stop=interrupt(patch, at))
    assert f"Stopped at iteration {at}, everything is saved." in capsys.readouterr().err
    assert settings_of_run(tmp_path / "parts") == (recipe, (DataSource(data),))
    assert train(recipe, tmp_path / "parts", data=data, devices=CPU, resume=True)
    whole, parts = (load_checkpoint(tmp_path / name / "model.safetensors").network for name in ("whole", "parts"))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name]), name
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def test_after_a_kill_the_last_whole_checkpoint_is_used(data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe({"init": "scratch", "iterations": 12}, saving={"every": 5, "keep": 3})
    assert train(recipe, tmp_path / "whole", data=data, devices=CPU)
    killed = tmp_path / "killed"
    done = in_a_process(recipe, killed, data, "die-at", "12")
    assert done.returncode == -signal.SIGKILL, done.stderr
    newest = Checkpoints(killed / "checkpoints", 2).paths()[-1]
    assert newest.name == "iteration-000000010.ckpt"
    newest.write_bytes(newest.read_bytes()[:-100])
    assert train(recipe, killed, data=data, devices=CPU, resume=True)
    assert losses(killed) == losses(tmp_path / "whole")


def test_two_processes_equal_one_with_the_same_global_batch(data: Path, tmp_path: Path) -> None:
    loss = {"l1": 1.0, "contrastive": 0.1}
    muon = {"name": "muon", "lr": 5e-3, "adam_lr": 1e-3, "clip": 0.5}
    save_checkpoint(tmp_path / "teacher.safetensors", build(TINY, 2), TINY, 2)
    recipe = tiny_recipe(
        {"init": "scratch", "iterations": 12, "loss": loss, "contrastive": {"width": 8}},
        {
            "hours": 6.0 / 3600.0,
            "optimizer": muon,
            "centred": True,
            "loss": loss,
            "contrastive": {"width": 8, "ratio": "batch"},
        },
        {"iterations": 4, "loss": {"blockwise": 1.0}, "teacher": str(tmp_path / "teacher.safetensors")},
    )
    assert train(recipe, tmp_path / "one", data=data, devices=CPU, now=itertools.count(0.0).__next__)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = in_a_process(recipe, tmp_path / "two", data, "two", launcher=launcher)
    assert done.returncode == 0, done.stderr
    rates = [[row["rate"] for row in read_metrics(tmp_path / n) if "loss" in row] for n in ("one", "two")]
    assert len(rates[0]) == 22
    assert rates[0] == rates[1]  # the first process's clock is everybody's
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)


@pytest.mark.parametrize("variant", ["rlfn-xxs-train", "rlfn-xxs"])
def test_two_processes_train_a_network_with_a_buffer(data: Path, tmp_path: Path, variant: str) -> None:
    recipe = tiny_recipe({"init": "scratch", "iterations": 3}, variant=variant)
    assert train(recipe, tmp_path / "one", data=data, devices=CPU)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = in_a_process(recipe, tmp_path / "two", data, "two", launcher=launcher)
    assert done.returncode == 0, done.stderr
    assert "strides" not in done.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)


def test_a_stage_in_hours_follows_the_clock_of_its_steps(data: Path, tmp_path: Path) -> None:
    phases = [{"at": 0.5, "patch": 20, "batch": 6}]
    recipe = tiny_recipe({"init": "scratch", "hours": 40.0 / 3600.0, "phases": phases})
    # every step lasts one second by this clock, but for one during which the machine slept
    reading, slept = itertools.count(), iter([0.0] * 21 + [5000.0] * 1000)
    assert train(recipe, tmp_path, data=data, devices=CPU, now=lambda: next(reading) + next(slept))
    rows = [row for row in read_metrics(tmp_path) if "loss" in row]
    assert len(rows) == 40
    assert rows[-1]["seconds"] == 40.0
    assert rows[-1]["progress"] == 1.0
    rates = [row["rate"] for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.01 * rates[0]
    pixels = int(load_checkpoint(tmp_path / "model.safetensors").metadata["lr_pixels"])
    assert 20 * 4 * 16**2 + 20 * 6 * 20**2 - pixels in range(-3000, 6000)  # batches are drawn two steps ahead


def poison(monkeypatch: pytest.MonkeyPatch, bad: set[int]) -> None:
    """Make the loss of the given calls not a number."""
    from rlfn.training.objective import Objective

    forward, count = Objective.forward, itertools.count(1)

    def poisoned(self: Objective, *given: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        total, parts = forward(self, *given)
        return (total * math.nan if next(count) in bad else total), parts

    monkeypatch.setattr(Objective, "forward", poisoned)


def test_a_loss_that_is_no_number_is_skipped(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, {5, 9})
    assert train(tiny_recipe({"init": "scratch", "iterations": 12}), tmp_path, data=data, devices=CPU)
    assert read_metrics(tmp_path)[-2]["skipped"] == 2
    network = load_checkpoint(tmp_path / "model.safetensors").network
    assert all(bool(parameter.isfinite().all()) for parameter in network.parameters())


def test_a_streak_rolls_back_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    poison(monkeypatch, set(range(8, 11)))
    recipe = tiny_recipe({"init": "scratch", "iterations": 12}, guard={"max_skipped": 3}, saving={"every": 5})
    assert train(recipe, tmp_path, data=data, devices=CPU)
    assert "back to iteration 5, at 0.5 of the learning rate" in capsys.readouterr().err
    state, _ = Checkpoints(tmp_path / "checkpoints", 2).load_last()
    assert (state["state"]["rate"], state["state"]["roll_backs"]) == (0.5, 1)


def test_a_second_streak_stops_with_the_batch_saved(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, set(range(8, 100)))
    recipe = tiny_recipe({"init": "scratch", "iterations": 12}, guard={"max_skipped": 3}, saving={"every": 5})
    with pytest.raises(TrainingError, match="exploded again"):
        train(recipe, tmp_path, data=data, devices=CPU)
    batch = np.load(tmp_path / "stopped-batch-0.npz")
    assert batch["lr"].shape == (4, 3, 16, 16)
    assert batch["hr"].shape == (4, 3, 32, 32)


WAYS: dict[str, tuple[dict[str, Any], ...]] = {
    "e2000": ({"init": "scratch", "iterations": 40},),
    "clr": ({"init": "scratch", "iterations": 20}, {"iterations": 20, "carry_optimizer": True}),
    "warm start": ({"init": "scratch", "iterations": 20}, {"iterations": 20}),
    "distillation": (
        {"init": "scratch", "iterations": 40, "teacher": "TEACHER", "loss": {"distillation": 0.9, "l1": 0.1}},
    ),
    "vgg19": (
        {
            "init": "scratch",
            "iterations": 12,
            "batch": 2,
            "loss": {"contrastive": 0.01},
            "contrastive": {"extractor": "vgg19", "vgg19": "random"},
        },
    ),
    "spectrum": ({"init": "scratch", "iterations": 40, "loss": {"l1": 0.0, "fourier": 1.0, "charbonnier": 1.0}},),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_train_learns(way: str, data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = build(TINY, 2)
    teacher.start_as_interpolation()
    save_checkpoint(tmp_path / "teacher.safetensors", teacher, TINY, 2)
    stages = [
        {**stage, **({"teacher": str(tmp_path / "teacher.safetensors")} if "teacher" in stage else {})}
        for stage in WAYS[way]
    ]
    assert train(tiny_recipe(*stages), tmp_path / "run", data=data, devices=CPU)
    found = losses(tmp_path / "run")
    assert np.isfinite(found).all()
    assert np.mean(found[-4:]) < np.mean(found[:4])


def test_clr_carries_the_optimisers_state_and_nothing_else_does(data: Path, tmp_path: Path) -> None:
    for way in ("clr", "warm start"):
        recipe = tiny_recipe(*WAYS[way], saving={"milestones": 20})
        train(recipe, tmp_path / way, data=data, devices=CPU)
        state, _ = Checkpoints(tmp_path / way / "checkpoints", 2).load_last()
        steps = {float(one["step"]) for one in state["learner"]["optimizer"]["state"].values()}
        assert steps == ({40.0} if way == "clr" else {20.0})
        assert state["learner"]["optimizer"]["param_groups"][0]["peak_lr"] == 2e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": 4}, "has no x4 pictures; it has: 2, 3"),
        ({"stages": [{"init": "scratch", "iterations": 1, "patch": 14}]}, "tiny needs 15"),
        ({"stages": [{"init": "scratch", "iterations": 1, "patch": 60}]}, "smaller than a crop of 120x120"),
        ({"validation": {"sets": "nowhere"}}, "no set nowhere"),
        ({"stages": [{"init": "missing.safetensors", "iterations": 1}]}, "no file missing"),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_step(
    changes: dict[str, Any], message: str, data: Path, tmp_path: Path
) -> None:
    stages = changes.pop("stages", [{"init": "scratch", "iterations": 1}])
    with pytest.raises(OptionError, match=message):
        train(tiny_recipe(*stages, **changes), tmp_path, data=data, devices=CPU)
    assert not (tmp_path / "checkpoints").exists()


def test_a_run_is_not_overwritten_and_needs_data(data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe({"init": "scratch", "iterations": 1})
    with pytest.raises(OptionError, match="names no data"):
        train(recipe, tmp_path, devices=CPU)
    train(recipe, tmp_path, data=data, devices=CPU)
    with pytest.raises(OptionError, match="holds a run already"):
        train(recipe, tmp_path, data=data, devices=CPU)
    with pytest.raises(ModelError, match="holds no run"):
        settings_of_run(tmp_path / "elsewhere")


RECIPE = """
variant = "tiny"
scale = 2
stages = [{ init = "scratch", iterations = 8, patch = 16, batch = 4 }]
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_line_stops_and_goes_on(
    command, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, status: int
) -> None:
    (tmp_path / "mine.toml").write_text(RECIPE)
    with monkeypatch.context() as patch:
        interrupt(patch, 3, number)
        options = ("--set", "stages.0.batch=2", "--accelerator", "cpu")
        done = command("train", "mine.toml", "--data", str(data), *options)
    assert done.status == status
    assert "rlfn train --resume runs/mine" in done.err
    assert command("train", "--resume", "runs/mine", "--accelerator", "cpu").status == 0
    metadata = load_checkpoint(tmp_path / "runs/mine/model.safetensors").metadata
    assert (metadata["iterations"], metadata["lr_pixels"]) == ("8", str(8 * 2 * 16**2))


SMALL_RECIPE = """
variant = { architecture = "rlfn", blocks = 1, channels = 8, mid = 8 }
scale = 2
log_every = 1
stages = [{ init = "scratch", hours = 1, patch = 16, batch = 2 }]
"""


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")
def test_a_training_whose_terminal_closes_saves_and_ends(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(SMALL_RECIPE)
    terminal, end = os.openpty()
    command = [sys.executable, "-m", "rlfn", "train", "mine.toml", "--data", str(data), "--accelerator", "cpu"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=end, stdout=end, stderr=end, start_new_session=True) as process:
        os.close(end)
        said = b""
        while b"iteration 2" not in said:
            said += os.read(terminal, 1024)
        os.close(terminal)
        process.send_signal(signal.SIGHUP)
        assert process.wait(PATIENCE) == 129
    assert len(list((tmp_path / "runs/mine/checkpoints").glob("*.ckpt"))) == 2  # the beginning and the end


@pytest.mark.skipif(os.name == "nt", reason="no SIGHUP")
def test_the_hangup_of_the_system_and_that_of_the_shell_are_one() -> None:
    struck: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, frame: struck.append(number))
    try:
        stop = SignalStop()
        with stop.watched():
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
        assert (stop.asked, stop.number, struck) == (True, signal.SIGHUP, [])
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(os.name == "nt", reason="no SIGHUP")
def test_an_ignored_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = SignalStop()
        with stop.watched():
            signal.raise_signal(signal.SIGHUP)
        assert not stop.asked
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_to_stop_only_while_a_training_can_save(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    struck: list[int] = []
    before = signal.signal(number, lambda number, frame: struck.append(number))
    try:
        stop = SignalStop()
        signal.raise_signal(number)
        assert (struck, stop.asked) == ([number], False)
        monkeypatch.setattr(sys, "stderr", sys.__stderr__)
        with stop.watched():
            signal.raise_signal(number)
            assert (struck, stop.asked) == ([number], True)
            assert "Stopping after this step" in capfd.readouterr().err
            signal.raise_signal(signal.SIGTERM)  # after Ctrl-C torchrun sends this one too
            assert struck == [number] * (1 if number == signal.SIGINT else 2)
            signal.raise_signal(number)
        signal.raise_signal(number)
        assert struck == [number] * (3 if number == signal.SIGINT else 4)
    finally:
        signal.signal(number, before)


def test_the_command_line_refuses_contradictions_and_shows_the_cost(command, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(RECIPE)
    assert "--resume resumes a run" in command("train", "mine.toml", "--resume", str(tmp_path)).err
    assert "cpu-evening" in command("train").err
    assert "8.2 k LR px" in command("train", "mine.toml", "--dry-run").out.decode()
    assert not (tmp_path / "runs").exists()


def test_validation_on_a_folder(data: Path, tmp_path: Path) -> None:
    recipe: Recipe = tiny_recipe(
        {"init": "interpolate", "iterations": 2}, validation={"sets": str(data.parent / "hr"), "pictures": 3}
    )
    train(recipe, tmp_path, data=data, devices=CPU)
    scored = [row for row in read_metrics(tmp_path) if "psnr" in row]
    assert len(scored) == 1
    assert scored[0]["psnr"] > 15.0
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])["iteration"] == 2


def test_only_one_process_trains_in_a_folder(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe({"init": "scratch", "iterations": 4})
    out, rows = tmp_path / "run", []
    plain = Learner.step

    def step(self: Learner, *given: Any) -> Step:
        if not rows:
            for resume in (False, True):
                with pytest.raises(OptionError, match="trains in" if resume else "holds a run already"):
                    train(recipe, out, data=data, devices=CPU, resume=resume)
            rows.append(True)
        return plain(self, *given)

    monkeypatch.setattr(Learner, "step", step)
    assert train(recipe, out, data=data, devices=CPU)
    assert rows
    assert [row["iteration"] for row in read_metrics(out) if "loss" in row] == [1, 2, 3, 4]
    more = tiny_recipe({"init": "scratch", "iterations": 6})
    assert train(more, out, data=data, devices=CPU, resume=True)
