"""Many clients at once, for a minute: the benchmark's own judgement."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.heavy
def test_under_load_nothing_breaks_and_short_questions_are_answered_quickly() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "serve_load.py"), "--clients", "200", "--seconds", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
