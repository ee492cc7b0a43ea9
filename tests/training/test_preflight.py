"""What a run needs is checked before its first step, and everything that is wrong is told at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny import TINY, tiny_recipe

from rlfn.data.store import DataSource
from rlfn.errors import ModelError, OptionError
from rlfn.models.variants import VARIANTS
from rlfn.training import preflight, results
from rlfn.training.devices import Devices
from rlfn.training.loop import train
from rlfn.training.preflight import check_run, prepare, problems
from rlfn.training.recipe_files import load_recipe, shipped_recipes

CPU = Devices(accelerator="cpu")


@pytest.fixture(autouse=True)
def tiny_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    monkeypatch.setattr(results, "_write_onnx", lambda *given: None)


FIVE_MISTAKES = """
variant = "tiny"
scale = 4                        # 1: the pack has x2 and x3
[data]
held_out = 0.2
[stage]
patch = 16
batch = 4
[[stages]]
init = "scratch"
hours = 1.0
iterations = 100                 # 2: both lengths
optimizer = { name = "muom" }    # 3: a typo
[[stages]]
iterations = 100
loss = { distillation = 1.0 }
teacher = "gone.safetensors"     # 4: a file of a later stage
"""


def test_five_mistakes_in_different_layers_are_one_message(command, data: Path, tmp_path: Path) -> None:
    (tmp_path / "five.toml").write_text(FIVE_MISTAKES)
    devices = Devices(accelerator="tpu")  # 5: not there
    with pytest.raises(OptionError) as caught:
        prepare(tmp_path / "five.toml", data=[DataSource(data)], devices=devices, out=tmp_path / "run")
    text = str(caught.value)
    assert "has 5 mistakes" in text
    assert "has no x4 pictures; it has: 2, 3" in text
    assert "stages.0: a stage needs a length: give either iterations or hours" in text
    assert "Did you mean 'muon'?" in text
    assert "stages.1.teacher: there is no file gone.safetensors" in text
    assert "accelerator=tpu" in text
    assert not (tmp_path / "run").exists()
    done = command("train", "five.toml", "--data", str(data), "--accelerator", "tpu", "--dry-run")
    assert done.status == 2
    assert "has 5 mistakes" in done.err
    assert "--accelerator tpu" in done.err


def test_the_packaged_models_are_named_where_a_name_is_none(data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe({"init": "rlfn-s-x5", "iterations": 1})
    with pytest.raises(OptionError, match=r"stages\.0\.init: there is no file rlfn-s-x5\. Packaged models: rlfn-s-x4,"):
        train(recipe, tmp_path / "run", data=data, devices=Devices(accelerator="cpu"))


def test_an_accelerator_that_is_not_there_is_a_mistake_of_the_call(data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe({"init": "scratch", "iterations": 1})
    with pytest.raises(OptionError, match=r"accelerator=cuda.*accelerator=cpu is always available"):
        train(recipe, tmp_path, data=data, devices=Devices(accelerator="cuda"))


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_validates(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.validation.sets == ("held-out",)
    assert recipe.data.held_out > 0.0


def test_no_validation_has_to_be_asked_for(data: Path, tmp_path: Path) -> None:
    stage = {"init": "scratch", "iterations": 1}
    with pytest.raises(OptionError, match="nothing is held out"):
        tiny_recipe(stage, data={"held_out": 0.0})
    recipe = tiny_recipe(stage, data={"held_out": 0.0}, validation={"sets": []})
    assert train(recipe, tmp_path, data=data, devices=CPU)
    assert "None: the recipe validates on nothing." in (tmp_path / "README.md").read_text()


def test_a_run_begins_with_what_it_is_about_to_do(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny_recipe({"init": "scratch", "iterations": 2}, {"hours": 1e-6})
    assert train(recipe, tmp_path, data=data, devices=CPU)
    text = capsys.readouterr().err.split("stage 1/2")[0]
    assert "network     tiny x2, " in text
    assert "device      cpu (1 threads), precision 32-true" in text
    assert f"5 pictures with 0.0 M HR px of the pack {data}; held out: 1 with 0.0 M" in text
    assert "validation  held-out (1)" in text
    assert "length      2 steps + 1e-06 h: about 0m" in text
    assert "own networks left out" not in text


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"init": "scratch", "freeze": ["conv_9*"]}, "no parameter matches 'conv_9*'"),
        ({"init": "scratch", "freeze": ["*"]}, "leaves nothing to train"),
        ({"init": "scratch", "batch": 5, "accumulate": 2}, "batch of 5 cannot be"),
        ({"init": "scratch", "soft_prune": {"channels": 99}}, "99 cannot be kept"),
        (
            {"init": "scratch", "loss": {"contrastive": 1.0}, "contrastive": {"layer_weights": [1.0]}},
            "compares 2 layers",
        ),
    ],
)
def test_what_would_fail_in_a_stage(stage: dict[str, object], message: str, data: Path) -> None:
    with pytest.raises(OptionError) as caught:
        check_run(tiny_recipe({**stage, "iterations": 1}), data=[DataSource(data)], devices=CPU)
    assert message in str(caught.value)


def test_a_run_that_cannot_start_does_not_blame_its_recipe(command, data: Path, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        FIVE_MISTAKES.split("[[stages]]")[0] + '[[stages]]\ninit="scratch"\niterations=1\n'
    )
    changes = ("--set", "scale=2", "--data", str(data), "--accelerator", "cpu", "-o")
    done = command("train", "a.toml", *changes, "a.toml")
    assert done.err.splitlines() == [
        "rlfn: A run of the recipe a.toml cannot start:",
        "  a.toml is a file. A run needs a folder: choose another name.",
    ]
    assert "a.toml' is a file, not a folder" in command("train", "a.toml", *changes, "a.toml/run").err


def test_every_damaged_picture_of_a_folder_is_named_before_the_first_step(command, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "loose"
    shutil.copytree(data.parent / "hr", folder)
    for name in ("1.png", "3.png"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
    recipe = tiny_recipe({"init": "scratch", "iterations": 1})
    with pytest.raises(OptionError) as caught:
        train(recipe, tmp_path / "run", data=folder, devices=CPU)
    lines = str(caught.value).splitlines()
    assert lines[1] == f"  data: 2 pictures of the folder {folder} cannot be read. Remove or replace them:"
    assert [line.split("'")[1] for line in lines[2:]] == [str(folder / "1.png"), str(folder / "3.png")]
    assert not (tmp_path / "run").exists()
    changes = [word for text in ("stages.0.phases=[]", "stages.0.patch=16", "scale=2") for word in ("--set", text)]
    assert "2 pictures of the folder" in command("train", "cpu-evening", *changes, "--data", folder, "--dry-run").err
    for name in ("0.png", "2.png"):
        (folder / name).write_text("no picture")
    assert "2 pictures of the folder" in command("train", "cpu-evening", *changes, "--data", folder).err


def test_a_slow_check_of_pictures_shows_how_far_it_is(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny_recipe({"init": "scratch", "iterations": 1})
    check_run(recipe, data=[DataSource(data.parent / "hr")], devices=CPU)
    assert "intact" not in capsys.readouterr().err
    monkeypatch.setattr(preflight, "_SHOW_SECONDS", 0.0)
    check_run(recipe, data=[DataSource(data.parent / "hr")], devices=CPU)
    assert "Checking that the pictures are intact: 6 of 6" in capsys.readouterr().err


def test_data_that_is_a_picture_is_called_a_file(data: Path) -> None:
    picture = data.parent / "hr" / "0.png"
    with pytest.raises(OptionError, match=r"0\.png is a file\. Give a pack, made by .*, or a folder of pictures"):
        check_run(tiny_recipe({"init": "scratch", "iterations": 1}), data=[DataSource(picture)], devices=CPU)


def test_vgg19_is_fetched_before_the_first_step(
    command, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline() -> Path:
        raise ModelError("VGG-19 cannot be downloaded. Give its path as contrastive.vgg19.")

    monkeypatch.setattr(preflight, "fetch_vgg19", offline)
    monkeypatch.setattr(preflight, "cached_vgg19", lambda: None)
    last = {"iterations": 1, "loss": {"contrastive": 1.0}, "contrastive": {"extractor": "vgg19"}}
    recipe = tiny_recipe({"init": "scratch", "iterations": 1}, last)
    with pytest.raises(OptionError, match=r"(?s)cannot start:.*stages\.1: VGG-19 cannot be downloaded"):
        train(recipe, tmp_path / "run", data=data, devices=CPU)
    assert not (tmp_path / "run").exists()
    with pytest.raises(OptionError) as caught:  # nothing large is fetched for a run that cannot start anyway
        train(recipe, tmp_path / "run", data=tmp_path / "nowhere", devices=CPU)
    assert "VGG-19" not in str(caught.value)
    assert not problems(recipe, data=[DataSource(data)], devices=CPU, out=None, whole=True, dry=True)


def test_a_dry_run_shows_the_data_and_needs_none(command, data: Path) -> None:
    changes = [word for text in ("stages.0.phases=[]", "stages.0.patch=16", "scale=2") for word in ("--set", text)]
    done = command("train", "cpu-evening", *changes, "--data", str(data), "--dry-run")
    assert f"HR px of the pack {data}; held out:" in done.out.decode()
    assert "held out:" not in command("train", "cpu-evening", "--dry-run").out.decode()
