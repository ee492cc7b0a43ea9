"""Spoiled sets: the same spoiling every time, in tables of their own, and further measures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rlfn.errors import MissingExtraError, OptionError
from rlfn.evaluation.benchmark import Candidate, evaluate
from rlfn.evaluation.report import header, table, tables, to_data
from rlfn.evaluation.similarity import METRICS, similarity_score
from rlfn.evaluation.spoil import KINDS, USUAL, parse_spoils
from rlfn.images.files import Picture, read_picture, write_picture
from rlfn.images.resize import resize
from synthetic import synthetic

IMAGE = synthetic(40, 48)


def nearest(scale: int) -> Candidate:
    return Candidate("nearest", scale, lambda lr: lr.repeat(scale, axis=0).repeat(scale, axis=1), "numpy")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    for seed, name in enumerate("ab"):
        write_picture(Picture(resize(synthetic(50, 48, seed), scale=4.0)), tmp_path / "mine" / f"{name}.png")
    return tmp_path / "mine"


def spoil(name: str, picture: str = "a") -> np.ndarray:
    return parse_spoils([name])[0](IMAGE, picture)


def test_every_standard_spoil_is_reproducible() -> None:
    for name in USUAL:
        spoiled = spoil(name)
        assert spoiled.dtype == np.uint8
        assert spoiled.shape == IMAGE.shape
        assert (name == "clean") == np.array_equal(spoiled, IMAGE)
        np.testing.assert_array_equal(spoiled, spoil(name))


def test_more_spoils_more() -> None:
    for mild, strong in (("q90", "q30"), ("n5", "n10")):
        errors = [np.abs(spoil(name).astype(int) - IMAGE).mean() for name in (mild, strong)]
        assert errors[0] < errors[1]
    flat = np.full((200, 200, 3), 128, np.uint8)
    noisy = parse_spoils(["n5"])[0](flat, "a").astype(float)
    assert abs((noisy - 128).std() - 5) < 0.1


def test_each_picture_has_different_noise() -> None:
    assert not np.array_equal(spoil("n5", "a"), spoil("n5", "b"))


@pytest.mark.parametrize("name", ["q0", "q101", "n0", "n101", "x5", "q", "75", "q7.5", "", "Q75"])
def test_unknown_spoils_list_the_valid_ones(name: str) -> None:
    with pytest.raises(OptionError, match="Allowed: clean, q1 to q100") as error:
        parse_spoils([name])
    assert all(row.means in str(error.value) for row in KINDS.values())


def test_each_spoil_has_scores_and_a_column(folder: Path) -> None:
    report = evaluate([nearest(4)], [str(folder)], spoils=parse_spoils(["clean", "q30", "n10"]), save=folder / "out")
    assert not report.failures
    assert [(one.spoil, one.model) for one in report.results] == [
        (spoil, model) for spoil in ("clean", "q30", "n10") for model in ("bicubic", "nearest")
    ]
    clean = evaluate([nearest(4)], [str(folder)])
    assert report.results[0].psnr == clean.results[0].psnr
    assert len(report.sets) == 1
    assert report.sets == clean.sets
    lines = tables(report)
    assert lines[0].split()[-6:] == ["clean", "|", "q30", "|", "n10", "|"]
    assert [line for line in lines if f"{report.results[1].psnr:.2f}" in line and "nearest" in line]
    assert any(line.startswith("q30: LR spoiled by JPEG") for line in header(report))
    assert {one["spoil"] for one in json.loads(json.dumps(to_data(report)))["results"]} == {"clean", "q30", "n10"}
    saved = read_picture(folder / "out" / "mine_x4_q30" / "nearest" / "a.png").pixels
    assert not np.array_equal(saved, read_picture(folder / "out" / "mine_x4" / "nearest" / "a.png").pixels)
    assert tables(clean) == table(clean)


@pytest.mark.parametrize("metric", METRICS)
def test_additional_metrics_rank_pictures(metric: str, folder: Path) -> None:
    image = resize(synthetic(50, 50), scale=4.0)
    random = np.random.default_rng(0)
    scores = []
    for sigma in (0, 4, 16):
        noisy = np.clip(image + sigma * random.standard_normal(image.shape), 0, 255).astype(np.uint8)
        scores.append(similarity_score(metric, noisy, image, 4))
    assert scores[0] > scores[1] > scores[2]
    assert abs(scores[0] - METRICS[metric].equal) < 1e-3
    report = evaluate([nearest(4)], [str(folder)], metrics=[metric])
    assert METRICS[metric].title in "\n".join(tables(report))
    assert to_data(report)["results"][0]["extra_metrics"][metric] == report.results[0].extra_metrics[metric]


def test_unknown_missing_and_impossible_metrics(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    with pytest.raises(OptionError, match=r"There is no metric 'lpips'\. Allowed: ssimulacra2, ms-ssim"):
        evaluate([nearest(4)], [str(folder)], metrics=["lpips"])
    with pytest.raises(OptionError, match="MS-SSIM cannot be measured on 40x40 pixels"):
        similarity_score("ms-ssim", IMAGE[:40, :40], IMAGE[:40, :40], 0)
    for module in ("ssimulacra2", "blazediff_ssim", "simplejpeg"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    for metric in METRICS:
        with pytest.raises(MissingExtraError, match=r"pip install 'rlfn\[metrics\]'"):
            similarity_score(metric, IMAGE, IMAGE, 0)
    with pytest.raises(MissingExtraError, match=r"pip install 'rlfn\[metrics\]'"):
        spoil("q75")


def test_the_command_parses_spoils(command, folder: Path) -> None:
    fast = ["--engine", "onnxruntime", "--threads", "1"]
    done = command("eval", "rlfn-xs-x4", str(folder), *fast, "--json", "--spoil", "q75", "n5", "--metric", "ms-ssim")
    assert done.status == 0, done.err
    results = json.loads(done.out)["results"]
    assert {(one["spoil"], one["model"]) for one in results} == {
        (spoil, model) for spoil in ("q75", "n5") for model in ("bicubic", "rlfn-xs-x4")
    }
    assert all(0 < one["extra_metrics"]["ms-ssim"] < 1 for one in results)
    done = command("eval", "rlfn-xs-x4", str(folder), *fast, "--spoil", "x9")
    assert done.status == 2
    assert "There is no kind of spoiling 'x9'" in done.err
