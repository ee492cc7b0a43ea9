"""What all tests of training share."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny networks are fastest on one thread, above all while other tests run."""
    torch.set_num_threads(1)
