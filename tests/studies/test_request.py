"""Budgets."""

from __future__ import annotations

import pytest

from rlfn.errors import OptionError
from rlfn.studies.request import PAPER_ITERATIONS, Budget


@pytest.mark.parametrize("text", ["hours=0.5", "iterations=300", "paper"])
def test_a_budget_is_read_and_written_alike(text: str) -> None:
    assert str(Budget.parse(text)) == text


def test_the_papers_budget_is_the_papers_length() -> None:
    assert Budget.parse("paper") == Budget(iterations=PAPER_ITERATIONS, paper=True)


@pytest.mark.parametrize("text", ["", "1", "hours", "hours=", "hours=0", "hours=-1", "hours=inf", "hours=nan"])
def test_wrong_hours_say_what_is_allowed(text: str) -> None:
    with pytest.raises(OptionError, match=r"hours=H .* iterations=N .* paper"):
        Budget.parse(text)


@pytest.mark.parametrize("text", ["iterations=0", "iterations=1.5", "days=1", "Paper"])
def test_wrong_iterations_say_what_is_allowed(text: str) -> None:
    with pytest.raises(OptionError, match="is not a budget"):
        Budget.parse(text)
