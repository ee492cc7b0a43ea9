"""What several tests need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder with the standard sets and the official weights, or skip."""
    place = os.environ.get("RLFN_SHARED")
    if not place or not Path(place).is_dir():
        pytest.skip("needs the standard sets and the official weights: set RLFN_SHARED to their folder")
    return Path(place)
