"""The main table: costs, the papers' values, what is kept, and what is said of files that cannot be read."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlfn.errors import DataError
from rlfn.evaluation.profile import Latency
from rlfn.evaluation.sets import STANDARD
from rlfn.images.files import Picture, write_picture
from rlfn.models import catalog
from rlfn.models.variants import VARIANTS
from rlfn.networks import build
from rlfn.networks.checkpoints import save_checkpoint
from rlfn.studies import results, scoring
from rlfn.studies.published import PUBLISHED, published
from rlfn.studies.request import StudyRequest


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a tiny Set5, and time nothing: 5 ms for the first network, 6 for the next."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (tmp_path / "bench" / "Set5").mkdir(parents=True)
    write_picture(Picture(pixels), tmp_path / "bench" / "Set5" / "a.png")

    def time_in_turn(runners: Sequence[object], seconds: float) -> list[Latency]:
        return [Latency(1.0, 0.0, (5 + number) / 1e3, 0.0, 1) for number in range(len(runners))]

    monkeypatch.setattr(scoring, "time_in_turn", time_in_turn)
    monkeypatch.setattr(scoring, "ENGINES", {"torch": None})  # the others export every network first
    return tmp_path / "bench"


def weights(path: Path, variant: str, scale: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    row = VARIANTS[variant]
    save_checkpoint(path, build(row, scale), row, scale)
    return path


def rows(path: Path) -> dict[str, dict[str, str]]:
    """Read a table by the names of its rows."""
    with path.open() as file:
        lines = list(csv.reader(file))
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[1:]}


def test_costs_scores_and_the_papers_values(bench: Path, tmp_path: Path) -> None:
    mine = weights(tmp_path / "models" / "mine.pth", "rlfn")
    assert results.run(
        StudyRequest(tmp_path / "out", sets_dir=bench, models=(str(mine.parent),), log=lambda line: None)
    )
    small, large = rows(tmp_path / "out" / "results-x4.csv"), rows(tmp_path / "out" / "results-x2.csv")
    assert float(small["rlfn-s-x4"]["multiply-adds, G"]) == pytest.approx(25.59, abs=0.01)
    assert float(large["rlfn-s-x2"]["multiply-adds, G"]) == pytest.approx(98.80, abs=0.01)
    assert float(small["mine.pth"]["multiply-adds, G"]) == pytest.approx(29.82, abs=0.01)
    assert small["rlfn-s-x4"]["parameters"] == "470208"
    assert [small[name]["weights"] for name in ("rlfn-s-x4", "mine.pth")] == ["packaged", "file"]
    assert small["RLFN, as printed"]["Set5 PSNR, dB"] == "32.24"
    assert small["bicubic"]["Set5 PSNR, dB"]
    assert small["mine.pth"]["Urban100 PSNR, dB"] == ""  # not at hand, so not measured
    assert float(small["mine.pth"]["torch, ms"]) >= 5.0
    [difference] = rows(tmp_path / "out" / "difference.csv").values()
    assert difference["file - printed"] == "mine.pth - RLFN"
    ours = float(small["mine.pth"]["Set5 PSNR, dB"])
    assert float(difference["Set5 PSNR, dB"]) == pytest.approx(ours - 32.24)
    assert (tmp_path / "out" / "quality-and-speed.png").is_file()
    assert "are not the standard ones" in (tmp_path / "out" / "README.md").read_text()


def test_what_is_measured_is_kept(bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = StudyRequest(tmp_path / "out", sets_dir=bench, log=lambda line: None)
    results.run(request)
    before = (tmp_path / "out" / "results-x4.csv").read_bytes()

    def again(*arguments: Any) -> Any:
        pytest.fail("it measures again")

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "evaluate", again)
        patch.setattr(scoring, "time_in_turn", again)
        results.run(request)
    assert (tmp_path / "out" / "results-x4.csv").read_bytes() == before
    (tmp_path / "out" / "latency.json").unlink()
    monkeypatch.setattr(scoring, "evaluate", again)
    results.run(request)
    assert (tmp_path / "out" / "latency.json").is_file()


def test_a_broken_file_is_named_and_stops_nothing(bench: Path, tmp_path: Path) -> None:
    weights(tmp_path / "models" / "good.safetensors", "rlfn-ntire")
    (tmp_path / "models" / "broken.pth").write_bytes(b"no weights")
    (tmp_path / "models" / "LICENSE").write_text("not a model")
    models = (str(tmp_path / "models"), "nowhere.pth", str(bench))
    with pytest.raises(DataError, match=r"broken\.pth.*nowhere\.pth|nowhere\.pth.*broken\.pth") as error:
        results.run(StudyRequest(tmp_path / "out", sets_dir=bench, models=models, log=lambda line: None))
    assert "LICENSE" not in str(error.value)
    assert f"{bench} holds no model" in str(error.value)
    found = rows(tmp_path / "out" / "results-x4.csv")
    assert found["good.safetensors"]["Set5 PSNR, dB"]
    assert "broken.pth" not in found
    assert "broken.pth cannot be read as PyTorch weights" in (tmp_path / "out" / "README.md").read_text()


def test_a_set_that_lacks_is_named_once_a_scale(bench: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no set Set99") as error:
        results.run(StudyRequest(tmp_path / "out", sets_dir=bench, sets=("Set5", "Set99"), log=lambda line: None))
    assert str(error.value).count("There is no set Set99") == len({model.scale for model in catalog.models().values()})
    assert rows(tmp_path / "out" / "results-x4.csv")["rlfn-s-x4"]["Set5 PSNR, dB"]


def test_a_graph_is_scored_but_not_timed_on_torch(bench: Path, tmp_path: Path) -> None:
    graph = catalog.get_model("rlfn-s-x4").file(catalog.GRAPH).path
    results.run(StudyRequest(tmp_path / "out", sets_dir=bench, models=(str(graph),), log=lambda line: None))
    found = rows(tmp_path / "out" / "results-x4.csv")
    row, same = found["rlfn-s-x4.onnx"], found["rlfn-s-x4"]
    assert row["variant"] == "rlfn-s"
    assert row["multiply-adds, G"] == same["multiply-adds, G"]
    assert float(row["Set5 PSNR, dB"]) == pytest.approx(float(same["Set5 PSNR, dB"]), abs=0.01)
    assert row["torch, ms"] == ""
    assert same["torch, ms"]
    assert "rlfn-s-x4.onnx on torch" in (tmp_path / "out" / "README.md").read_text()


def test_published_rows_belong_to_known_sets_and_networks() -> None:
    assert all(set(row.scores) <= set(STANDARD) for row in PUBLISHED)
    assert all(row.variant is None or row.variant in VARIANTS for row in PUBLISHED)
    assert [row.name for row in published(4)] == ["RLFN", "RFDN", "IMDN", "CARN"]
    assert all(15 < psnr < 45 and 0.5 < ssim < 1 for row in PUBLISHED for psnr, ssim in row.scores.values())
