"""The commands eval, compare and profile, from arguments to exit status."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rlfn.images.files import Picture, read_picture, write_picture
from rlfn.images.resize import resize
from rlfn.models import catalog

MODEL = "rlfn-s-x4"
FAST = ["--engine", "onnxruntime", "--threads", "1"]


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for folder in ("Set5", "mine"):
        (tmp_path / "bench" / folder).mkdir(parents=True)
        for name in "ab":
            image = resize(random.integers(0, 256, (20, 24, 3), dtype=np.uint8), scale=4.0)
            write_picture(Picture(image), tmp_path / "bench" / folder / f"{name}.png")
    return tmp_path / "bench"


@pytest.fixture
def run(command):
    def run(*arguments: object, status: int = 0) -> str:
        done = command(*map(str, arguments))
        assert done.status == status, done.err
        return done.err if status == 2 else done.out.decode()

    return run


def test_eval_prints_what_decides_a_number_and_the_scores(run, bench: Path) -> None:
    text = run("eval", MODEL, "--sets", "Set5", bench / "mine", "--sets-dir", bench, "--per-image", *FAST)
    assert "value range" in text
    assert "Set5 x4: 2 pictures" in text
    assert "mine x4: 2 pictures" in text
    assert "| x4    | bicubic" in text
    assert f"| x4    | {MODEL}" in text
    assert len([line for line in text.splitlines() if line.startswith("| mine")]) == 4


def test_eval_as_json_with_self_ensemble(run, bench: Path) -> None:
    plain = json.loads(run("eval", MODEL, bench / "mine", "--json", *FAST))
    plus = json.loads(run("eval", MODEL, bench / "mine", "--json", "--self-ensemble", *FAST))
    assert [result["model"] for result in plus["results"]] == ["bicubic", f"{MODEL}+"]
    assert plus["results"][0]["psnr"] == plain["results"][0]["psnr"]
    assert plus["results"][1]["psnr"] != plain["results"][1]["psnr"]


def test_eval_goes_on_after_a_failure_and_says_so(run, bench: Path) -> None:
    text = run("eval", MODEL, "--sets", "nowhere", "Set5", "--sets-dir", bench, *FAST, status=1)
    assert f"| x4    | {MODEL}" in text


def test_eval_takes_every_standard_set_that_is_there(run, bench: Path) -> None:
    data = json.loads(run("eval", MODEL, "--sets-dir", bench, "--json", *FAST))
    assert [facts["name"] for facts in data["sets"]] == ["Set5"]
    assert "None of Set5" in run("eval", MODEL, "--sets-dir", bench / "mine", *FAST, status=2)


def test_eval_without_a_model_is_refused(run, bench: Path) -> None:
    assert "No model was named" in run("eval", bench / "mine", status=2)
    assert "Did you mean 'rlfn-s-x4'" in run("eval", "rlfn-s-x5", bench / "mine", status=2)


@pytest.mark.parametrize("name", ["eval", "profile"])
def test_a_family_is_told_with_its_models(run, name: str) -> None:
    own = ", ".join(model.name for model in catalog.models().values() if model.family == "rlfn-s")
    assert f"rlfn-s is a family. Name one of its models: {own}." in run(name, "rlfn-s", status=2)


def test_eval_draws_quality_against_speed(run, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a full timing takes long on a slow machine; what is drawn matters here
    monkeypatch.setattr("rlfn.evaluation.profile.LEAST_RUNS", 1)
    monkeypatch.setattr("rlfn.evaluation.profile.WARM_UP", 0)
    run("eval", MODEL, bench / "mine", "--plot", tmp_path / "plot.png", *FAST)
    assert read_picture(tmp_path / "plot.png").pixels.shape[0] > 300


def test_compare_draws_and_prints(run, bench: Path, tmp_path: Path) -> None:
    target = tmp_path / "c.png"
    text = run("compare", bench / "mine" / "a.png", "--models", MODEL, "--crop", "8,8,40,40", "-o", target, *FAST)
    assert text.splitlines()[0].startswith("bicubic: ")
    assert text.splitlines()[1].startswith(f"{MODEL}: ")
    assert read_picture(target).pixels.shape[1] > 600


def test_figures_replace_no_input_and_nothing_unasked(run, bench: Path, tmp_path: Path) -> None:
    photo, other, chart = bench / "mine" / "a.png", tmp_path / "other.png", tmp_path / "notes.txt"
    before = photo.read_bytes()
    for file in (other, chart):
        file.write_bytes(b"mine")
    compare = ("compare", photo, MODEL, *FAST)
    evaluate = ("eval", MODEL, bench / "mine", *FAST)
    for command, name in ((compare, "-o"), (evaluate, "--plot")):
        assert "Inputs are never overwritten" in run(*command, name, photo, "--overwrite", status=2)
        assert "other.png exists. Replace it with --overwrite" in run(*command, name, other, status=2)
        assert "does not end in .png" in run(*command, name, chart, "--overwrite", status=2)
    assert (photo.read_bytes(), other.read_bytes(), chart.read_bytes()) == (before, b"mine", b"mine")
    run(*compare, "-o", other, "--overwrite")
    assert read_picture(other).pixels.shape[1] > 600


def test_profile_prints_counts_and_layers(run) -> None:
    text = run("profile", MODEL, "--result", "256x160", "--seconds", 0, *FAST)
    assert "470,208" in text
    assert "64x40" in text
    assert "block_6.esa.conv4" in text
    assert "first call" in text


def test_profile_compares_in_one_run(run) -> None:
    text = run("profile", "--compare", MODEL, MODEL, "--input", "24x20", "--seconds", 0, *FAST)
    assert f"times as long as {MODEL}" in text
    assert "block_1" not in text


def test_profile_as_json(run) -> None:
    (found,) = json.loads(run("profile", MODEL, "--input", "24x20", "--seconds", 0, "--json", *FAST))["profiles"]
    assert found["counts"]["parameters"] == 470208
    assert found["counts"]["multiply_adds"] > 0
    assert found["latency"]["runs"] >= 10


def test_profile_refuses_contradictions(run) -> None:
    assert "not both" in run("profile", MODEL, "--input", "24x20", "--result", "24x20", status=2)
    for seconds, said in (("nan", "'nan' is not a finite"), ("inf", "'inf' is not a finite"), ("-1", "0 or more")):
        assert said in run("profile", MODEL, "--seconds", seconds, status=2)
    assert "two models" in run("profile", "--compare", MODEL, status=2)
