"""Commands that need torch say how to get it where it is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT = "import sys; sys.modules['torch'] = None; from rlfn.cli import main; main()"


@pytest.mark.parametrize(
    "arguments",
    [
        ("convert", "w.pth", "w.safetensors"),
        ("fuse", "w.pth", "-o", "w.safetensors"),
        ("prune", "w.pth", "-o", "v.safetensors", "--channels", "40"),
        ("export", "rlfn-s-x4"),
        ("eval", "w.pth"),
        ("train", "cpu-evening"),
        ("study",),
        ("upscale", "a.png", "--model", "w.pth"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_pip_line_is_named(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "w.pth").write_bytes(b"never read")
    (tmp_path / "a.png").write_bytes(b"never read")
    command = [sys.executable, "-c", WITHOUT, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'rlfn[t" in done.stderr
    assert "Traceback" not in done.stderr
