"""The desk: takes pictures in, has them worked on one after another, and holds results until they are fetched.

Everything here runs in the event loop. What is held is bounded: pictures that wait in number, uploads and results in
bytes. What would be too much is refused, with the seconds after which to try again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

from rlfn.errors import OptionError, RlfnError
from rlfn.serve.cache import ResultCache, content_key
from rlfn.serve.crew import CancelledWork, Hand
from rlfn.serve.fields import Asked
from rlfn.serve.problems import Problem, broken, busy, full_memory, going_down, problem, problem_of, too_slow
from rlfn.serve.settings import ServeSettings
from rlfn.serve.ticket import Ticket, TicketState
from rlfn.serve.work import Commission, Delivery

_FIRST_GUESS = 2.0
"""Seconds that a picture is thought to take before one was worked on."""

_MOST_TICKETS = 4096
"""So many pictures may be held in all, those that nobody fetched among them."""

_LOG = logging.getLogger("rlfn.serve")


class Desk:
    """The queue, the workers and the results of one server.

    Args:
        settings: the operator's.
        hands: what does the work.
        told: called with every ticket that has come to an end.
    """

    def __init__(
        self,
        settings: ServeSettings,
        hands: Sequence[Hand],
        told: Callable[[Ticket], None] = lambda ticket: None,
    ) -> None:
        self.settings = settings
        self.cache = ResultCache(settings.cache)
        self.tickets: dict[str, Ticket] = {}
        self._by_idempotency: dict[str, Ticket] = {}
        self.waiting: deque[Ticket] = deque()
        self.running: set[Ticket] = set()
        self.uploads = 0
        self.results = 0
        self._holders: dict[int, int] = {}
        self.draining = False
        self._hands, self._free = list(hands), list(hands)
        self._told = told
        self._seconds = _FIRST_GUESS
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start the workers."""
        await asyncio.gather(*(hand.start() for hand in self._hands))
        self._keep(self._expire())

    async def close(self) -> None:
        """End the workers and forget everything."""
        self.draining = True
        for ticket in [*self.waiting, *self.running]:
            self._end(ticket, TicketState.FAILED, going_down())
        for hand in self._hands:
            hand.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def drain(self) -> None:
        """Take nothing more, give back what waits, and let what runs finish and be fetched, as long as grace lasts."""
        self.draining = True
        for ticket in list(self.waiting):
            self._end(ticket, TicketState.FAILED, going_down())
        deadline = time.monotonic() + self.settings.grace
        while time.monotonic() < deadline and (self.running or self.results):
            await asyncio.sleep(0.05)

    def retry_after(self) -> int:
        """Return the seconds after which there will be room, by what pictures took of late."""
        return int(min(max(self._seconds * (len(self.waiting) + 1) / len(self._hands), 1.0), 120.0))

    def check_room(self, size: int) -> None:
        """Refuse an upload of ``size`` bytes more that cannot be held or waited for.

        Raises:
            Problem: the server goes down, too many wait, or the memory is full.
        """
        if self.draining:
            raise going_down()
        if len(self.waiting) >= self.settings.queue or len(self.tickets) >= _MOST_TICKETS:
            raise busy(len(self.waiting), self.retry_after())
        if self.uploads + size > self.settings.memory // 2:
            raise full_memory(self.retry_after())

    def submit(self, picture: bytes, asked: Asked, idempotency: str | None = None, *, job: bool = True) -> Ticket:
        """Take a picture in.

        Args:
            picture: the bytes of its file, accounted for already.
            asked: the client's options.
            idempotency: a client's key: the same one with the same request is the same ticket.
            job: whether it goes on when nobody waits for it.

        Raises:
            Problem: there is no room, or the key was used for something else.
        """
        key = content_key(picture, asked)
        known = self._by_idempotency.get(idempotency) if idempotency else None
        if known is not None:
            if known.key != key:
                raise problem_of(OptionError("This Idempotency-Key was used for another request. Take a new one."))
            known.job = known.job or job  # from now on somebody may come back for it
            return known
        ticket = Ticket(secrets.token_urlsafe(18), key, None, 0, idempotency, job)
        kept = self.cache.get(key)
        if kept is not None and not self.draining and len(self.tickets) < _MOST_TICKETS and self._can_hold(kept, job):
            self._note(ticket)
            ticket.cached = True
            self._finish(ticket, kept)
            return ticket
        self.check_room(len(picture))
        settings = self.settings
        ticket.commission = Commission(picture, asked, settings.max_pixels, settings.max_result_pixels)
        ticket.size = len(picture)
        self.uploads += ticket.size
        self._note(ticket)
        self.waiting.append(ticket)
        self._dispatch()
        return ticket

    def _can_hold(self, delivery: Delivery, job: bool) -> bool:
        """Tell whether there is room to hold a result of the cache; what is only sent needs none."""
        return not job or id(delivery) in self._holders or self.results < self.settings.memory // 2

    def _hold(self, delivery: Delivery) -> None:
        """Count a result that a ticket holds; tickets of the same picture share one."""
        self._holders[id(delivery)] = self._holders.get(id(delivery), 0) + 1
        if self._holders[id(delivery)] == 1:
            self.results += len(delivery.data)

    def _release(self, delivery: Delivery) -> None:
        self._holders[id(delivery)] -= 1
        if not self._holders[id(delivery)]:
            del self._holders[id(delivery)]
            self.results -= len(delivery.data)

    def _note(self, ticket: Ticket) -> None:
        self.tickets[ticket.id] = ticket
        if ticket.idempotency:
            self._by_idempotency[ticket.idempotency] = ticket

    def ahead(self, ticket: Ticket) -> int:
        """Return how many pictures wait before this one."""
        return self.waiting.index(ticket) if ticket in self.waiting else 0

    @contextlib.asynccontextmanager
    async def awaited(self, ticket: Ticket) -> AsyncIterator[Delivery]:
        """Wait for a result, and hold it for the ``with`` block.

        What was no job is given up where all who wait leave, and forgotten when the last one has it.

        Raises:
            Problem: why there is none.
        """
        ticket.waiters += 1
        try:
            while not ticket.over:
                await ticket.changed.wait()
            if ticket.problem is not None:
                raise ticket.problem
            if ticket.delivery is None:
                raise problem("cancelled", "The picture was given up. Send it again.")
            yield ticket.delivery
        finally:
            ticket.waiters -= 1
            if not (ticket.job or ticket.waiters):
                self.cancel(ticket)
                self.forget(ticket)

    async def changes(self, ticket: Ticket, silence: float) -> AsyncIterator[bool]:
        """Yield at once and after every change until the end: True; after ``silence`` seconds without one, False."""
        seen = -1
        while True:
            if ticket.changes != seen:
                seen, over = ticket.changes, ticket.over
                yield True
                if over:
                    return
                continue
            try:
                await asyncio.wait_for(ticket.changed.wait(), silence)
            except TimeoutError:
                yield False

    def cancel(self, ticket: Ticket) -> None:
        """Give up a ticket."""
        if ticket.over:
            return
        if ticket.hand is not None:
            ticket.hand.cancel()
        self._end(ticket, TicketState.CANCELLED, None)

    def forget(self, ticket: Ticket) -> None:
        """Hold nothing more of a ticket that is over."""
        if self.tickets.pop(ticket.id, None) is not None and ticket.delivery is not None:
            self._release(ticket.delivery)
        if ticket.idempotency and self._by_idempotency.get(ticket.idempotency) is ticket:
            del self._by_idempotency[ticket.idempotency]
        ticket.delivery = None
        self._dispatch()

    def _dispatch(self) -> None:
        """Give waiting pictures to free workers, as long as the results have room."""
        while self._free and self.waiting and self.results < self.settings.memory // 2:
            ticket, hand = self.waiting.popleft(), self._free.pop()
            self.running.add(ticket)
            ticket.hand = hand
            ticket.move(TicketState.RUNNING)
            self._keep(self._work(ticket, hand))
        for ticket in self.waiting:
            ticket.move(TicketState.WAITING)

    async def _work(self, ticket: Ticket, hand: Hand) -> None:
        assert ticket.commission is not None
        began = time.monotonic()
        try:
            delivery = await hand.carry_out(
                ticket.commission, lambda share: self._report(ticket, share), self.settings.seconds
            )
            self._seconds += 0.2 * (time.monotonic() - began - self._seconds)
            if not ticket.over:
                self.cache.put(ticket.key, delivery)
                self._finish(ticket, delivery)
        except CancelledWork:
            self._end(ticket, TicketState.CANCELLED, None)
        except TimeoutError:
            self._end(ticket, TicketState.FAILED, too_slow(self.settings.seconds))
        except RlfnError as error:
            self._end(ticket, TicketState.FAILED, problem_of(error))
        except Exception as error:
            _LOG.error("The work on a picture failed.", exc_info=error)
            self._end(ticket, TicketState.FAILED, broken())
        finally:
            self.running.discard(ticket)
            self._drop_upload(ticket)
            ticket.hand = None
            self._free.append(hand)
            self._dispatch()

    def _report(self, ticket: Ticket, share: float) -> None:
        if ticket.stage is TicketState.RUNNING:
            ticket.move(TicketState.RUNNING, share)

    def _finish(self, ticket: Ticket, delivery: Delivery) -> None:
        ticket.delivery = delivery
        self._hold(delivery)
        ticket.move(TicketState.DONE, 1.0)
        self._told(ticket)

    def _end(self, ticket: Ticket, stage: TicketState, why: Problem | None) -> None:
        if ticket.over:
            return
        with contextlib.suppress(ValueError):
            self.waiting.remove(ticket)
        if ticket not in self.running:
            self._drop_upload(ticket)
        ticket.problem = why
        ticket.move(stage)
        self._told(ticket)

    def _drop_upload(self, ticket: Ticket) -> None:
        self.uploads -= ticket.size
        ticket.size, ticket.commission = 0, None

    async def _expire(self) -> None:
        """Forget, now and then, what nobody fetched."""
        while True:
            await asyncio.sleep(min(self.settings.keep / 4, 5.0))
            oldest = time.monotonic() - self.settings.keep
            for ticket in [one for one in self.tickets.values() if one.ended is not None and one.ended < oldest]:
                self.forget(ticket)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
