"""PSNR against compute: where the points come from, and what the law says of them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from rlfn.models import catalog
from rlfn.models.variants import get_variant
from rlfn.networks import build
from rlfn.studies.compute import (
    MINIATURE,
    MODEL,
    OFFICIAL,
    STAGES,
    fit,
    miniature_points,
    multiply_adds,
    packaged_point,
    run,
    stage_points,
)
from rlfn.studies.replication import read_values
from rlfn.studies.request import StudyRequest

REPORTS = Path(__file__).parents[2] / "docs" / "reports"
LOG = REPORTS / "training-log.md"
WARM_START = REPORTS / "measurements" / "proof" / "mini=2000" / "warm-start" / "table.csv"


def test_every_stage_of_the_model_is_a_point() -> None:
    points = stage_points()
    assert len(points) == len(STAGES)
    computes = [compute for _, compute, _ in points]
    assert computes == sorted(computes)
    assert computes[0] == pytest.approx(3 * 100.7e6 * multiply_adds("rlfn-s", 4))


def test_the_stages_scores_are_those_of_the_training_log() -> None:
    section = LOG.read_text().split("### rlfn-s-x4, before")[1].split("##")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ") and line[2].isdigit()]
    for line, (pixels, scores) in zip(lines[: len(STAGES)], STAGES, strict=True):
        assert line.split("|")[6].strip() == f"{pixels / 1e6:.1f} M"
        assert line.split("|")[-2].strip() == ", ".join(f"{psnr:.2f}" for psnr in scores)


def test_the_miniatures_points_are_those_of_the_replication() -> None:
    seeds = read_values(WARM_START)
    arms = ("ws_0: one stage", "ws_1: two stages", "ws_2: three stages")
    for scores, arm in zip(MINIATURE, arms, strict=True):
        for name, psnr in zip(("Set5", "Set14"), scores, strict=True):
            values = [value for value in seeds[name][arm] if value is not None]
            assert sum(values) / len(values) == pytest.approx(psnr, abs=5e-4)
    macs = multiply_adds("rlfn-mini", 4)
    parameters = sum(value.numel() for value in build(get_variant("rlfn-mini"), 4).parameters())
    assert 0.8 * parameters < macs < parameters  # most weights are used once for every LR pixel
    assert [compute for _, compute, _ in miniature_points()] == pytest.approx(
        [3 * macs * 2000 * 8 * 24**2 * stages for stages in (1, 2, 3)]
    )


def test_multiply_adds_are_those_of_the_facts() -> None:
    assert multiply_adds("rlfn-s", 4) * 256**2 / 1e9 == pytest.approx(29.12, abs=0.2)  # ESA's map depends on the size


def test_a_law_is_found_again_and_predicts() -> None:
    law = fit([(x * 1e15, 32.0 - 0.5 * x**-0.4) for x in (1.0, 2.0, 5.0, 40.0, 1000.0)])
    assert (law.limit, law.span, law.exponent) == pytest.approx((32.0, 0.5, 0.4), abs=1e-6)
    assert law.error < 1e-6
    assert law.at(1e19) == pytest.approx(32.0 - 0.5 * 1e4**-0.4)


def test_the_page_has_points_laws_and_a_figure(tmp_path: Path) -> None:
    assert run(StudyRequest(tmp_path, log=lambda text: None))
    points = list(csv.DictReader((tmp_path / "points.csv").read_text().splitlines()))
    assert points[-1]["B100, dB"] == "not measured"
    packaged = catalog.get_model(MODEL)
    assert float(points[-4]["Set5, dB"]) == packaged.scores["Set5"]["psnr"]
    assert packaged_point()[1] == pytest.approx(
        3 * multiply_adds("rlfn-s", 4) * sum(stage["lr_pixels"] for stage in packaged.chain)
    )
    assert [float(points[-5][f"{name}, dB"]) for name in ("Set5", "Set14", "B100")] == list(OFFICIAL)
    laws = list(csv.DictReader((tmp_path / "laws.csv").read_text().splitlines()))
    assert len(laws) == 6
    for law in laws:
        assert float(law["limit, dB"]) >= float(law["predicted for the paper's budget, dB"])
    assert (tmp_path / "compute.png").read_bytes().startswith(b"\x89PNG")
