"""PlaceOrder of examples/shop/shop.saga by hand: the same services, the same guarantees.

Takes the money only when everything else is certain. Times are seconds.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID, uuid5

from .calls import Call, Failure, Policy, Unknown, now, settle
from .services import Authorization, Confirmation, Line, Order, Review, Services, Verdict

T = TypeVar("T")

EDGE = Policy(retries=4, backoff=0.2, cap=5)
STUBBORN = Policy(retries=None, backoff=1, cap=300)
DEADLINE = 6 * 3600.0
REVIEW_WITHIN = 4 * 3600.0
ESCALATE_AFTER = 3600.0
KEYS = UUID("0d0d9a3c-4a3b-4f5c-9d46-4c1d5a2f7a10")


class Aborted(Failure):
    """Refused, ReviewTimedOut, DeadlineExceeded or Cancelled."""


# --- Outcomes ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Completed:
    value: Confirmation


@dataclass(frozen=True, slots=True)
class Compensated:
    error: Failure


@dataclass(frozen=True, slots=True)
class Escalated:
    """`owed`: what a person must settle, as (operation, error, team)."""

    owed: tuple[tuple[str, str, str], ...]


Outcome = Completed | Compensated | Escalated


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal. It holds no arguments and no answers: they may be secret."""

    at: float
    step: str
    what: str


# --- The saga ------------------------------------------------------------------------------------


class PlaceOrder:
    """One run. `review` and `cancel` may be called while `run` is awaited."""

    def __init__(self, order: Order, services: Services) -> None:
        self.order = order
        self.services = services
        self.journal: list[Entry] = []
        self._ends = math.inf
        self._stop = asyncio.Event()  # set by what aborts the saga
        self._error: Failure | None = None
        self._passed = False
        self._undo: dict[str, Call[None]] = {}
        self._give_up = asyncio.Event()  # set when nothing but a person can help
        self._insisting: set[str] = set()
        self._overdue: set[str] = set()
        self._owed: list[tuple[str, str, str]] = []
        self._review: Review | None = None
        self._woken = asyncio.Event()  # whoever waits for the review

    def review(self, review: Review) -> None:
        """The first one counts; it may come before the saga waits for it."""
        if self._review is None:
            self._note("review", "received")
            self._review = review
            self._woken.set()

    def cancel(self) -> None:
        """From the pivot's intent on this is refused: a capture goes on until it happened."""
        self._abort(Aborted("Cancelled"))

    async def run(self) -> Outcome:
        loop = asyncio.get_running_loop()
        self._ends = now() + DEADLINE
        timer = loop.call_at(self._ends, self._abort, Aborted("DeadlineExceeded"))
        try:
            auth = await self._until_pivot()
        except Failure as failed:
            self._abort(failed)
            return await self._compensate()
        finally:
            timer.cancel()
        return await self._from_pivot(auth)

    # --- Forward ----------------------------------------------------------------------------------

    async def _until_pivot(self) -> str:
        order, do = self.order, self.services
        await self._step("create", do.orders.create(order), do.orders.reject(order.id))

        room = asyncio.Semaphore(8)

        async def authorize() -> Authorization:
            call = do.payment.authorize(order.id, order.total, order.card)
            return await self._step("pay", call, do.payment.release(self._key("pay")))

        async def reserve(number: int, line: Line) -> None:
            async with room:
                name = f"hold {number}"
                call = do.inventory.reserve(line.sku, line.qty)
                await self._step(name, call, do.inventory.free(self._key(name)))

        # Where one fails, the others start nothing new, and what is in flight is awaited: its
        # outcome must be known before anything is undone. Only then the failure is raised.
        holds = [self._branch(reserve(number, line)) for number, line in enumerate(order.lines)]
        pay, _ = await asyncio.gather(self._branch(authorize()), asyncio.gather(*holds))
        self._go_on()
        assert pay is not None

        if order.total.amount > 1000:
            review = await self._reviewed()
            if review.verdict is Verdict.DENIED:
                raise Aborted("Refused")
        self._go_on()
        self._passed = True
        return pay.auth

    async def _from_pivot(self, auth: str) -> Outcome:
        order, do = self.order, self.services
        try:
            await self._insist("charge", do.payment.capture(auth))
            book = do.shipping.book(order.id, order.address)
            booking = await self._insist("ship", book, "logistics")
            await self._insist("confirm", do.orders.confirm(order.id, booking.tracking))
        except Failure:
            return Escalated(tuple(self._owed))
        receipt = do.notification.receipt(order.id, booking.tracking)
        with suppress(Failure):  # no receipt is no reason to fail
            await self._made("receipt", receipt, EDGE, asyncio.Event())
        return Completed(Confirmation(order.id, booking.tracking))

    async def _step(self, name: str, call: Call[T], undo: Call[None]) -> T:
        """A step before the pivot. It is to be undone if it happened, or may have."""
        self._go_on()
        try:
            value = await self._made(name, call, EDGE, self._stop, ends=self._ends)
        except Unknown:
            self._undo[name] = undo
            raise
        self._undo[name] = undo
        return value

    async def _branch(self, work: Awaitable[T]) -> T | None:
        try:
            return await work
        except Failure as failed:
            self._abort(failed)
            return None

    async def _reviewed(self) -> Review:
        with suppress(TimeoutError):
            async with asyncio.timeout(REVIEW_WITHIN):
                await self._woken.wait()
        self._go_on()
        if self._review is None:
            raise Aborted("ReviewTimedOut")
        return self._review

    def _go_on(self) -> None:
        if self._error is not None:
            raise self._error

    def _abort(self, error: Failure) -> None:
        """The first failure is the error of the saga."""
        if self._passed or self._error is not None:
            return
        self._note("saga", f"{error.name}: undoing what was done")
        self._error = error
        self._stop.set()
        self._woken.set()

    # --- Backward ---------------------------------------------------------------------------------

    async def _compensate(self) -> Outcome:
        """In reverse order: what ran in parallel is undone in parallel, then the order."""
        room = asyncio.Semaphore(8)

        async def undo(name: str, call: Call[None]) -> None:
            # What is owed now holds back what came before it.
            with suppress(Failure):
                async with room if name.startswith("hold") else nullcontext():
                    await self._insist(f"undo {name}", call, "orders-oncall")

        create = self._undo.pop("create", None)
        await asyncio.gather(*(undo(name, call) for name, call in self._undo.items()))
        if create is not None and not self._owed:
            await undo("create", create)
        if self._owed:
            return Escalated(tuple(self._owed))
        assert self._error is not None
        return Compensated(self._error)

    # --- Calls ------------------------------------------------------------------------------------

    async def _insist(self, name: str, call: Call[T], team: str = "") -> T:
        """A call that must get through, tried for ever. Where it cannot succeed (it was rejected,
        the contract is broken), a person owes it.

        With a team: it is told after an hour of trying. Once nothing is left but such calls, they
        are given up, for only a person can help.
        """
        late = partial(self._late, name, call.label, team)
        timer = asyncio.get_running_loop().call_later(ESCALATE_AFTER, late) if team else None
        self._insisting.add(name)
        try:
            return await self._made(name, call, STUBBORN, self._give_up, patient=True)
        except Failure as failed:
            self._owe(name, (call.label, failed.name, team))
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self._insisting.discard(name)
            self._overdue.discard(name)
            self._look_around()

    def _late(self, name: str, label: str, team: str) -> None:
        self._note(name, f"{team}: {label} is still being tried")
        self._overdue.add(name)
        self._look_around()

    def _look_around(self) -> None:
        if self._insisting and self._insisting <= self._overdue:
            self._give_up.set()

    def _owe(self, name: str, owed: tuple[str, str, str]) -> None:
        self._note(name, f"{owed[2] or 'a person'} must settle {owed[0]}: {owed[1]}")
        self._owed.append(owed)

    async def _made(
        self,
        name: str,
        call: Call[T],
        policy: Policy,
        stop: asyncio.Event,
        *,
        ends: float = math.inf,
        patient: bool = False,
    ) -> T:
        """Make a call; its intent is on record before, its outcome after."""
        key = self._key(name) if call.keyed else None
        self._note(name, f"{call.label} begins")
        note = partial(self._note, name)
        try:
            value = await settle(
                call, key, policy, stop=stop, note=note, ends=ends, patient=patient
            )
        except Failure as failed:
            self._note(name, f"{type(failed).__name__}: {failed.name}")
            raise
        self._note(name, "ok")
        return value

    def _key(self, name: str) -> str:
        """The same for the same step of the same order, whoever runs it and whenever."""
        return str(uuid5(KEYS, json.dumps(["PlaceOrder", self.order.id, name])))

    def _note(self, step: str, what: str) -> None:
        self.journal.append(Entry(now(), step, what))
