"""The one display of how far a command is."""

from __future__ import annotations

import io
import sys

import pytest

from rlfn.cli.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Put a terminal in the place of standard error; in the test itself, since pytest changes it after fixtures."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return shown


@pytest.mark.parametrize("unit", ["", "B"])
def test_a_terminal_sees_how_much_is_done_and_of_what(monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    shown = terminal(monkeypatch)
    with progress("Packing", unit) as show:
        show(1, 3, "a\x1b[2J.png")
        show(2, 3, "b.png")
    text = shown.getvalue()
    assert "Packing" in text
    assert "b.png" in text
    assert "2/3" in text
    assert "a\x1b[2J" not in text


def test_nothing_is_shown_before_the_first_step_nor_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    with pytest.raises(ValueError, match="early"), progress("Packing"):
        raise ValueError("early")
    assert shown.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress("Packing") as show:
        show(1, 2, "a")
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_the_bar_goes_when_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)

    def work() -> None:
        with progress("Packing") as show:
            show(1, None, "a")
            raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        work()
    assert "\x1b[?25h" in shown.getvalue()  # the cursor is back
    assert "\x1b[2K" in shown.getvalue().rpartition("a")[2]  # the bar's line is cleared
