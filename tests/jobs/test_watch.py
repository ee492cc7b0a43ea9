"""Pictures that arrive: each once, and only when it is whole."""

from __future__ import annotations

import threading
from pathlib import Path
from queue import Queue

import pytest

from rlfn.errors import MissingExtraError
from rlfn.jobs.plan import Job
from rlfn.jobs.record import Record
from rlfn.jobs.watch import OwnOutputs, arrivals
from waiting import PATIENCE

pytest.importorskip("watchfiles")


def test_a_file_is_given_when_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "there.png").write_bytes(b"1")
    stop, found = threading.Event(), Queue[list[str]]()

    def work() -> None:
        for paths in arrivals(tmp_path, recursive=True, settle=1.0, stop=stop):
            found.put([path.name for path in paths])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert found.get(timeout=PATIENCE) == ["there.png"]
        (tmp_path / "deep").mkdir()
        with (tmp_path / "deep" / "new.jpg").open("wb") as file:
            for _ in range(12):  # longer than it takes to settle
                file.write(b"part")
                file.flush()
                stop.wait(0.2)
                assert found.empty()
        (tmp_path / "notes.txt").write_text("no picture")
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
    (tmp_path / "out.png").write_bytes(b"edited")
    assert not own.job(job).overwrite
    (tmp_path / "out.png").unlink()
    assert not own.job(job).overwrite
