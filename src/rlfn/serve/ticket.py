"""A picture on its way through the desk."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import StrEnum

from rlfn.serve.crew import Hand
from rlfn.serve.problems import Problem
from rlfn.serve.work import Commission, Delivery


class TicketState(StrEnum):
    """How far a ticket is; the last three are ends."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(eq=False)
class Ticket:
    """One picture on its way.

    Attributes:
        id: unguessable: who knows it may fetch the result.
        key: what requests with the same result share.
        size: bytes of the upload that are held.
        stage, share: how far it is; the share goes from 0 to 1.
        delivery, problem: what came of it.
        job: whether it goes on where nobody waits for it.
        waiters: how many requests wait for it, or are being sent it.
        changes: how often it has moved.
        ended: when, by ``time.monotonic``.
    """

    id: str
    key: str
    commission: Commission | None
    size: int
    idempotency: str | None = None
    job: bool = True
    waiters: int = 0
    stage: TicketState = TicketState.WAITING
    share: float = 0.0
    delivery: Delivery | None = None
    problem: Problem | None = None
    cached: bool = False
    ended: float | None = None
    changes: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    hand: Hand | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.stage not in (TicketState.WAITING, TicketState.RUNNING)

    def move(self, stage: TicketState, share: float = 0.0) -> None:
        """Note how far it is, and wake who waits for that."""
        self.stage, self.share = stage, share
        if self.over and self.ended is None:
            self.ended = time.monotonic()
        self.changes += 1
        self.changed.set()
        self.changed = asyncio.Event()
