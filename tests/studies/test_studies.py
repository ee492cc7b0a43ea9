"""Every study that trains, from the request to the page, with tiny networks."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from rlfn.errors import ModelError
from rlfn.models.variants import get_variant
from rlfn.networks import build, save_checkpoint
from rlfn.networks.rfdn import GroupESA
from rlfn.studies import contrastive, esa, runs
from rlfn.studies.perceptual import vgg19_distance
from rlfn.studies.request import StudyRequest
from rlfn.studies.table import STUDIES
from rlfn.training.extractors import VGG19


@pytest.mark.parametrize("name", [name for name, study in STUDIES.items() if study.trains])
def test_a_study_writes_everything_and_does_nothing_twice(
    name: str, asked: StudyRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contrastive, "cached_vgg19", lambda: None)
    assert STUDIES[name].run(asked)
    rows = list(csv.DictReader((asked.out / "table.csv").read_text().splitlines()))
    assert len(rows) >= 2
    for row in rows:
        if row["stages"]:
            assert float(row["few, dB, seed 0"]) > 5.0
            assert float(row["few, dB, seed 1"]) > 5.0
            assert 0.0 < float(row["few, SSIM"]) <= 1.0
    text = (asked.out / "README.md").read_text()
    assert "iterations=2: 2 iterations a stage" in text
    assert "seed to seed" in text
    assert (asked.out / "scores.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(runs, "train", lambda *given, **named: pytest.fail("trained again"))
    monkeypatch.setattr("rlfn.studies.scoring.evaluate", lambda *given: pytest.fail("scored again"))
    monkeypatch.setattr("rlfn.studies.scoring.time_in_turn", lambda *given: pytest.fail("timed again"))
    assert STUDIES[name].run(asked)
    assert (asked.out / "README.md").read_text() == text


def test_the_architecture_table_counts_and_times(asked: StudyRequest) -> None:
    assert STUDIES["architecture"].run(dataclasses.replace(asked, seeds=1))
    rows = {row[""]: row for row in csv.DictReader((asked.out / "table.csv").read_text().splitlines())}
    assert list(rows) == ["RFDB", "RFDBR48", "RFDBR52", "RLFB"]
    assert float(rows["RFDBR48"]["multiply-adds, G"]) < float(rows["RFDB"]["multiply-adds, G"])
    assert rows["RFDBR52"]["parameters, K"] == rows["RLFB"]["parameters, K"]
    assert all(float(row["torch, ms"]) > 0.0 for row in rows.values())


def test_without_the_weights_of_vgg19_its_rows_say_so(asked: StudyRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contrastive, "cached_vgg19", lambda: None)
    assert STUDIES["contrastive"].run(dataclasses.replace(asked, seeds=1))
    lines = (asked.out / "table.md").read_text().splitlines()
    found = {line.split("|")[1].strip(): line for line in lines}
    for label in ("vgg19", "vgg19, layers 1 and 3", "vgg19, layers 9 and 13", "vgg19-tanh"):
        assert "not measured" in found[label].split("|")[4]
    assert "not measured" not in found["vgg19 with random weights"].split("|")[4]
    assert "give the study its path" in (asked.out / "README.md").read_text()


def test_with_the_weights_of_vgg19_every_row_is_measured(asked: StudyRequest, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "vgg19.pth"
    torch.save(VGG19(nn.ReLU).state_dict(), weights)
    assert STUDIES["contrastive"].run(dataclasses.replace(asked, seeds=1, vgg19=weights))
    rows = list(csv.DictReader((asked.out / "table.csv").read_text().splitlines()))
    assert len(rows) == len(contrastive.CHOICES)
    assert all(float(row["VGG-19 distance"]) > 0.0 for row in rows)
    assert "not measured" not in (asked.out / "table.md").read_text()


def test_the_perceptual_distance_is_zero_for_equal_pictures_alone() -> None:
    torch.manual_seed(0)
    network = VGG19(nn.ReLU).eval()
    hr = torch.randint(0, 256, (32, 40, 3), dtype=torch.uint8).numpy()
    assert vgg19_distance(network, hr, hr) == 0.0
    near, far = (vgg19_distance(network, (hr * (1.0 - share)).astype("uint8"), hr) for share in (0.05, 0.5))
    assert 0.0 < near < far


@pytest.mark.usefixtures("tiny")
def test_the_weakest_filters_are_removed_in_every_block() -> None:
    torch.manual_seed(0)
    network = build(get_variant("rfdn-rlfb"), 2)
    pruned = esa.without_weakest(network, "conv3", 0.5)
    for before, after in zip(network.modules(), pruned.modules(), strict=True):
        if isinstance(before, GroupESA) and isinstance(after, GroupESA):
            norms = before.get_parameter("conv3.weight").detach().abs().sum(dim=(1, 2, 3))
            kept = after.get_parameter("conv3.weight").detach().abs().sum(dim=(1, 2, 3))
            assert int((kept == 0).sum()) == 2
            assert float(norms[kept == 0].max()) < float(norms[kept > 0].min())
            assert torch.equal(after.get_parameter("conv_max.weight"), before.get_parameter("conv_max.weight"))
    assert torch.equal(
        esa.without_weakest(network, "conv3", 0.0).get_parameter("B1.esa.conv3.weight"),
        network.get_parameter("B1.esa.conv3.weight"),
    )


def test_sensitivity_needs_a_group_of_convolutions(asked: StudyRequest, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, build(get_variant("rlfn-s"), 4), get_variant("rlfn-s"), 4, {})
    with pytest.raises(ModelError, match="RFDN"):
        STUDIES["esa"].run(dataclasses.replace(asked, seeds=1, models=(str(path),)))


def test_a_small_budget_branches_from_trained_weights(asked: StudyRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    path = asked.out.with_name("trained.safetensors")
    save_checkpoint(path, build(get_variant("rlfn-s"), 4), get_variant("rlfn-s"), 4, {})
    monkeypatch.setattr(contrastive, "second_stage", lambda: path)
    monkeypatch.setattr(contrastive, "CHOICES", contrastive.CHOICES[:2])
    assert STUDIES["contrastive"].run(dataclasses.replace(asked, seeds=1))
    for name in ("l1", "random-tanh"):
        recipe = json.loads((asked.out / "recipes" / f"{name}-seed0.json").read_text())
        assert [stage["init"] for stage in recipe["stages"]] == [str(path)]
