"""torch.hub loads the networks from a copy of the project."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rlfn.errors import OptionError

PROJECT = Path(__file__).parents[2]


def load(*arguments: object) -> torch.nn.Module:
    return torch.hub.load(str(PROJECT), *arguments, source="local", trust_repo=True)


def test_a_packaged_network() -> None:
    network = load("rlfn", "rlfn-s-x4")
    assert not network.training
    assert network(torch.zeros(1, 3, 16, 20)).shape == (1, 3, 64, 80)


def test_an_untrained_network() -> None:
    assert load("untrained", "rlfn-ntire", 3)(torch.zeros(1, 3, 16, 20)).shape == (1, 3, 48, 60)


def test_wrong_names_list_the_valid_ones() -> None:
    with pytest.raises(OptionError, match="rlfn-s-x4"):
        load("rlfn", "rlfn-s-x44")
