"""The command ``rlfn study``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlfn.data.pictures import write_rgb
from rlfn.studies.request import Budget, StudyRequest
from rlfn.studies.table import STUDIES, Study
from synthetic import synthetic
from waiting import PATIENCE


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


def test_a_folder_without_sets_is_refused_before_the_first_training(
    command: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[StudyRequest] = []
    monkeypatch.setitem(STUDIES, "mine", Study(lambda request: not asked.append(request), "", trains=False))
    done = command("study", "mine", "--sets-dir", str(tmp_path / "bemch"))
    assert (done.status, asked) == (2, [])
    assert "bemch has none of Set5, Set14, " in done.err
    assert "with --sets-dir, or folders of pictures with --sets." in done.err
    (tmp_path / "sets" / "B100").mkdir(parents=True)
    write_rgb(tmp_path / "sets" / "B100" / "a.png", synthetic(8, 8))
    assert command("study", "mine", "--sets-dir", str(tmp_path / "sets")).status == 0
    assert command("study", "mine").status == 0
    assert len(asked) == 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_study_says_how_to_go_on(
    command: Any, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, status: int
) -> None:
    def run(request: StudyRequest) -> bool:
        with request.stop.watched():
            signal.raise_signal(number)
        return not request.stop.asked

    monkeypatch.setitem(STUDIES, "mine", Study(run, "", trains=False))
    done = command("study", "mine")
    assert done.status == status
    assert "Run the same command again to continue" in done.err


def test_what_could_not_be_scored_is_printed_and_fails(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(request: StudyRequest) -> bool:
        request.failures.extend(["ws_1: there is no picture"] * 2)
        return True

    monkeypatch.setitem(STUDIES, "mine", Study(run, "", trains=False))
    done = command("study", "mine")
    assert (done.status, done.err) == (1, "failed: ws_1: there is no picture\n")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_signal_ends_a_study_at_once_while_it_does_not_train(tmp_path: Path) -> None:
    code = """
import sys, time
from rlfn.cli import main
from rlfn.studies.table import STUDIES, Study

def run(request):
    print("begun", flush=True)
    time.sleep(600)

STUDIES["results"] = Study(run, "", trains=False)
sys.argv = ["rlfn", "study", "results"]
main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 143


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("warm_start",), "Did you mean 'warm-start'?"),
        (("esa",), "rlfn data pack"),
        (("esa", "--data", "p", "--budget", "1h"), "is not a budget"),
        (("contrastive", "--data", "p", "--vgg19", "absent.pth"), "There is no file absent.pth"),
        (("esa", "--data", "absent"), "absent"),
        (
            ("features", "--budget", "mini"),
            "features trains nothing, so it has no miniature. Leave out --budget mi",
        ),
    ],
)
def test_mistakes_get_one_clear_message(command: Any, arguments: tuple[str, ...], said: str) -> None:
    done = command("study", *arguments)
    assert done.status == 2
    assert said in done.err
    assert "Traceback" not in done.err
