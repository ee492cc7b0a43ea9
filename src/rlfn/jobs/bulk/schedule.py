"""Who does what next: small pictures in batches of so many pixels, giants by several workers, suspects alone."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from rlfn.jobs.bulk.crew import Crew, Ended, Member, Task
from rlfn.jobs.bulk.manifest import PictureRow
from rlfn.jobs.bulk.todo import BulkEntry, Todo
from rlfn.jobs.bulk.worker import Duty, Outcome, failed_row

_BUDGET = 100_000, 2_000_000
"""The least and the most pixels that a worker is given at a time."""

_MOST = 64
"""Pictures that a worker is given at a time."""

_SUSPECTS = 8
"""Pictures that a worker is given at a time when another was lost with them; in the end each is tried alone."""

_BLAMED = 3
"""A picture whose worker was lost so often, while it had that one picture alone, has failed."""

_HELPERS = 15
"""Workers that help with a giant."""

_PIXELS_A_BYTE = 16
"""A file that holds a giant has at least one byte for so many pixels, save a drawing of few colours."""

_CHECKED_BYTES = 64 << 20

_WORKERS = 500
"""For each so many workers a batch has the least pixels once more: the driver has to keep up with all of them."""


def budget(left: int, workers: int) -> int:
    """Return the pixels of a batch: less towards the end, so that all workers end together.

    Args:
        left: pixels that nobody has yet.
        workers: how many there are.
    """
    least, most = _BUDGET
    return min(max(left // (3 * workers), least * max(1, workers // _WORKERS)), most)


@dataclass
class Taken:
    """What came of a task: rows, the keys of those that failed as a store did not answer, and how many were sound."""

    rows: list[PictureRow] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    sound: int = 0


class Work:
    """What is not done yet, and who gets which part of it."""

    def __init__(self, todo: Todo, duty: Duty, *, verify: bool) -> None:
        self._todo, self._duty = todo, duty
        self._fresh = todo.entries(todo.left)
        self._next = next(self._fresh, None)
        self._checks = todo.entries(todo.done, check=True) if verify else iter(())
        self._check = next(self._checks, None)
        self._again: deque[BulkEntry] = deque()
        self._suspects: deque[list[BulkEntry]] = deque()
        self._giants: deque[BulkEntry] = deque()
        self._blamed: dict[str, int] = {}
        self._bytes_left = int(todo.table.column("bytes").to_numpy()[todo.left].sum())
        self._seen = [1, 1]  # input pixels and bytes of what was done, of which a guess is made

    @property
    def left(self) -> bool:
        """Whether anything is to be given out."""
        return bool(self._next or self._check or self._again or self._suspects or self._giants)

    @property
    def hands(self) -> int:
        """How many workers have something to do: one for each picture, more for those that may be giants."""
        sizes = self._todo.table.column("bytes").to_numpy()[self._todo.left]
        hands = np.where(sizes > 0, np.maximum(1, sizes // max(1, self._duty.giant // _PIXELS_A_BYTE)), _HELPERS + 1)
        return int(hands.sum()) + (len(self._todo.done) if self._check is not None else 0)

    def give(self, crew: Crew) -> None:
        """Give everybody something to do who has nothing, or too little."""
        while self.left:
            free = crew.free()
            if not free or not any(self._give(crew, member) for member in free):
                return

    def _give(self, crew: Crew, member: Member) -> bool:
        if member.tasks == 0 and self._suspects:
            member.alone = True  # so that nobody else can be blamed for its end
            crew.give(member, "run", self._suspects.popleft(), _BUDGET[1])
            return True
        if self._giants and not member.group:
            if member.tasks or (crew.settling and crew.count > 1 and not _helpers(crew, member)):
                return False  # it will be free soon, or somebody will be there to help
            self._give_giant(crew, member)
            return True
        if member.alone:
            return False
        if batch := self._checked():
            crew.give(member, "check", batch)
            return True
        if batch := self._batch(self._budget(crew)):
            crew.give(member, "run", batch, self._budget(crew))
            return True
        return False

    def _give_giant(self, crew: Crew, member: Member) -> None:
        entry = self._giants.popleft()
        helpers = _helpers(crew, member)
        for one in (member, *helpers):
            one.group = entry.output
        member.alone = True
        crew.give(member, "giant", [entry], helpers=helpers)

    def _budget(self, crew: Crew) -> int:
        return budget(self._bytes_left * self._seen[0] // self._seen[1], crew.count)

    def _batch(self, budget: int) -> list[BulkEntry]:
        """Take pictures with the same options, of about ``budget`` pixels."""
        batch: list[BulkEntry] = []
        guessed = 0.0
        while len(batch) < _MOST and guessed < budget:
            entry = self._again[0] if self._again else self._next
            if entry is None or (batch and entry.options != batch[0].options):
                break
            if self._again:
                self._again.popleft()
            else:
                self._next = next(self._fresh, None)
                self._bytes_left -= entry.bytes
            batch.append(entry)
            guessed += entry.bytes * self._seen[0] / self._seen[1] if entry.bytes else budget / 16
        return batch

    def _checked(self) -> list[BulkEntry]:
        batch: list[BulkEntry] = []
        size = 0
        while self._check is not None and size < _CHECKED_BYTES and len(batch) < _MOST:
            batch.append(self._check)
            size += max(self._check.bytes, 100_000)
            self._check = next(self._checks, None)
        return batch

    def take(self, ended: Ended) -> Taken:
        """Note what became of a task."""
        task = ended.task
        if task.kind == "giant":
            for one in (task.member, *task.helpers):
                one.group = ""
        if ended.lost is not None:
            return Taken(self._lost(task, ended.lost))
        if task.kind == "check":
            wrong = {entry.output for entry in ended.result}
            self._again.extend(entry for entry in task.entries if entry.output in wrong)
            return Taken(sound=len(task.entries) - len(wrong))
        outcome: Outcome = ended.result
        self._again.extendleft(reversed(outcome.left))
        self._giants.extend(outcome.giants)
        for row in outcome.rows:
            if row.input_width and row.input_bytes:
                self._seen[0] += row.input_width * row.input_height
                self._seen[1] += row.input_bytes
        return Taken(outcome.rows, outcome.unreachable)

    def _lost(self, task: Task, error: BaseException) -> list[PictureRow]:
        """Give what a lost worker had to others, in small groups; return the row of a picture to blame."""
        entries = task.entries
        if len(entries) > 1:
            size = _SUSPECTS if len(entries) > _SUSPECTS else 1
            self._suspects.extend(list(entries[start : start + size]) for start in range(0, len(entries), size))
            return []
        entry = entries[0]
        if not task.alone:
            self._suspects.append([entry])
            return []
        self._blamed[entry.output] = self._blamed.get(entry.output, 0) + 1
        if self._blamed[entry.output] < _BLAMED:
            self._suspects.append([replace(entry, attempts=entry.attempts + 1)])
            return []
        said = (
            f"Each of {_BLAMED} workers that had it ended without a word ({type(error).__name__}). Memory may have run "
            "out: give workers more of it, or leave the picture out."
        )
        return [failed_row(entry, self._duty.digests[entry.options], said)]


def _helpers(crew: Crew, member: Member) -> list[Member]:
    """Return those who can help one with a giant."""
    return [one for one in crew.members if one.ready and not one.group and one is not member][:_HELPERS]
