"""One worker's part of bulk work: the same bytes as a batch, budgets, oversized, and helpers that come and go."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("fsspec")

from rlfn.errors import ModelError
from rlfn.images.files import Picture, write_picture
from rlfn.inference.enlarge_options import EnlargeOptions
from rlfn.inference.parts import Computed, ImagePart
from rlfn.inference.tiling import Span, Tile
from rlfn.jobs.batch import Batch, Settings
from rlfn.jobs.bulk import worker as module
from rlfn.jobs.bulk.part_dispatch import PartDispatcher
from rlfn.jobs.bulk.pending import BulkEntry
from rlfn.jobs.bulk.worker import BulkWorker, WorkerConfig
from rlfn.jobs.plan import Job
from synthetic import synthetic
from waiting import PATIENCE

FAST = EnlargeOptions(model="rlfn-xs-x2", engine="onnxruntime", threads=1, restore="off", tile=60)


def pictures(folder: Path, *sizes: tuple[int, int]) -> list[BulkEntry]:
    folder.mkdir(exist_ok=True)
    entries = []
    for number, size in enumerate(sizes):
        path = folder / f"{number}.png"
        write_picture(Picture(synthetic(*size, seed=number)), path)
        entries.append(BulkEntry(path.name, str(path), path.name, 0, path.stat().st_size, "1"))
    return entries


def worker_of(tmp_path: Path, oversized: int = 10**9, **settings: Any) -> BulkWorker:
    return BulkWorker(
        WorkerConfig((Settings(FAST, overwrite=True, **settings),), ("digest",), str(tmp_path / "out"), oversized)
    )


def test_a_worker_writes_what_a_batch_writes(tmp_path: Path) -> None:
    entries = pictures(tmp_path / "in", (30, 40), (80, 150))
    (tmp_path / "in" / "bad.png").write_bytes(b"no")
    entries.append(replace(entries[0], key="bad.png", path=str(tmp_path / "in" / "bad.png"), output="bad.webp"))
    outcome = worker_of(tmp_path, format="webp").run(entries, 10**9)
    jobs = [Job(Path(entry.path), tmp_path / "batch" / entry.output) for entry in entries]
    list(Batch(Settings(FAST, format="webp")).run(jobs))
    for name in ("0.png", "1.png"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "batch" / name).read_bytes()
    first, second, bad = outcome.rows
    assert (first.status, first.input_size, first.output_size) == ("done", (40, 30), (80, 60))
    assert (first.model, first.engine, first.device) == ("rlfn-xs-x2", "onnxruntime", "cpu")
    assert second.output_bytes == (tmp_path / "out" / "1.png").stat().st_size
    assert (second.attempts, second.settings, second.input_stamp) == (1, "digest", "1")
    assert bad.status == "failed"
    assert bad.error.startswith(f"'{tmp_path}/in/bad.png' is not a picture that rlfn knows")
    limited = worker_of(tmp_path, max_pixels=100).run(entries[:1], 10**9).rows[0]
    assert limited.error.startswith(f"'{tmp_path}/in/0.png' has 40 x 30 = 1,200 pixels")
    assert (bad.output_bytes, bad.output_sha256) == (0, "")
    assert [outcome.deferred, outcome.oversized, outcome.unreachable] == [[], [], []]


def test_pictures_beyond_the_budget_are_deferred(tmp_path: Path) -> None:
    entries = pictures(tmp_path / "in", *[(20, 20)] * 8)
    outcome = worker_of(tmp_path).run(entries, 500)
    done = len(outcome.rows)
    assert 2 <= done <= 4  # pictures are read ahead
    assert outcome.deferred == entries[done:]
    again = worker_of(tmp_path).run(outcome.deferred, 10**9)
    assert [row.key for row in (*outcome.rows, *again.rows)] == [entry.key for entry in entries]


def test_oversized_pictures_are_returned_and_split(tmp_path: Path) -> None:
    entries = pictures(tmp_path / "in", (30, 40), (80, 150))
    worker, helper = worker_of(tmp_path, oversized=10_000), worker_of(tmp_path)
    outcome = worker.run(entries, 10**9)
    assert outcome.oversized == entries[1:]
    assert len(outcome.rows) == 1
    parts = []

    def compute(blob: bytes, part: ImagePart) -> Iterator[Computed]:
        parts.append(part)
        for ready in helper.compute(blob, part):
            yield from ready

    row = worker.run_with_helpers(entries[1], [compute], lambda error: False).rows[0]
    assert (row.status, row.error, row.engine) == ("done", None, "onnxruntime")
    whole = worker_of(tmp_path / "whole").run(entries[1:], 10**9).rows[0]
    same = ("output_sha256", "output_bytes", "model", "precision", "input_sha256", "input_size", "output_size")
    assert [getattr(row, name) for name in same] == [getattr(whole, name) for name in same]
    assert parts


def test_an_oversized_picture_that_cannot_be_read_is_a_row(tmp_path: Path) -> None:
    entry = replace(pictures(tmp_path / "in", (30, 40))[0], path=str(tmp_path / "gone.png"))
    outcome = worker_of(tmp_path).run_with_helpers(entry, [], lambda error: False)
    assert [row.status for row in outcome.rows] == ["failed"]
    assert "There is no file" in outcome.rows[0].error


def test_an_unreachable_store_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = pictures(tmp_path / "in", (20, 20), (20, 20))

    def put(self: object, name: str, data: bytes) -> None:
        if name == "0.png":
            raise module.UnreachableError("s3://out/0.png is unreachable (reset). Try again later.")

    monkeypatch.setattr(module.Store, "put", put)
    outcome = worker_of(tmp_path).run(entries, 10**9)
    assert outcome.unreachable == ["0.png"]
    assert [row.status for row in outcome.rows] == ["failed", "done"]


def test_checking_finds_what_changed(tmp_path: Path) -> None:
    entries = pictures(tmp_path / "in", *[(20, 20)] * 4)
    worker = worker_of(tmp_path)
    rows = worker.run(entries, 10**9).rows
    known = [
        replace(entry, input_sha256=row.input_sha256, output_sha256=row.output_sha256)
        for entry, row in zip(entries, rows, strict=True)
    ]
    assert worker.check(known) == []
    (tmp_path / "out" / "0.png").write_bytes(b"another")
    (tmp_path / "out" / "1.png").unlink()
    Path(known[2].path).write_bytes(b"another")
    assert worker.check(known) == known[:3]


class Helpers:
    """Helpers that compute a part in three blocks; the first ends after ``survives`` of them."""

    def __init__(self, survives: int) -> None:
        self.survives = survives
        self.given: list[int] = []
        self.lost = threading.Event()

    def blocks(self, part: ImagePart) -> Iterator[Computed]:
        start = part.tile.rows.start
        for number in range(3):
            rows = Span(start + number, start + number + 1, start + number, start + number + 1)
            yield Tile(rows, part.tile.columns), np.full((3, 1, 1), start + number, np.float32)

    def here(self, part: ImagePart) -> Iterator[Computed]:
        assert self.lost.wait(PATIENCE)
        yield from self.blocks(part)

    def dying(self, part: ImagePart) -> Iterator[Computed]:
        for number, block in enumerate(self.blocks(part)):
            if number == self.survives:
                self.lost.set()
                raise ConnectionResetError
            yield block


def some_parts(count: int) -> Sequence[ImagePart]:
    return [
        ImagePart(Tile(Span(3 * n, 3 * n + 3, 3 * n, 3 * n + 3), Span(0, 1, 0, 1)), np.zeros((3, 1, 3)), (3 * count, 1))
        for n in range(count)
    ]


@pytest.mark.parametrize("survives", [0, 2])
def test_the_part_of_a_lost_helper_is_computed_by_another_and_nothing_twice(survives: int) -> None:
    helpers = Helpers(survives)
    dispatcher = PartDispatcher([helpers.here, helpers.dying], lambda error: isinstance(error, ConnectionResetError))
    values = [float(block[0, 0, 0]) for _, block in dispatcher(some_parts(5))]
    assert sorted(values) == list(range(15))


def test_an_error_in_a_part_is_raised() -> None:
    def failing(part: ImagePart) -> Iterator[Computed]:
        raise ModelError("its weights are damaged")
        yield

    with pytest.raises(ModelError, match="damaged"):
        list(PartDispatcher([failing], lambda error: False)(some_parts(2)))
    with pytest.raises(ModelError, match="damaged"):
        list(PartDispatcher([Helpers(9).blocks, failing], lambda error: False)(some_parts(500)))


def test_an_error_while_cutting_is_raised() -> None:
    def cutting() -> Iterator[ImagePart]:
        yield from some_parts(2)
        raise ModelError("cannot be cut")

    helpers = Helpers(9)
    with pytest.raises(ModelError, match="cannot be cut"):
        list(PartDispatcher([helpers.blocks, helpers.blocks], lambda error: False)(cutting()))


def test_a_consumer_that_stops_ends_the_helper_threads() -> None:
    helpers = Helpers(9)
    run = PartDispatcher([helpers.blocks, helpers.blocks], lambda error: False)(some_parts(500))
    next(run)
    run.close()
    for thread in threading.enumerate():
        if thread.name == "rlfn-helper":
            thread.join(PATIENCE)
            assert not thread.is_alive()
