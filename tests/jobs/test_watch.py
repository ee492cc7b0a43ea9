"""Pictures that arrive: each once, and only when it is whole."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from types import SimpleNamespace

import pytest

from rlfn.errors import MissingExtraError
from rlfn.jobs import watch
from rlfn.jobs.plan import Job, Naming, Plan, make_plan
from rlfn.jobs.record import Record
from rlfn.jobs.watch import OwnOutputs, Waiting, arrivals
from waiting import PATIENCE

pytest.importorskip("watchfiles")


@dataclass
class Watched:
    """A folder that a watch looks at when the test says so, by the test's clock."""

    folder: Path
    seconds: float = 0.0
    given: dict[Path, tuple[int, int]] = field(default_factory=dict)
    moving: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict)

    def after(self, seconds: float) -> list[str]:
        """Return the names of the pictures found whole so many seconds later."""
        self.seconds += seconds
        return [path.name for path in watch._settled(self.folder, True, self.given, self.moving, settle=1.0)]


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    made = Watched(tmp_path)
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: made.seconds))
    return made


def test_a_file_is_given_when_it_is_whole(watched: Watched) -> None:
    (watched.folder / "deep").mkdir()
    with (watched.folder / "deep" / "new.jpg").open("wb") as file:
        for _ in range(4):
            file.write(b"part")
            file.flush()
            assert watched.after(0.9) == []
    (watched.folder / "notes.txt").write_text("no picture")
    assert watched.after(0.9) == []
    assert watched.after(0.2) == ["new.jpg"]
    assert watched.after(9.0) == []
    assert watched.moving == {}
    (watched.folder / "deep" / "new.jpg").write_bytes(b"changed")
    assert watched.after(0.1) == []
    assert watched.after(1.0) == ["new.jpg"]


def test_what_vanished_is_forgotten(watched: Watched) -> None:
    (watched.folder / "whole.png").write_bytes(b"1")
    assert watched.after(0.0) == []
    assert watched.after(1.0) == ["whole.png"]
    (watched.folder / "begun.png").write_bytes(b"2")
    assert watched.after(0.5) == []
    for name in ("whole.png", "begun.png"):
        (watched.folder / name).unlink()
    assert watched.after(0.5) == []
    assert (watched.given, watched.moving) == ({}, {})


def test_an_empty_file_is_not_looked_at_for_ever(watched: Watched) -> None:
    (watched.folder / "new.png").touch()
    assert watched.after(0.0) == []
    assert list(watched.moving) == [watched.folder / "new.png"]
    assert watched.after(1.0) == []
    assert watched.moving == {}
    (watched.folder / "new.png").write_bytes(b"content")
    assert watched.after(0.0) == []
    assert watched.after(1.0) == ["new.png"]


def test_arrivals_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "there.png").write_bytes(b"1")
    stop, found = threading.Event(), Queue[list[str]]()

    def work() -> None:
        for paths in arrivals(tmp_path, recursive=True, settle=0.1, stop=stop):
            found.put([path.name for path in paths])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert found.get(timeout=PATIENCE) == ["there.png"]
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "new.jpg").write_bytes(b"new")
        assert found.get(timeout=PATIENCE) == ["new.jpg"]
        (tmp_path / "there.png").write_bytes(b"changed")
        assert found.get(timeout=PATIENCE) == ["there.png"]
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert found.empty()


def test_without_watchfiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "watchfiles", None)
    with pytest.raises(MissingExtraError, match=r"rlfn\[watch\]"):
        next(arrivals(tmp_path, recursive=False))


def test_a_watch_replaces_only_what_it_wrote_itself(tmp_path: Path) -> None:
    job, own = Job(tmp_path / "a.png", tmp_path / "out.png"), OwnOutputs()
    (tmp_path / "out.png").write_bytes(b"of another program")
    for status in ("skipped", "failed"):
        own.note(job, Record("a.png", "out.png", status))
        assert not own.job(job).overwrite
    own.note(job, Record("a.png", "out.png", "done"))
    assert own.job(job).overwrite
    assert not own.job(Job(tmp_path / "a.jpg", tmp_path / "out.png")).overwrite
    (tmp_path / "out.png").write_bytes(b"edited")
    assert not own.job(job).overwrite
    (tmp_path / "out.png").unlink()
    assert not own.job(job).overwrite


def test_a_conflict_is_reported_until_it_is_over(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        (tmp_path / name).write_bytes(b"1")

    def plan() -> Plan:
        return make_plan([str(tmp_path)], None, Naming("x4"), set_aside=True)

    waiting = Waiting()
    assert waiting.add([tmp_path / "a.png", tmp_path / "a.jpg", tmp_path / "b.png"])
    jobs, conflicts = waiting.take(plan())
    assert [job.source for job in jobs] == [tmp_path / "b.png"]
    assert [[job.source for job in held] for _, held in conflicts] == [[tmp_path / "a.jpg", tmp_path / "a.png"]]
    assert waiting.add([])
    assert waiting.take(plan()) == ([], [])
    (tmp_path / "a.jpg").unlink()
    assert waiting.add([])
    jobs, conflicts = waiting.take(plan())
    assert ([job.source for job in jobs], conflicts) == ([tmp_path / "a.png"], [])
    assert not waiting.add([])
    (tmp_path / "a.jpg").write_bytes(b"2")
    assert waiting.add([tmp_path / "a.jpg"])
    jobs, conflicts = waiting.take(plan())
    assert [[job.source for job in held] for _, held in conflicts] == [[tmp_path / "a.jpg"]]
