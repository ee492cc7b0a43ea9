"""The command ``rlfn study``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlfn.studies.request import Budget, StudyRequest
from rlfn.studies.table import STUDIES, Study


def test_without_a_name_it_lists_the_studies(command: Any) -> None:
    done = command("study")
    assert done.status == 0
    assert [line.split()[0] for line in done.lines] == list(STUDIES)


def test_the_options_reach_the_study(command: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[StudyRequest] = []
    monkeypatch.setitem(STUDIES, "mine", Study(lambda request: not asked.append(request), "", trains=True))
    options = ["--data", "pack", "--budget", "iterations=7", "--seeds", "3", "--sets", "Set5", "--models", "a.pth"]
    assert command("study", "mine", *options).status == 0
    assert asked[0].budget == Budget(iterations=7)
    assert (asked[0].seeds, asked[0].sets, asked[0].models) == (3, ("Set5",), ("a.pth",))
    assert (asked[0].data, asked[0].out) == (Path("pack"), Path("studies/mine"))


def test_a_stopped_study_says_how_to_go_on(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STUDIES, "mine", Study(lambda request: False, "", trains=False))
    done = command("study", "mine")
    assert done.status == 130
    assert "Run the same command again to continue" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("warm_start",), "Did you mean 'warm-start'?"),
        (("esa",), "rlfn data pack"),
        (("esa", "--data", "p", "--budget", "1h"), "is not a budget"),
        (("contrastive", "--data", "p", "--vgg19", "absent.pth"), "There is no file absent.pth"),
        (("esa", "--data", "absent"), "absent"),
    ],
)
def test_mistakes_get_one_clear_message(command: Any, arguments: tuple[str, ...], said: str) -> None:
    done = command("study", *arguments)
    assert done.status == 2
    assert said in done.err
    assert "Traceback" not in done.err
