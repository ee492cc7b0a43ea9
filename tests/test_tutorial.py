"""Every command of the tutorial runs, in order, in a folder that has nothing but the examples."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
INSTALLED = ("python3 -m venv", "source ", "pip ")
"""The lines that make the environment in which the tests run already."""


def script() -> str:
    """Return the tutorial's commands as one script."""
    page = MarkdownIt().parse((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"))
    lines = "".join(token.content for token in page if token.type == "fence" and token.info == "sh").splitlines()
    return "\n".join(["set -euo pipefail", *(line for line in lines if not line.startswith(INSTALLED))])


def test_the_tutorial_goes_the_whole_way() -> None:
    for command in ("upscale", "compare", "eval", "data pack", "train", "export"):
        assert f"\nrlfn {command} " in script()


@pytest.mark.heavy
def test_the_tutorial_runs(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "rlfn").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rlfn "$@"\n')
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script()], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("large.png", "comparison.png", "runs/tutorial/model.safetensors", "tutorial-x4.xml", "own.png"):
        assert (tmp_path / name).exists()
