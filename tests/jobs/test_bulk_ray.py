"""Bulk processing on a local Ray cluster: every output is complete and equals that of a batch, whatever crashes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("pyarrow")
pytest.importorskip("fsspec")
pytest.importorskip("ray")

import pyarrow as pa

from rlfn.cli.bulk import _status_line
from rlfn.errors import OutputError
from rlfn.images.files import Picture, write_picture
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.jobs.batch import Batch, Record, Settings
from rlfn.jobs.bulk import ray_cluster
from rlfn.jobs.bulk.driver import BulkProgress, BulkRequest, BulkRun
from rlfn.jobs.bulk.manifest import Manifest, PictureRow, read_manifest
from rlfn.jobs.bulk.ray_cluster import ClusterOptions, cluster
from rlfn.jobs.bulk.stores import Store
from rlfn.jobs.plan import Naming, make_plan
from rlfn.models.traits import Traits
from synthetic import synthetic

FAST = Settings(EnlargeOptions(model="rlfn-xs-x2", threads=1))
CLUSTER = ClusterOptions(workers=2)


@pytest.fixture(scope="module", autouse=True)
def ray_here(object_store: str) -> Iterator[None]:
    """Start a Ray with two cores, whose workers know the object store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_cluster, "default_threads", lambda: 2)
        patch.setenv("AWS_ENDPOINT_URL", object_store)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        with cluster(CLUSTER):
            ray_cluster.import_ray().cloudpickle.register_pickle_by_value(sys.modules[__name__])
            yield


def pictures(folder: Path, count: int) -> Path:
    for number in range(count):
        path = folder / ("sub" if number % 3 else "") / f"{number}.{'jpg' if number % 2 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(Picture(synthetic(16 + 5 * number, 40, seed=number)), path)
    return folder


def batch_outputs(source: Path, target: Path, settings: Settings = FAST) -> dict[str, bytes]:
    """Return what ``rlfn upscale`` makes of a folder, by name."""
    plan = make_plan([str(source)], str(target), Naming("x2", recursive=True))
    list(Batch(settings).run(plan.jobs))
    return outputs(str(target))


def outputs(place: str) -> dict[str, bytes]:
    store = Store(place)
    names = [found.name for found in store.files() if not found.name.startswith("_manifest/")]
    return {name: store.read(store.path(name)) for name in names}


def run(source: Path | str, target: Path | str, **how: Any) -> tuple[BulkRun, list[PictureRow]]:
    how = {"settings": FAST, "cluster": CLUSTER, **how}
    made = BulkRun(BulkRequest(str(source), str(target), **how))
    return made, list(made.rows())


def statuses(place: str) -> dict[str, str]:
    table = read_manifest(f"{place}/_manifest")
    assert len(set(table.column("key").to_pylist())) == table.num_rows
    return dict(zip(table.column("key").to_pylist(), table.column("status").to_pylist(), strict=True))


def test_a_folder_is_done_once_and_a_rerun_does_what_is_missing(tmp_path: Path) -> None:
    source, target = pictures(tmp_path / "in", 7), tmp_path / "out"
    (source / "bad.png").write_bytes(b"no")
    wanted = batch_outputs(source, tmp_path / "batch")
    first, rows = run(source, target)
    assert outputs(str(target)) == wanted
    assert len(rows) == 8
    assert (first.progress.done, first.progress.failed, first.progress.skipped) == (7, 1, 0)
    assert statuses(str(target))["bad.png"] == "failed"

    write_picture(Picture(synthetic(30, 30, seed=99)), source / "0.png")
    (target / "sub" / "1.png").unlink()
    (target / "sub" / "2.png").write_bytes(b"cut short")
    again, rows = run(source, target)
    assert {row.key: (row.status, row.attempts) for row in rows} == {
        "0.png": ("done", 1),
        "sub/1.jpg": ("done", 1),
        "sub/2.png": ("done", 1),
        "bad.png": ("failed", 2),
    }
    assert (again.progress.skipped, again.progress.total) == (4, 8)
    assert outputs(str(target)) == batch_outputs(source, tmp_path / "again")


@pytest.mark.heavy
def test_verifying_redoes_what_does_not_match_the_manifest(tmp_path: Path) -> None:
    source, target = pictures(tmp_path / "in", 5), tmp_path / "out"
    wanted = batch_outputs(source, tmp_path / "batch")
    run(source, target)
    damaged = bytearray((target / "3.png").read_bytes())
    damaged[-20] ^= 1
    (target / "3.png").write_bytes(damaged)
    assert run(source, target)[1] == []
    checked, rows = run(source, target, verify=True)
    assert [row.key for row in rows] == ["3.jpg"]
    assert (checked.progress.skipped, checked.progress.done) == (4, 1)
    assert outputs(str(target)) == wanted


def test_from_bucket_to_bucket_with_workers_killed(tmp_path: Path, bucket: str) -> None:
    local = pictures(tmp_path / "in", 8)
    source = Store(f"{bucket}/in")
    for path in local.rglob("*.*"):
        source.put(path.relative_to(local).as_posix(), path.read_bytes())
    made = BulkRun(BulkRequest(f"{bucket}/in", f"{bucket}/out", FAST, CLUSTER))
    killed = set()
    rows = []
    for row in made.rows():
        rows.append(row.key)
        pid = int(row.worker.split(":")[1])
        if len(killed) < 2 and pid not in killed:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
    assert sorted(rows) == sorted(one.name for one in source.files())
    assert outputs(f"{bucket}/out") == batch_outputs(local, tmp_path / "batch")
    assert set(statuses(f"{bucket}/out").values()) == {"done"}
    assert run(f"{bucket}/in", f"{bucket}/out")[1] == []


class DeadlyEngine:
    """Repeats pixels, and ends its process where a picture is 33 px high."""

    name = "deadly"
    precision = "fp32"
    takes_grid = False
    traits = Traits("deadly", scale=2, min_side=4, margin=12, stride=6)

    def __call__(self, lr: NDArray[np.float32], grid: object = None) -> NDArray[np.float32]:
        if lr.shape[2] == 33:
            os.kill(os.getpid(), signal.SIGKILL)
        return lr.repeat(2, axis=2).repeat(2, axis=3)


@pytest.mark.heavy
def test_a_picture_that_no_worker_survives_is_a_row_and_the_others_are_done(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(30, 37):
        pixels = random.integers(0, 256, (number, 50, 3), np.uint8)
        write_picture(Picture(pixels), folder / f"{number}.png")
    settings = Settings(EnlargeOptions(engine=DeadlyEngine()))
    made, rows = run(folder, tmp_path / "out", settings=settings)
    assert (made.progress.done, made.progress.failed) == (6, 1)
    lost = next(row for row in rows if row.status == "failed")
    assert (lost.key, lost.attempts) == ("33.png", 3)
    assert lost.error.startswith("3 workers crashed while processing it")


@pytest.mark.parametrize(
    "engine", ["onnxruntime", *(pytest.param(name, marks=pytest.mark.heavy) for name in ("openvino", "ncnn"))]
)
def test_a_picture_split_between_two_workers_is_bit_identical(tmp_path: Path, engine: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_picture(Picture(synthetic(20, 1500)), folder / "wide.png")
    model = "rlfn-s-x2" if engine == "ncnn" else "rlfn-xs-x2"
    settings = replace(FAST, enlarge=replace(FAST.enlarge, model=model, engine=engine))
    made, rows = run(folder, tmp_path / "out", settings=settings, oversized_pixels=10_000)
    assert [row.status for row in rows] == ["done"]
    assert made.progress.workers == 2
    assert outputs(str(tmp_path / "out")) == batch_outputs(folder, tmp_path / "batch", settings)


def test_the_command_reports_each_picture(tmp_path: Path, command: Any) -> None:
    source, target = pictures(tmp_path / "in", 3), tmp_path / "out"
    (source / "bad.png").write_bytes(b"no")
    how = ("bulk", str(source), str(target), "-m", "rlfn-xs-x2", "--workers", "2", "--json")
    done = command(*how)
    assert done.status == 1, done.err
    assert {record["key"]: record["status"] for record in done.records} == {
        "0.png": "done",
        "sub/1.jpg": "done",
        "sub/2.png": "done",
        "bad.png": "failed",
    }
    assert all(Record("", "", "").as_dict().keys() < record.keys() for record in done.records)
    assert "3 upscaled, 1 failed" in done.err
    assert outputs(str(target)) == batch_outputs(source, tmp_path / "batch")
    (source / "bad.png").unlink()
    done = command(*how)
    assert done.status == 0
    assert [record["status"] for record in done.records] == ["skipped"] * 3


@pytest.mark.parametrize(("seconds", "left"), [(30, "0m45s"), (120, "3m00s"), (6000, "2h30m")])
def test_the_status_line_tells_the_time_left(seconds: float, left: str) -> None:
    state = BulkProgress(total=10, done=3, failed=1, pixels=8_000_000, workers=2)
    line = _status_line(state, seconds)
    assert line.startswith("4 of 10 (40.0%), ")
    assert line.endswith(f"on 2 workers, {left} left")


def test_outputs_of_a_killed_run_are_replaced_but_foreign_files_are_not(tmp_path: Path) -> None:
    source, target = pictures(tmp_path / "in", 3), tmp_path / "out"
    rows = BulkRun(BulkRequest(str(source), str(target), FAST, CLUSTER)).rows()
    written = {next(rows).output}
    rows.close()
    for path in (target / "_manifest").glob("part-*"):
        path.unlink()  # as if nothing of it had been written before a kill
    Manifest(Store(target / "_manifest")).begin(pa.chunked_array([], pa.string()))
    assert len(run(source, target)[1]) == 3
    assert written < set(outputs(str(target)))

    write_picture(Picture(synthetic(30, 30)), source / "new.jpg")
    (target / "new.png").write_bytes(b"somebody's")
    with pytest.raises(OutputError, match=r"holds 1 files that results would replace, for example new\.png"):
        BulkRun(BulkRequest(str(source), str(target), FAST, CLUSTER))
    assert (target / "new.png").read_bytes() == b"somebody's"
    (target / "new.png").rename(target / "other.png")
    (target / os.fsdecode(b"\xff.png")).write_bytes(b"somebody's")
    assert [row.key for row in run(source, target)[1]] == ["new.jpg"]


def test_one_picture_with_two_outputs_is_finished(tmp_path: Path) -> None:
    pictures(tmp_path, 1)
    (tmp_path / "list.csv").write_text("path,format\n0.png,png\n0.png,jpg\n")
    assert len(run(tmp_path / "list.csv", tmp_path / "out")[1]) == 2
    assert run(tmp_path / "list.csv", tmp_path / "out")[1] == []
    (tmp_path / "out" / "0.jpg").write_bytes(b"damaged")
    assert [row.output for row in run(tmp_path / "list.csv", tmp_path / "out", verify=True)[1]] == ["0.jpg"]


class BusyRay:
    """A Ray whose processes are not ready in time, so many times."""

    def __init__(self, failures: int) -> None:
        self.failures, self.calls = failures, 0

    def init(self, **how: object) -> None:
        self.calls += 1
        if self.calls <= self.failures:
            raise Exception("The current node timed out during startup. This could happen")

    def shutdown(self) -> None:
        pass


def test_a_ray_that_fails_to_start_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(ray_cluster.time, "sleep", pauses.append)
    for _ in range(3):
        busy = BusyRay(1)
        ray_cluster._start(busy, str(tmp_path), 1)
        assert busy.calls == 2
    assert len(set(pauses)) == 3  # runs that began together do not retry together
    assert all(1 <= pause <= 10 for pause in pauses)
    with pytest.raises(OutputError, match=r"Ray failed to start on this machine twice \(The current node timed out"):
        ray_cluster._start(BusyRay(2), str(tmp_path), 1)


def test_foreign_files_are_not_replaced(tmp_path: Path, command: Any) -> None:
    source = pictures(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0.png").write_bytes(b"somebody's")
    with pytest.raises(OutputError, match=r"holds 1 files that results would replace, for example 0\.png"):
        BulkRun(BulkRequest(str(source), str(tmp_path / "out"), FAST, CLUSTER))
    done = command("bulk", str(source), str(tmp_path / "out"))
    assert done.status == 2
    assert "replace them with --overwrite" in done.err
    BulkRun(BulkRequest(str(source), str(tmp_path / "out"), replace(FAST, overwrite=True), CLUSTER))
