"""What all tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import tiny_pack


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny networks are fastest on one thread, above all while other tests run."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pack of tiny pictures."""
    return tiny_pack(tmp_path_factory.mktemp("data"))
