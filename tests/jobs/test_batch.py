"""Batches: order, memory, what is loaded when, and pictures that come and go meanwhile."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rlfn.errors import MissingExtraError, OptionError
from rlfn.images.files import Picture, read_picture, write_picture
from rlfn.inference import engines
from rlfn.inference.enlarge import Enlarged, Enlarger
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.sizing import Wanted
from rlfn.inference.upscaler import Upscaler
from rlfn.jobs import batch as module
from rlfn.jobs.batch import Batch, Record, Settings
from rlfn.jobs.plan import Job
from rlfn.models import catalog
from rlfn.wording import setting
from waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("nearest")


def jobs_for(folder: Path, count: int, side: int = 20) -> list[Job]:
    folder.mkdir(exist_ok=True)
    jobs = []
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (side, side + 5, 3), dtype=np.uint8)
        write_picture(Picture(pixels), folder / f"{number}.png")
        jobs.append(Job(folder / f"{number}.png", folder / "out" / f"{number}.png"))
    return jobs


def test_records_come_in_order_for_all_outcomes(tmp_path: Path) -> None:
    jobs = jobs_for(tmp_path, 12)
    for number in (1, 2, 7):
        Path(str(jobs[number].source)).write_bytes(b"no picture")
    (tmp_path / "out").mkdir()
    for number in (0, 4, 11):
        Path(str(jobs[number].target)).write_bytes(b"there")
    records = list(Batch(Settings()).run(jobs))
    assert [record.input for record in records] == [str(job.source) for job in jobs]
    statuses = {0: "skipped", 4: "skipped", 11: "skipped", 1: "failed", 2: "failed", 7: "failed"}
    assert [record.status for record in records] == [statuses.get(number, "done") for number in range(12)]
    assert all(bool(record.error) == bool(record.cause) == (record.status == "failed") for record in records)


def test_reading_running_and_writing_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next picture is read, and the next but one upscaled, before the first is written."""
    jobs = jobs_for(tmp_path, 3)
    events: list[str] = []
    third_is_read, second_is_done = threading.Event(), threading.Event()

    def read(source: Path, **options: object) -> Picture:
        if source.name == "2.png":
            third_is_read.set()
        return read_picture(source)

    def enlarge(self: Enlarger, image: NDArray[np.uint8], *rest: object) -> Enlarged:
        events.append("run")
        if len(events) == 2:
            second_is_done.set()
        return Enlarged(image, self.plan(image))

    def write(picture: Picture, target: Path, **options: object) -> tuple[str, ...]:
        if target.name == "0.png":
            assert second_is_done.wait(PATIENCE)
            assert third_is_read.wait(PATIENCE)
        return ()

    monkeypatch.setattr("rlfn.jobs.files.read_picture", read)
    monkeypatch.setattr("rlfn.jobs.picture.write_picture", write)
    monkeypatch.setattr(Enlarger, "__call__", enlarge)
    assert [record.error for record in Batch(Settings()).run(jobs)] == [None] * 3


@pytest.mark.parametrize(("limit", "most"), [(10**9, 3), (1, 1)])
def test_waiting_results_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, most: int) -> None:
    """Small results: one is made while two are written. Huge ones: the next waits until the first is on the disk."""
    jobs = jobs_for(tmp_path, 6)
    alive, seen, lock = 0, [], threading.Lock()
    may_write = threading.Event()
    whole, write = Enlarger.__call__, write_picture

    def enlarge(self: Enlarger, *arguments: object) -> Enlarged:
        nonlocal alive
        with lock:
            alive += 1
            seen.append(alive)
        if alive == most:
            may_write.set()
        return whole(self, *arguments)

    def slowly(picture: Picture, target: Path, **options: object) -> tuple[str, ...]:
        nonlocal alive
        assert may_write.wait(PATIENCE)
        warnings = write(picture, target)
        with lock:
            alive -= 1
        return warnings

    monkeypatch.setattr(module, "_WAITING_BYTES", limit)
    monkeypatch.setattr("rlfn.jobs.picture.write_picture", slowly)
    monkeypatch.setattr(Enlarger, "__call__", enlarge)
    assert all(record.status == "done" for record in Batch(Settings()).run(jobs))
    assert max(seen) == most


def test_the_progress_of_each_job_ends_at_one(tmp_path: Path) -> None:
    jobs = jobs_for(tmp_path, 2, side=80)
    shown: list[tuple[int, float]] = []
    list(Batch(Settings(EnlargeOptions(tile=48)), lambda job, share: shown.append((jobs.index(job), share))).run(jobs))
    assert shown == sorted(shown)
    assert [share for _, share in shown].count(1.0) == 2
    assert len(shown) > 8


def test_files_that_disappear_and_appear_during_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = jobs_for(tmp_path, 3)
    Path(str(jobs[1].source)).unlink()
    whole = Enlarger.__call__

    def enlarge(self: Enlarger, *arguments: object) -> Enlarged:
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "0.png").write_bytes(b"by another program")
        return whole(self, *arguments)

    monkeypatch.setattr(Enlarger, "__call__", enlarge)
    records = list(Batch(Settings()).run(jobs))
    assert [record.status for record in records] == ["skipped", "failed", "done"]
    assert "There is no file" in str(records[1].error)
    assert (tmp_path / "out" / "0.png").read_bytes() == b"by another program"


def test_the_model_is_loaded_once_and_only_when_there_is_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = jobs_for(tmp_path, 3)
    loaded: list[str] = []
    make = Upscaler.__init__
    monkeypatch.setattr(
        Upscaler, "__init__", lambda self, name, *a, **k: (loaded.append(name), make(self, name, *a, **k))[1]
    )
    assert {record.status for record in Batch(Settings()).run(jobs)} == {"done"}
    assert loaded == ["rlfn-s-x4"]
    assert {record.status for record in Batch(Settings()).run(jobs)} == {"skipped"}
    assert loaded == ["rlfn-s-x4"]


def test_a_model_that_cannot_be_loaded_ends_the_batch_before_any_record(tmp_path: Path) -> None:
    jobs = jobs_for(tmp_path, 2)
    assert [record.status for record in Batch(Settings()).run(jobs[:1])] == ["done"]
    with pytest.raises(OptionError, match="leave no room"):
        next(Batch(Settings(EnlargeOptions(tile=12))).run(jobs))


def test_each_picture_gets_the_model_that_its_size_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = catalog.get_model("rlfn-s-x4")
    models = {"x2": replace(one, name="x2", scale=2), "x4": replace(one, name="x4", scale=4)}
    monkeypatch.setattr(catalog, "models", lambda: models)
    asked: list[str] = []
    upscaler_for = Enlarger._upscaler
    monkeypatch.setattr(Enlarger, "_upscaler", lambda self, name: (asked.append(name), upscaler_for(self, name))[1])
    wide, narrow = jobs_for(tmp_path / "wide", 1, 30), jobs_for(tmp_path / "narrow", 1, 20)
    assert {record.status for record in Batch(Settings(EnlargeOptions(Wanted(width=70)))).run(wide + narrow)} == {
        "done"
    }
    assert asked[-2:] == ["x2", "x4"]


def test_stopping_early_finishes_started_work_and_starts_no_more(tmp_path: Path) -> None:
    jobs = jobs_for(tmp_path, 8)
    run = Batch(Settings()).run(jobs)
    assert next(run).status == "done"
    run.close()
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert "0.png" in made
    assert len(made) < 5
    assert all(read_picture(tmp_path / "out" / name).width == 100 for name in made)


@pytest.mark.parametrize(
    "values",
    [{"quality": 0}, {"format": "gif"}, {"max_pixels": -1}, {"max_pixels": "a"}],
)
def test_settings_are_checked_when_made(values: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        Settings(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values", [{"engine": "none"}, {"threads": 0}, {"threads": "2"}, {"tile": 1.5}, {"precision": "fp16"}]
)
def test_options_are_checked_when_made(values: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        EnlargeOptions(**values)  # type: ignore[arg-type]


def test_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.inference.engines.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rlfn\[openvino\]'"):
        EnlargeOptions(engine="openvino")


def test_a_record_has_the_reason_of_a_failure(tmp_path: Path) -> None:
    record = Record("a", "b", "failed")
    assert "memory" in str(record.failed(MemoryError()).error)
    failed = record.failed(RuntimeError("first line\nsecond line"))
    assert failed.error == (
        "The picture could not be upscaled (RuntimeError: first line second line). "
        f"Run again with {setting('debug')} for the details."
    )
    assert "cause" not in failed.as_dict()


@pytest.mark.parametrize(
    ("count", "side", "asked", "wanted"),
    [
        (1, 20, "auto", "onnxruntime"),
        (2, 20, "auto", "ncnn"),
        (1, 900, "auto", "ncnn"),
        (1, 20, "openvino", "openvino"),
    ],
)
def test_one_small_picture_takes_an_engine_that_starts_quickly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, side: int, asked: str, wanted: str
) -> None:
    for name in ("openvino", "ncnn"):
        pytest.importorskip(name)
    monkeypatch.setattr(engines, "features", lambda: frozenset({"avx2"}))
    batch = Batch(Settings(EnlargeOptions(engine=asked)))
    chosen = batch.enlarger.with_auto_engine(batch._pixels(jobs_for(tmp_path, count, side))).options.engine
    assert chosen == wanted
    assert batch.enlarger.options.engine == asked


def test_an_output_folder_removed_during_the_run_is_an_error(tmp_path: Path) -> None:
    jobs = jobs_for(tmp_path, 8)
    run = Batch(Settings()).run(jobs)
    records = [next(run), next(run)]
    (tmp_path / "out").rename(tmp_path / "gone")  # at once, also while a file in it is being written
    records += run
    assert "failed" in {record.status for record in records}
    assert not (tmp_path / "out").exists()
    failed = [record for record in records if record.status == "failed"]
    assert all("was removed during the job" in str(record.error) for record in failed)


def test_dates_are_kept(tmp_path: Path) -> None:
    job = jobs_for(tmp_path, 1)[0]
    assert job.source is not None
    assert job.target is not None
    os.utime(job.source, (1_000_000_000, 1_200_000_000))
    assert [record.status for record in Batch(Settings(keep_dates=True)).run([job])] == ["done"]
    assert job.target.stat().st_mtime == 1_200_000_000


def test_a_batch_may_run_again(tmp_path: Path) -> None:
    """Nothing in it changes from one run to the next: not its engine, and not what it has loaded."""
    batch = Batch(Settings(overwrite=True))
    before = dict(vars(batch))
    for count in (1, 3, 1):
        assert {record.status for record in batch.run(jobs_for(tmp_path / str(count), count))} == {"done"}
    assert vars(batch) == before


def test_a_given_engine_is_used(tmp_path: Path, nearest: type) -> None:
    records = list(Batch(Settings(EnlargeOptions(engine=nearest()))).run(jobs_for(tmp_path, 2)))
    assert [(record.status, record.engine, record.precision) for record in records] == [("done", "nearest", "fp32")] * 2
