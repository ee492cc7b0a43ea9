"""Blockwise distillation: each part of a network learns what the same part of its teacher does."""

from __future__ import annotations

import copy
import itertools
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from tiny import TINY, tiny_recipe
from torch import nn

from rlfn.errors import ModelError, OptionError, RlfnError
from rlfn.models.variants import VARIANTS, RLFNFields, variant_from_sizes
from rlfn.networks.build import build
from rlfn.networks.checkpoints import load_checkpoint, save_checkpoint
from rlfn.networks.rlfn import RLFN
from rlfn.training import results
from rlfn.training.blockwise_loss import BlockwiseLoss
from rlfn.training.devices import Devices
from rlfn.training.loop import train
from rlfn.training.reporting import read_metrics

CPU = Devices(accelerator="cpu")
FIELDS = RLFNFields(blocks=2, channels=6, mid=5, esa_channels=3)
PARTS = ("conv_1", "block_1", "conv_2", "upsampler.0")


@pytest.fixture(autouse=True)
def tiny_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    monkeypatch.setattr(results, "_write_onnx", lambda *given: None)


def teacher_file(folder: Path, fields: RLFNFields = TINY.fields, scale: int = 2) -> Path:
    torch.manual_seed(7)
    variant = TINY if fields == TINY.fields else variant_from_sizes("rlfn", asdict(fields))
    network = build(variant, scale)
    with torch.no_grad():
        network.conv_1.weight.mul_(3.0 / 255.0)
        network.upsampler[0].weight.mul_(60.0)
    folder.mkdir(exist_ok=True)
    save_checkpoint(folder / "teacher.safetensors", network, variant, scale, {})
    return folder / "teacher.safetensors"


def stage(teacher: Path, **options: object) -> dict[str, object]:
    loss = {"l1": 0.0, "blockwise": 1.0}
    return {"init": "scratch", "iterations": 40, "loss": loss, "teacher": str(teacher), **options}


def equals() -> tuple[RLFN, RLFN, BlockwiseLoss, torch.Tensor]:
    """Return a teacher, a network with its weights, both as a pair, and a batch."""
    torch.manual_seed(0)
    teacher = RLFN(FIELDS, scale=2)
    network = copy.deepcopy(teacher)
    return teacher, network, BlockwiseLoss(network, teacher), torch.rand(2, 3, 24, 24)


def test_the_parts_make_up_the_network() -> None:
    network = RLFN(FIELDS, scale=3).eval()
    lr = torch.rand(2, 3, 24, 20)
    with torch.no_grad():
        outputs = network.part_outputs(lr)
        again = network.part_outputs(lr, outputs)
        torch.testing.assert_close(nn.functional.pixel_shuffle(outputs[-1], 3), network(lr))
    assert network.part_names() == ["conv_1", "block_1", "block_2", "conv_2", "upsampler.0"]
    for one, other in zip(outputs, again, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_each_part_sees_the_teachers_input_alone() -> None:
    torch.manual_seed(0)
    teacher, network = RLFN(FIELDS, scale=2), RLFN(FIELDS, scale=2)
    pair = BlockwiseLoss(network, teacher)
    errors = pair(torch.rand(2, 3, 24, 24))
    for name, error in zip(network.part_names(), errors, strict=True):
        network.zero_grad()
        error.backward(retain_graph=True)
        touched = {key for key, parameter in network.named_parameters() if parameter.grad.any()}
        assert touched == {key for key, _ in network.named_parameters() if key.startswith(f"{name}.")}
        assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_network_whose_features_are_smaller_by_the_unit_has_no_error() -> None:
    teacher, network, pair, lr = equals()
    torch.testing.assert_close(pair(lr), torch.zeros(5))
    pair.measure(lr)
    unit = float(pair.unit)
    assert unit == pytest.approx(float(teacher.part_outputs(lr)[0].detach().std()))
    assert float(pair(lr).detach().min()) > 1e-4
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name == "conv_1.weight" or (name.endswith("bias") and "esa" not in name and "upsampler" not in name):
                parameter.div_(unit)
            elif name.endswith("esa.conv1.weight") or name == "upsampler.0.weight":
                parameter.mul_(unit)
    torch.testing.assert_close(pair(lr), torch.zeros(5), rtol=0, atol=1e-9)
    torch.testing.assert_close(network(lr), teacher(lr))
    pair.measure(2.0 * lr, trained=True)
    torch.testing.assert_close(pair(lr), torch.zeros(5), rtol=0, atol=1e-9)


def test_an_error_is_relative_to_the_variance_of_the_teachers_output() -> None:
    teacher, network, pair, lr = equals()
    pair.measure(lr)
    with torch.no_grad():
        network.upsampler[0].weight.mul_(pair.unit)
        network.upsampler[0].bias.add_(0.3)
        last = teacher.part_outputs(lr)[-1]
        errors = pair(lr)
    assert float(errors[-1]) == pytest.approx(0.09 / float(last.var()), rel=1e-4)


def test_a_part_that_always_gives_the_same_has_a_finite_error() -> None:
    torch.manual_seed(0)
    teacher, network = RLFN(FIELDS, scale=2), RLFN(FIELDS, scale=2)
    with torch.no_grad():
        teacher.block_2.c5.weight.zero_()
        teacher.block_2.c5.bias.zero_()
    pair = BlockwiseLoss(network, teacher)
    lr = torch.rand(2, 3, 24, 24)
    pair.measure(lr)
    assert torch.isfinite(pair(lr)).all()


def test_a_batch_in_parts_makes_the_same_step(data: Path, tmp_path: Path) -> None:
    teacher = teacher_file(tmp_path / "t")
    for parts in (1, 2):
        recipe = tiny_recipe(stage(teacher, iterations=4, accumulate=parts))
        assert train(recipe, tmp_path / str(parts), data=data, devices=CPU)
    one, two = ([row["loss"] for row in read_metrics(tmp_path / name) if "loss" in row] for name in "12")
    assert len(one) == 4
    assert two == pytest.approx(one, rel=1e-5)


def test_a_stage_brings_every_part_nearer_to_its_teacher(data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(stage(teacher_file(tmp_path / "t"), optimizer={"lr": 1e-2}))
    assert train(recipe, tmp_path / "run", data=data, devices=CPU)
    rows = [row for row in read_metrics(tmp_path / "run") if "loss" in row]
    assert len(rows) == 40
    for part in PARTS:
        assert rows[-1][f"loss_{part}"] < 0.7 * rows[0][f"loss_{part}"], part
    assert rows[-1]["loss"] == pytest.approx(sum(rows[-1][f"loss_{part}"] for part in PARTS) / 4, rel=1e-5)
    metadata = load_checkpoint(tmp_path / "run/model.safetensors").metadata
    assert metadata["teachers"].startswith("teacher.safetensors")


def test_a_stopped_run_goes_on_with_the_same_unit(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rlfn.training import loop

    recipe = tiny_recipe(stage(teacher_file(tmp_path / "t"), iterations=6), saving={"every": 3})
    assert train(recipe, tmp_path / "whole", data=data, devices=CPU)
    count = itertools.count(1)

    def fail(*given: object) -> None:
        if next(count) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        step = loop.Learner.step
        patched.setattr(loop.Learner, "step", lambda self, *given: (fail(), step(self, *given))[1])
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "parts", data=data, devices=CPU)
    assert train(recipe, tmp_path / "parts", data=data, devices=CPU, resume=True)
    one, other = (load_checkpoint(tmp_path / name / "model.safetensors").network for name in ("whole", "parts"))
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, other.state_dict()[name], rtol=0, atol=0)


def test_a_trained_network_keeps_the_size_of_its_features(data: Path, tmp_path: Path) -> None:
    teacher = teacher_file(tmp_path / "t")
    recipe = tiny_recipe(stage(teacher, init=str(teacher), iterations=1))
    assert train(recipe, tmp_path / "run", data=data, devices=CPU)
    assert read_metrics(tmp_path / "run")[0]["loss"] < 1e-9


def test_the_loss_has_the_weight_of_the_recipe(data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(stage(teacher_file(tmp_path / "t"), iterations=1, loss={"blockwise": 2.0}))
    assert train(recipe, tmp_path / "run", data=data, devices=CPU)
    row = read_metrics(tmp_path / "run")[0]
    assert row["loss"] == pytest.approx(2.0 * sum(row[f"loss_{part}"] for part in PARTS) / 4, rel=1e-5)


def test_the_teacher_may_be_wider_inside_its_blocks(data: Path, tmp_path: Path) -> None:
    wide = teacher_file(tmp_path / "t", RLFNFields(blocks=1, channels=8, mid=12, esa_channels=5))
    assert train(tiny_recipe(stage(wide, iterations=2)), tmp_path / "run", data=data, devices=CPU)


@pytest.mark.parametrize(
    ("fields", "scale", "message"),
    [
        (RLFNFields(blocks=2, channels=8, mid=8, esa_channels=4), 2, r"conv_1 \(8\), block_1 \(8\), conv_2"),
        (RLFNFields(blocks=1, channels=10, mid=8, esa_channels=4), 2, "the same parts"),
        (TINY.fields, 3, "upscales by 3, the recipe by 2"),
    ],
)
def test_another_teacher_is_refused_before_the_run(
    fields: RLFNFields, scale: int, message: str, data: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(stage(teacher_file(tmp_path / "t", fields, scale)))
    with pytest.raises(RlfnError, match=message):
        train(recipe, tmp_path / "run", data=data, devices=CPU)
    assert not (tmp_path / "run").exists()


def test_a_network_without_parts_is_refused() -> None:
    with pytest.raises(OptionError, match="does not say what its parts are"):
        BlockwiseLoss(nn.Conv2d(3, 3, 1), RLFN(FIELDS, scale=2))
    with pytest.raises(ModelError, match="must have the same parts"):
        BlockwiseLoss(RLFN(FIELDS, scale=2), nn.Conv2d(3, 3, 1))
