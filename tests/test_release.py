"""What a release must hold is what git tracks, and the version stands in one place."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
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
    assert release.wheel_problems([*WHEEL, "rlfn/photo.png"], TRACKED) == [
        "the wheel has rlfn/photo.png, which git does not track"
    ]
    assert release.wheel_problems([*WHEEL, "rlfn/photo.png"], TRACKED, ["rlfn/photo.png"]) == []


def test_a_real_build_has_no_problems(release: ModuleType, tmp_path: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a git checkout")
    tracked = [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    source = tmp_path / "source"
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    sdist = _build("sdist", source, tmp_path)
    shutil.unpack_archive(sdist, tmp_path)
    wheel = _build("wheel", tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path)
    assert release.archive_problems(sdist, wheel, tracked) == []


def _build(kind: str, source: Path, target: Path) -> Path:
    """Build an archive as the packaging tools do, without an environment of its own."""
    code = "import sys, hatchling.build as build; print(getattr(build, f'build_{sys.argv[1]}')(sys.argv[2]))"
    command = [sys.executable, "-c", code, kind, os.fspath(target)]
    done = subprocess.run(command, cwd=source, check=True, stdout=subprocess.PIPE, text=True)
    return target / done.stdout.splitlines()[-1]


def test_the_version_stands_in_the_package_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/rlfn/__init__.py"
