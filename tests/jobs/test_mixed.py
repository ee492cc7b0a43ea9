"""Batches of pictures and videos: the order of the records, one engine for all pictures, and overlap."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rlfn.images.files import Picture, write_picture
from rlfn.inference.enlarge import Enlarger
from rlfn.jobs.batch import Batch, Record, Settings
from rlfn.jobs.files import LocalFiles
from rlfn.jobs.mixed import MixedBatch
from rlfn.jobs.plan import Job
from waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("nearest")


def test_pictures_between_videos_form_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = []
    for number in range(5):
        job = Job(tmp_path / str(number), tmp_path / f"out/{number}.png", video=number % 2 == 1)
        jobs.append(job)
        if not job.video:
            write_picture(Picture(np.zeros((9, 8, 3), np.uint8)), tmp_path / str(number), format="png")
    sizes: list[int | None] = []
    choose, read = Enlarger.with_auto_engine, LocalFiles.read
    third_is_read = threading.Event()

    class Videos:
        def run(self, videos: list[Job]) -> Iterator[Record]:
            for job in videos:
                assert third_is_read.wait(PATIENCE)
                yield Record(str(job.source), str(job.target), "done")

    def noted(self: LocalFiles, job: Job, max_pixels: int | None) -> Picture:
        if job is jobs[2]:
            third_is_read.set()
        return read(self, job, max_pixels)

    monkeypatch.setattr(
        Enlarger, "with_auto_engine", lambda self, pixels: (sizes.append(pixels), choose(self, pixels))[1]
    )
    monkeypatch.setattr(LocalFiles, "read", noted)
    records = list(MixedBatch(Batch(Settings()), Videos).run(jobs))  # type: ignore[arg-type]
    assert [(record.input, record.status) for record in records] == [(str(job.source), "done") for job in jobs]
    assert sizes == [None]


def test_videos_alone_start_no_batch_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    class Videos:
        def run(self, videos: list[Job]) -> Iterator[Record]:
            return iter([Record(str(job.source), "", "done") for job in videos])

    monkeypatch.setattr(Enlarger, "with_auto_engine", None)
    records = MixedBatch(Batch(Settings()), Videos).run([Job(Path("a"), None, video=True)])  # type: ignore[arg-type]
    assert [record.input for record in records] == ["a"]
