"""Pictures and videos together: each goes to those that know it, and the records come in the order of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from itertools import groupby
from typing import TYPE_CHECKING

from rlfn.jobs.batch import Batch
from rlfn.jobs.plan import Job
from rlfn.jobs.record import Record

if TYPE_CHECKING:
    from rlfn.jobs.video.batch import VideoBatch


class MixedBatch:
    """Runs jobs of both kinds.

    Args:
        pictures: runs those of pictures.
        videos: makes what runs those of videos, where there are any: its modules take time to load.
    """

    def __init__(self, pictures: Batch, videos: Callable[[], VideoBatch]) -> None:
        self._pictures, self._videos = pictures, videos

    def run(self, jobs: list[Job]) -> Generator[Record, None, None]:
        """Yield one record a job, in order.

        Raises:
            OptionError, ModelError, MissingExtraError: there is nothing to do it with.
        """
        for video, group in groupby(jobs, lambda job: job.video):
            if video:
                yield from self._videos().run(list(group))
            else:
                with closing(self._pictures.run(list(group))) as records:
                    yield from records
