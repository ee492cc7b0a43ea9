"""Batches of pictures and videos; the records come in the order of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING

from rlfn.jobs.batch import Batch
from rlfn.jobs.plan import Job
from rlfn.jobs.record import Record

if TYPE_CHECKING:
    from rlfn.jobs.video.batch import VideoBatch


class MixedBatch:
    """Runs jobs of both kinds.

    Args:
        pictures: runs the jobs of pictures.
        videos: creates the batch for videos; called only if there are any, because its modules are slow to import.
    """

    def __init__(self, pictures: Batch, videos: Callable[[], VideoBatch]) -> None:
        self._pictures, self._videos = pictures, videos

    def run(self, jobs: list[Job]) -> Generator[Record, None, None]:
        """Yield one record per job, in order. Pictures before and after a video form one batch.

        Raises:
            OptionError, ModelError, MissingExtraError: the model cannot be loaded, or a package is not installed.
        """
        moving = [job for job in jobs if job.video]
        videos = iter(self._videos().run(moving) if moving else ())
        with closing(self._pictures.run([job for job in jobs if not job.video])) as pictures:
            for job in jobs:
                yield next(videos) if job.video else next(pictures)
