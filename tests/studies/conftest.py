"""Tiny networks under the names that the studies use, a pack, and a folder that serves as a set."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import TINY as SMALLEST
from tiny import tiny_pack, tiny_recipe

from rlfn.data.pictures import write_rgb
from rlfn.inference.engines import ENGINES
from rlfn.models.variants import VARIANTS, EDSRFields, RFDNFields, RLFNFields, Variant
from rlfn.studies import architecture, contrastive, generality, scoring, trainings
from rlfn.studies.request import Budget, StudyRequest
from synthetic import synthetic

TINY = (
    Variant("rlfn-s", "rlfn", RLFNFields(1, 8, 8, 4), ""),
    Variant("edsr-baseline", "edsr", EDSRFields(1, 8), ""),
    Variant("rfdn-48", "rfdn", RFDNFields(1, 8, 4), ""),
    Variant("rfdn-r48", "rfdn", RFDNFields(1, 8, 4, "srb"), ""),
    Variant("rfdn-r52", "rfdn", RFDNFields(1, 10, 4, "srb"), ""),
    Variant("rfdn-rlfb", "rfdn", RFDNFields(1, 10, 4, "plain"), ""),
    Variant("rfdn-rlfb-esa1", "rfdn", RFDNFields(1, 10, 4, "plain", 1), ""),
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make whole studies a matter of seconds: tiny networks, patches and timed pictures, and torch as the engine."""
    torch.set_num_threads(1)
    for row in (SMALLEST, *TINY):
        monkeypatch.setitem(VARIANTS, row.name, row)
    short = tiny_recipe({"init": "interpolate", "iterations": 2}, saving={"onnx": False}, log_every=100)
    monkeypatch.setattr(trainings, "load_recipe", lambda name: short)
    monkeypatch.setattr(scoring, "ENGINES", {"torch": ENGINES["torch"]})
    monkeypatch.setattr(scoring, "LATENCY_SECONDS", 0.01)
    for study in (contrastive, generality):
        monkeypatch.setattr(study, "SMALL", {"patch": 16, "batch": 1})
    monkeypatch.setattr(contrastive, "second_stage", lambda: None)
    for module in (scoring, architecture):
        monkeypatch.setattr(module, "LATENCY_OUTPUT", (96, 128))


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pack at the studies' scales."""
    return tiny_pack(tmp_path_factory.mktemp("pack"), scales=(2, 4))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two pictures to score on."""
    folder = tmp_path_factory.mktemp("sets") / "few"
    folder.mkdir()
    for seed in range(2):
        write_rgb(folder / f"{seed}.png", synthetic(80, 96, seed))
    return folder


@pytest.fixture
def asked(tiny: None, pack: Path, pictures: Path, tmp_path: Path) -> StudyRequest:
    """Return a request of two iterations a stage and two seeds."""
    lines: list[str] = []
    return StudyRequest(tmp_path / "out", pack, sets=(str(pictures),), budget=Budget(iterations=2), log=lines.append)
