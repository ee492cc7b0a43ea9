"""Evaluations: means of pictures' own scores, failures that stop nothing else, and the official weights' numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from test_sets import picture, put

from rlfn.errors import ModelError, OptionError
from rlfn.evaluation.benchmark import BICUBIC, Candidate, bicubic, evaluate
from rlfn.evaluation.metrics import score_rgb, score_y
from rlfn.evaluation.report import header, image_table, table, to_data
from rlfn.evaluation.scores import Result
from rlfn.images.files import read_picture
from rlfn.images.resize import resize


def nearest(scale: int, name: str = "nearest") -> Candidate:
    return Candidate(name, scale, lambda lr: lr.repeat(scale, axis=0).repeat(scale, axis=1), "numpy")


def failing(scale: int, at: int) -> Candidate:
    calls = [0]

    def upscale(lr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        calls[0] += 1
        if calls[0] > at:
            raise ModelError("The model broke.")
        return nearest(scale).upscale(lr)

    return Candidate("failing", scale, upscale, "numpy")


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    for seed, name in enumerate("abc"):
        smooth = np.clip(resize(picture(12, 14, seed), scale=4.0), 0, 255).astype(np.uint8)
        put(tmp_path / "Set5" / f"{name}.png", smooth)
        put(tmp_path / "other" / "HR" / f"{name}.png", smooth[:, ::-1].copy())
    return tmp_path


def by_model(results: tuple[Result, ...], set_name: str = "Set5") -> dict[tuple[str, int], Result]:
    return {(result.model, result.scale): result for result in results if result.set == set_name}


def test_scores_are_means_over_the_pictures(bench: Path) -> None:
    report = evaluate([nearest(2), nearest(4)], ["Set5", str(bench / "other")], bench)
    assert not report.failures
    found = by_model(report.results)
    assert set(found) == {(BICUBIC, 2), ("nearest", 2), (BICUBIC, 4), ("nearest", 4)}
    scores, rgb = [], []
    for name in "abc":
        hr = read_picture(bench / "Set5" / f"{name}.png").pixels
        sr = nearest(2).upscale(resize(hr, scale=0.5))
        scores.append(score_y(sr, hr, border=2))
        rgb.append(score_rgb(sr, hr, border=2))
    result = found["nearest", 2]
    assert [image.name for image in result.images] == ["a", "b", "c"]
    assert result.psnr == pytest.approx(np.mean([score.psnr for score in scores]))
    assert result.ssim == pytest.approx(np.mean([score.ssim for score in scores]))
    assert result.psnr_rgb == pytest.approx(np.mean(rgb))


def test_a_failing_model_and_a_missing_set_stop_nothing_else(bench: Path) -> None:
    report = evaluate([failing(2, at=2), nearest(2)], ["nowhere", "Set5"], bench)
    assert {(failure.set, failure.model) for failure in report.failures} == {("nowhere", None), ("Set5", "failing")}
    # half a set's mean would be another number, so there is none
    assert set(by_model(report.results)) == {(BICUBIC, 2), ("nearest", 2)}


def test_a_model_of_the_wrong_scale_is_named(bench: Path) -> None:
    wrong = Candidate("wrong", 4, nearest(2).upscale, "numpy")
    report = evaluate([wrong], ["Set5"], bench)
    assert [failure.model for failure in report.failures] == ["wrong"]
    assert "sizes must be equal" in report.failures[0].message
    assert set(by_model(report.results)) == {(BICUBIC, 4)}


def test_a_standard_set_with_other_pixels_gives_a_warning(bench: Path) -> None:
    report = evaluate([nearest(4)], ["Set5"], bench)
    assert "HR pixels of this Set5 x4 are not the standard ones" in str(report.sets[0].warning)
    assert "other than the standard" in header(report)[-1]


def test_results_are_saved(bench: Path, tmp_path: Path) -> None:
    evaluate([nearest(2)], ["Set5"], bench, save=tmp_path / "out")
    saved = read_picture(tmp_path / "out" / "Set5_x2" / "nearest" / "b.png").pixels
    hr = read_picture(bench / "Set5" / "b.png").pixels
    assert np.array_equal(saved, nearest(2).upscale(resize(hr, scale=0.5)))
    assert (tmp_path / "out" / "Set5_x2" / BICUBIC / "c.png").is_file()


def test_progress_counts_the_pictures(bench: Path) -> None:
    told: list[tuple[Any, ...]] = []
    evaluate([nearest(2)], ["Set5"], bench, progress=lambda *what: told.append(what))
    assert told == [("Set5", "a", 1, 3), ("Set5", "b", 2, 3), ("Set5", "c", 3, 3)]


def test_reports_as_text_and_json(bench: Path) -> None:
    report = evaluate([nearest(4), failing(4, at=0)], ["Set5"], bench)
    text = table(report)
    result = by_model(report.results)["nearest", 4]
    assert f"{result.psnr:.3f} / {result.ssim:.4f} / {result.psnr_rgb:.3f}" in text[-1]
    assert len({len(line) for line in text}) == 1
    assert len(image_table(report)) == 2 + 2 * 3
    data = json.loads(json.dumps(to_data(report), allow_nan=False))
    assert data["results"][1]["psnr"] == pytest.approx(result.psnr)
    assert data["failures"][0]["model"] == "failing"


def test_equal_pictures_are_infinite_in_text_and_null_in_json(tmp_path: Path) -> None:
    put(tmp_path / "flat" / "a.png", np.full((40, 40, 3), 7, np.uint8))
    report = evaluate([bicubic_named("copy", 2)], [str(tmp_path / "flat")])
    assert math.isinf(report.results[0].psnr)
    assert "inf / 1.0000 / inf" in table(report)[-1]
    assert to_data(report)["results"][0]["psnr"] is None


def bicubic_named(name: str, scale: int) -> Candidate:
    return Candidate(name, scale, bicubic(scale).upscale, "numpy")


@pytest.mark.parametrize("candidates", [[], [nearest(2), nearest(2)]])
def test_no_models_or_equal_names_are_refused(candidates: list[Candidate]) -> None:
    with pytest.raises(OptionError, match="at least one model"):
        evaluate(candidates, ["Set5"])


# measured once on the official and the reference weights: set -> PSNR and SSIM on Y
OFFICIAL = {
    "rlfn_official/rlfn_s_x4": {"Set5": (32.240, 0.8954), "Set14": (28.623, 0.7817)},
    "rlfn_official/rlfn_x4": {"Set5": (32.238, 0.8953), "Set14": (28.620, 0.7814)},
    "rlfn_official/rlfn_s_x2": {"Set5": (38.047, 0.9607)},
    "rlfn_official/rlfn_x2": {"Set5": (38.066, 0.9607)},
    "rlfn_official/rlfn_ntire_x4": {"Set5": (32.097, 0.8939)},
    "peers/rfdn_aim_x4": {"Set5": (32.159, 0.8946)},
    "peers/imdn_x4": {"Set5": (32.247, 0.8959)},
    "peers/span_ch28_x4": {"Set5": (31.739, 0.8897)},
}


@pytest.mark.parametrize(
    ("name", "set_name"),
    [
        pytest.param(
            name, which, marks=[] if (name, which) == ("rlfn_official/rlfn_s_x4", "Set5") else [pytest.mark.heavy]
        )
        for name, rows in OFFICIAL.items()
        for which in rows
    ],
)
def test_weights_of_others_score_as_published(name: str, set_name: str, shared: Path) -> None:
    from rlfn.evaluation.candidates import load_candidates

    report = evaluate(load_candidates([str(shared / "reference" / f"{name}.pth")], "torch", None), [set_name], shared)
    assert not report.failures
    assert report.sets[0].warning is None
    psnr, ssim = OFFICIAL[name][set_name]
    assert report.results[1].psnr == pytest.approx(psnr, abs=0.005)
    assert report.results[1].ssim == pytest.approx(ssim, abs=0.0003)


@pytest.mark.parametrize(
    ("scale", "wanted"), [(4, {"Set5": 28.43, "Set14": 26.09}), (2, {"Set5": 33.67, "Set14": 30.32})]
)
def test_bicubic_scores_as_measured(scale: int, wanted: dict[str, float], shared: Path) -> None:
    report = evaluate([bicubic_named("again", scale)], list(wanted), shared)
    for result in report.results:
        assert result.psnr == pytest.approx(wanted[result.set], abs=0.006)
