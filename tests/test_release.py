"""What a release must hold is what git tracks, and the version stands in one place."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
TRACKED = [
    "README.md",
    ".gitignore",
    ".ci/run",
    "src/rlfn/__init__.py",
    "src/rlfn/models/weights/a.onnx",
    "tests/test_a.py",
]
SDIST = ["PKG-INFO", "README.md", "src/rlfn/__init__.py", "src/rlfn/models/weights/a.onnx", "tests/test_a.py"]
WHEEL = ["rlfn/__init__.py", "rlfn/models/weights/a.onnx", "rlfn-1.dist-info/METADATA"]


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_whole_archives_pass(release: ModuleType) -> None:
    assert release.sdist_problems([f"rlfn-1/{name}" for name in SDIST], TRACKED) == []
    assert release.wheel_problems(WHEEL, TRACKED) == []


def test_what_is_missing_or_too_much_is_named(release: ModuleType) -> None:
    names = [f"rlfn-1/{name}" for name in SDIST if name != "tests/test_a.py"]
    assert release.sdist_problems([*names, "rlfn-1/secret.txt"], TRACKED) == [
        "the sdist lacks tests/test_a.py",
        "the sdist has secret.txt, which git does not track",
    ]
    assert release.wheel_problems([WHEEL[0], WHEEL[2]], TRACKED) == ["the wheel lacks rlfn/models/weights/a.onnx"]


def test_the_version_stands_in_the_package_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/rlfn/__init__.py"
