"""A keyed request whose record stands apart from its effect."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sagalang.idempotency import core, log, problems
from sagalang.idempotency.answer import Answer, Ending, ending, kept
from sagalang.idempotency.core import Id, Record, State
from sagalang.idempotency.request import Request
from sagalang.idempotency.store import AsyncLeaseStore, AsyncTransaction
from sagalang.idempotency.terms import Terms, new_claim, other_name


class LeaseRun:
    """The record stands apart from the effect. Between the two a process may die."""

    def __init__(self, store: AsyncLeaseStore, terms: Terms, request: Request, key: str) -> None:
        self.key = key
        self._store = store
        self._terms = terms
        self._request = request
        self._identity = Id(self.caller(), request.operation, key)
        self._claim = new_claim(terms, request)
        self._record: Record | None = None

    def caller(self) -> str:
        return self._terms.caller(self._request)

    async def start(self) -> Answer | None:
        decision = await self._decide()
        other = other_name(self._terms, self._request, self._identity)
        if other is not None and await self.is_fenced(other):
            if isinstance(decision, core.New):
                await self._as_owner(lambda _: None)
            decision = core.Fenced()
        if isinstance(decision, core.New):
            if decision.taken_over:
                text = "runs again, an earlier run broke off"
                log.say(logging.WARNING, "taken-over", self._identity, text)
            return None
        log.told(self._identity, decision)
        return problems.told(self._terms.problems, decision, self._terms.retry_after)

    async def finish(self, answer: Answer) -> Answer:
        how = ending(answer)
        if how is Ending.NOTHING or (how is Ending.IN_DOUBT and self._claim.rerun):
            await self._as_owner(lambda _: None)
            return answer
        token, stored = self._claim.token, kept(answer)
        if await self._as_owner(lambda record: core.complete(record, token, stored)):
            return answer
        # Of two answers to one key all must hear the same one: that of the record's owner.
        decision = core.standing(self._record, self._terms.clock())
        text = "its own answer does not count, the record was taken over while it ran"
        log.say(logging.WARNING, "superseded", self._identity, text)
        return problems.told(self._terms.problems, decision, self._terms.retry_after)

    async def fail(self, error: BaseException) -> Answer | None:
        if not self._claim.rerun:
            text = "its handler failed, so nobody knows what it did"
            log.say(logging.ERROR, "in-doubt", self._identity, text, error)
        await self.finish(problems.outcome_unknown(self._terms.problems))
        return None

    async def outgrown(self) -> Answer:
        text = f"its answer is larger than {self._terms.max_answer} bytes (max_answer)"
        log.say(logging.ERROR, "answer-too-large", self._identity, text)
        return await self.finish(problems.answer_too_large(self._terms.problems))

    async def renew(self) -> bool:
        """A sign of life. False where the record is another's by now."""
        now, lease, token = self._terms.clock(), self._terms.lease, self._claim.token
        return await self._as_owner(lambda record: core.renew(record, token, now, lease))

    async def abandon(self) -> None:
        """The lease runs out by itself."""

    def opened(self) -> AsyncTransaction | None:
        raise no_transaction(self._store)

    async def begin(self) -> Any:
        raise no_transaction(self._store)

    def unfit(self, why: str) -> ValueError:
        return ValueError(why)

    async def fence(self, identity: Id) -> State | None:
        return await put_up(self._store, self._terms, identity)

    async def is_fenced(self, identity: Id) -> bool:
        record = await self._store.read(identity)
        return core.state_of(record, self._terms.clock()) is State.FENCED

    async def _decide(self) -> core.Decision:
        record: Record | None = None  # most keys are new: try before looking
        while True:
            decision = core.claim(record, self._claim)
            if not isinstance(decision, core.New):
                return decision
            if await self._store.swap(self._identity, record, decision.record):
                self._record = decision.record
                return decision
            record = await self._store.read(self._identity)

    async def _as_owner(self, change: Callable[[Record], Record | None]) -> bool:
        """Store what `change` makes of the record. False, and nothing, where it is another's."""
        record = self._record
        while record is not None and core.owns(record, self._claim.token):
            new = change(record)
            if await self._store.swap(self._identity, record, new):
                self._record = new
                return True
            record = await self._store.read(self._identity)
        self._record = record
        return False


async def put_up(store: AsyncLeaseStore, terms: Terms, identity: Id) -> State | None:
    while True:
        record = await store.read(identity)
        now = terms.clock()
        if await store.swap(identity, record, core.fence(record, now, terms.ttl)):
            return core.state_of(record, now)


def no_transaction(store: object) -> RuntimeError:
    return RuntimeError(
        f"{type(store).__name__} has no transactions to share. Use a store of your own database: "
        "SQLiteStore or PostgresStore."
    )
