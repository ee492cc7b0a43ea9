"""Documents say what the package holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_tables_of_models_are_the_manifest_s() -> None:
    script = str(ROOT / "scripts" / "model_tables.py")
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_measurements_are_of_the_packaged_weights() -> None:
    """New weights: python scripts/measure.py --sets-dir BENCH_DIR, then python scripts/model_tables.py."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "measure.py"), "--stale"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"older than the weights: {done.stdout.split()}"
