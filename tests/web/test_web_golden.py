"""What the TypeScript is tested against is what the package computes now."""

from __future__ import annotations

import base64
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "web" / "tests" / "golden.py"


@pytest.fixture(scope="module")
def golden() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["spans", "grids", "alpha"])
def test_golden_files_are_current(name: str, golden: ModuleType) -> None:
    """Write them with python web/tests/golden.py."""
    assert golden.written(golden.TABLES[name]()) == (golden.FOLDER / f"{name}.json").read_text(encoding="utf-8")


def test_golden_results_are_current(golden: ModuleType) -> None:
    """Processors round differently, so a level is allowed."""
    kept = json.loads((golden.FOLDER / "results.json").read_text(encoding="utf-8"))
    made = golden.golden_results()
    assert [{**row, "pixels": ""} for row in kept] == [{**row, "pixels": ""} for row in made]
    for one, other in zip(kept, made, strict=True):
        levels = [np.frombuffer(base64.b64decode(row["pixels"]), np.uint8).astype(int) for row in (one, other)]
        assert int(np.abs(levels[0] - levels[1]).max()) <= 1, one["model"]
