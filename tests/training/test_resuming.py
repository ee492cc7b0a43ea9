"""What happens to a run between its checkpoints: full disks, moved data, other validation sets, other versions."""

from __future__ import annotations

import itertools
import json
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_loop import interrupt
from tiny import TINY, tiny_pack, tiny_recipe

import rlfn
from rlfn.data.packing import make_pack
from rlfn.data.pictures import write_rgb
from rlfn.errors import DataError, ModelError, OptionError, OutputError, PictureError
from rlfn.models.variants import VARIANTS
from rlfn.networks.checkpoints import load_checkpoint
from rlfn.training import loop, results
from rlfn.training.checkpoint import Checkpoints, write_state
from rlfn.training.devices import Devices
from rlfn.training.extractors import VGG19
from rlfn.training.learner import Learner, Step
from rlfn.training.loop import train
from rlfn.training.reporting import Reporter, read_metrics
from rlfn.training.run import settings_of_run

CPU = Devices(accelerator="cpu")
SHORT = {"init": "scratch", "iterations": 3}


@pytest.fixture(autouse=True)
def tiny_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    for name in ("_write_onnx", "_draw_curves"):
        monkeypatch.setattr(results, name, lambda *given: None)


def test_the_end_of_a_stage_is_saved_and_the_next_may_take_vgg19_from_a_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    start = loop.begin_stage

    def failing(run: Any, before: Any) -> Any:
        if before is not None:
            raise ModelError("VGG-19 is gone.")
        return start(run, before)

    last = {"iterations": 1, "loss": {"contrastive": 0.1}, "contrastive": {"extractor": "vgg19"}, "batch": 1}
    monkeypatch.setattr("rlfn.training.preflight.fetch_vgg19", lambda: tmp_path)
    monkeypatch.setattr("rlfn.training.preflight.cached_vgg19", lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "begin_stage", failing)
        with pytest.raises(ModelError, match="VGG-19 is gone"):
            train(tiny_recipe(SHORT, last), out, data=data, devices=CPU)
    saved, _ = Checkpoints(out / "checkpoints", 2).load_last()
    assert (saved["state"]["total"], saved["state"]["stage"]) == (3, 0)
    scores = [row for row in read_metrics(out) if "psnr" in row]
    torch.save(VGG19(torch.nn.ReLU).state_dict(), tmp_path / "vgg.pth")
    recipe, _ = settings_of_run(out, [f"stages.1.contrastive.vgg19={tmp_path / 'vgg.pth'}"])
    with pytest.raises(OptionError, match="cannot change between random weights"):
        settings_of_run(out, ["stages.1.contrastive.vgg19=random"])
    assert train(recipe, out, data=data, devices=CPU, resume=True)
    again = [row for row in read_metrics(out) if "psnr" in row]
    assert [row["iteration"] for row in again] == [3, 4]
    assert again[0]["psnr"] == scores[0]["psnr"]


def test_milestones_are_written(data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe({"init": "scratch", "iterations": 12}, saving={"milestones": 5, "every": 100})
    assert train(recipe, str(tmp_path), data=data, devices=CPU)
    names = [path.stem for path in Checkpoints(tmp_path / "checkpoints", 2).paths()]
    assert names == [f"iteration-{number:09d}" for number in (0, 5, 10, 12)]


def test_a_full_disk_leaves_the_metrics_whole(tmp_path: Path) -> None:
    reporter = Reporter(tmp_path, on=True)
    for number in range(100):
        reporter.metrics({"iteration": number, "loss": 0.25}, "a line", 0.0)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(OutputError, match=r"metrics\.jsonl' cannot be written: file too large"):
            reporter.drop_after(90)
        with pytest.raises(OutputError, match=r"metrics\.jsonl cannot be written: file too large.*then resume the run"):
            reporter.metrics({"iteration": 100, "loss": 0.25}, "a line", 0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl"]


def test_a_resumed_run_keeps_its_data_which_may_have_moved(
    command, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, moved, out = tmp_path / "first.pack", tmp_path / "moved.pack", tmp_path / "run"
    shutil.copytree(data, first)
    with monkeypatch.context() as patch:
        assert not train(tiny_recipe(SHORT), out, data=first, devices=CPU, stop=interrupt(patch, 1))
    first.rename(moved)
    recipe, sources = settings_of_run(str(out))
    with pytest.raises(OptionError, match=r"first\.pack does not exist.*If the data has moved, .* as data\."):
        train(recipe, out, data=sources, devices=CPU, resume=True)
    fewer, renamed, others = (tmp_path / name for name in ("fewer", "renamed", "others"))
    shutil.copytree(data.parent / "hr", renamed)
    (renamed / "0.png").rename(renamed / "first.png")
    shutil.copytree(data.parent / "hr", others)
    (others / "0.png").write_bytes((others / "1.png").read_bytes())
    wrong = {
        tiny_pack(fewer, count=5): "it has 5 pictures, not 6",
        make_pack([renamed], tmp_path / "renamed.pack", scales=(2,), min_side=64).pack.path: "the names or the dim",
        make_pack([others], tmp_path / "others.pack", scales=(2,), min_side=64).pack.path: "the contents of its",
        data.parent / "hr": "the pictures of a folder cannot be compared with those of a pack; pack them again",
    }
    for place, reason in wrong.items():
        found = rf"is not what the run in .* was trained on \(the pack .*first\.pack\): {reason}"
        with pytest.raises(DataError, match=found):
            train(recipe, out, data=place, devices=CPU, resume=True)
    done = command("train", "--resume", str(out), "--data", str(moved), "--accelerator", "cpu")
    assert done.status == 0, done.err
    assert settings_of_run(out)[1][0].path == moved


def test_a_run_on_a_folder_goes_on_with_the_pack_of_that_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, recipe, out = data.parent / "hr", tiny_recipe({"init": "scratch", "iterations": 6}), tmp_path / "run"
    assert train(recipe, tmp_path / "whole", data=folder, devices=CPU)
    for at, place in ((1, folder), (2, data), (1, folder)):
        with monkeypatch.context() as patch:
            stop = interrupt(patch, at)
            assert not train(recipe, out, data=place, devices=CPU, stop=stop, resume=out.exists())
    others, own = tmp_path / "others", tmp_path / "lr"
    shutil.copytree(folder, others)
    write_rgb(others / "0.png", np.zeros((96, 96, 3), np.uint8))
    own.mkdir()
    for file in folder.iterdir():
        write_rgb(own / f"{file.stem}x2.png", np.zeros((48, 48, 3), np.uint8))
    for number, (source, lr) in enumerate(((others, None), (folder, own))):
        pack = make_pack([source], tmp_path / f"{number}.pack", scales=(2,), lr_folder=lr, min_side=64).pack.path
        with pytest.raises(DataError, match=r"\(the folder .*hr\): the pack was made of other files, or with other LR"):
            train(recipe, out, data=pack, devices=CPU, resume=True)
    assert train(recipe, out, data=data, devices=CPU, resume=True)
    whole, resumed = (
        [row["loss"] for row in read_metrics(place) if "loss" in row] for place in (tmp_path / "whole", out)
    )
    assert whole == resumed


def test_a_run_is_saved_before_a_picture_ends_it(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "loose"
    shutil.copytree(data.parent / "hr", folder)
    monkeypatch.setattr("rlfn.data.folder._CACHE_BYTES", 0)
    recipe = tiny_recipe({"init": "scratch", "iterations": 12})
    assert train(recipe, tmp_path / "whole", data=folder, devices=CPU)
    step, count = Learner.step, itertools.count(1)

    def damaging(self: Learner, *given: Any) -> Step:
        if next(count) == 4:
            for path in folder.iterdir():
                path.write_text("damaged")
        return step(self, *given)

    monkeypatch.setattr(Learner, "step", damaging)
    with pytest.raises(PictureError) as caught:
        train(recipe, tmp_path / "run", data=folder, devices=CPU)
    saved = Checkpoints(tmp_path / "run" / "checkpoints", 2).load_last()[0]["state"]["total"]
    assert 4 <= saved < 12
    assert f"resume the run from iteration {saved}, where it was saved." in str(caught.value)
    for path in folder.iterdir():
        shutil.copy(data.parent / "hr" / path.name, path)
    assert train(recipe, tmp_path / "run", data=folder, devices=CPU, resume=True)
    whole, resumed = (
        [row["loss"] for row in read_metrics(tmp_path / name) if "loss" in row] for name in ("whole", "run")
    )
    assert whole == resumed


def test_scores_of_another_set_do_not_compete(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        options = {"pictures": 1, "crop": 20, "every": 1}
        recipe = tiny_recipe(SHORT, validation=options)
        assert not train(recipe, tmp_path, data=data, devices=CPU, stop=interrupt(patch, 2))
    saved, _ = Checkpoints(tmp_path / "checkpoints", 2).load_last()
    saved["state"]["best"] = 99.0
    write_state(Checkpoints(tmp_path / "checkpoints", 2).paths()[-1], saved)
    recipe, _ = settings_of_run(tmp_path, [f"validation.sets={data.parent / 'hr'}", "validation.every=100"])
    assert train(recipe, tmp_path, data=data, devices=CPU, resume=True)
    rows = [row for row in read_metrics(tmp_path) if "psnr" in row]
    assert [row["measured_on"].split(":")[0] for row in rows] == ["held-out", "held-out", "hr"]
    best = load_checkpoint(tmp_path / "best.safetensors").metadata
    assert best["validation_psnr"] == f"{rows[-1]['psnr']:.4f}"
    card = (tmp_path / "README.md").read_text().split("## Scores")[1].split("## Recipe")[0]
    assert "| 3 | " in card
    assert "| 1 | " not in card
    recipe, _ = settings_of_run(tmp_path, ["validation.sets=[]"])
    assert train(recipe, tmp_path, data=data, devices=CPU, resume=True)
    assert "None: the recipe validates on nothing." in (tmp_path / "README.md").read_text()


def test_a_recipe_of_another_version_is_named_as_such(data: Path, tmp_path: Path) -> None:
    assert train(tiny_recipe({"init": "scratch", "iterations": 1}), tmp_path, data=data, devices=CPU)
    path = Checkpoints(tmp_path / "checkpoints", 2).paths()[-1]
    saved, _ = Checkpoints(tmp_path / "checkpoints", 2).load_last()
    raw = json.loads(saved["recipe"])
    raw["guard"]["streak"] = raw["guard"].pop("max_skipped")
    made = {
        "0.0.1": f"The run in {tmp_path} was made by another version of rlfn (0.0.1; this is ",
        rlfn.__version__: f"The run in {tmp_path} was made by another development version of rlfn {rlfn.__version__}, ",
    }
    for version, said in made.items():
        write_state(path, {**saved, "recipe": json.dumps(raw), "versions": {**saved["versions"], "rlfn": version}})
        with pytest.raises(ModelError) as caught:
            settings_of_run(tmp_path)
        assert said in str(caught.value)
        assert "guard.streak: there is no such key" in str(caught.value)


@pytest.mark.parametrize(
    ("lacking", "named"),
    [("pictures", "'pictures'"), ("state", "'state'"), ("state.best_on", "'best_on'"), ("learner.ranges", "'ranges'")],
)
def test_a_checkpoint_of_another_version_is_named_as_such(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str, named: str
) -> None:
    recipe = tiny_recipe({**SHORT, "int8": True})
    with monkeypatch.context() as patch:
        assert not train(recipe, tmp_path, data=data, devices=CPU, stop=interrupt(patch, 1))
    path = Checkpoints(tmp_path / "checkpoints", 2).paths()[-1]
    saved, _ = Checkpoints(tmp_path / "checkpoints", 2).load_last()
    *outer, key = lacking.split(".")
    del (saved[outer[0]] if outer else saved)[key]
    write_state(path, saved)
    with pytest.raises(ModelError, match=f"was saved by another development version of rlfn.*{named}.*Resume it with"):
        train(settings_of_run(tmp_path)[0], tmp_path, data=data, devices=CPU, resume=True)


def test_a_missing_extension_is_named_though_its_loss_is_used(data: Path, tmp_path: Path) -> None:
    assert train(tiny_recipe({"init": "scratch", "iterations": 1}), tmp_path, data=data, devices=CPU)
    path = Checkpoints(tmp_path / "checkpoints", 2).paths()[-1]
    saved, _ = Checkpoints(tmp_path / "checkpoints", 2).load_last()
    raw = json.loads(saved["recipe"])
    raw["extensions"] = [str(tmp_path / "gone.py")]
    raw["stages"][0]["loss"]["mine"] = 1.0
    write_state(path, {**saved, "recipe": json.dumps(raw)})
    with pytest.raises(OptionError, match=r"gone\.py"):
        settings_of_run(tmp_path)


def test_a_folder_that_cannot_be_written_any_more_is_a_sentence(data: Path, tmp_path: Path) -> None:
    (tmp_path / "run.lock").mkdir()
    with pytest.raises(OutputError, match=r"run\.lock"):
        train(tiny_recipe({"init": "scratch", "iterations": 1}), tmp_path, data=data, devices=CPU)
