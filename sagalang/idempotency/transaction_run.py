"""A keyed request whose record commits together with its effect."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from sagalang.idempotency import core, log, problems
from sagalang.idempotency.answer import Answer, Ending, ending, kept
from sagalang.idempotency.core import Id, Record, State
from sagalang.idempotency.request import Request
from sagalang.idempotency.store import AsyncTransaction, AsyncTransactionStore, Busy
from sagalang.idempotency.terms import Terms, new_claim, other_name


class InTransaction:
    """What handlers do in a transaction, one thing at a time. `excuse`: why it could not be."""

    def __init__(self, terms: Terms, request: Request, key: str | None) -> None:
        self.key = key
        self._transaction: AsyncTransaction | None = None
        self._terms = terms
        self._request = request
        self._excuse: Answer | None = None
        self._one_at_a_time = asyncio.Lock()

    def caller(self) -> str:
        return self._terms.caller(self._request)

    async def begin(self) -> Any:
        async with self._one_at_a_time:
            return (await self._open()).connection

    def unfit(self, why: str) -> ValueError:
        self._excuse = problems.key_malformed(self._terms.problems, why)
        return ValueError(why)

    async def fence(self, identity: Id) -> State | None:
        async with self._one_at_a_time:
            transaction = await self._open()
            record = await self._read(transaction, identity)
            now = self._terms.clock()
            await transaction.write(identity, core.fence(record, now, self._terms.ttl))
            return core.state_of(record, now)

    async def is_fenced(self, identity: Id) -> bool:
        async with self._one_at_a_time:
            record = await self._read(await self._open(), identity)
            return core.state_of(record, self._terms.clock()) is State.FENCED

    def opened(self) -> AsyncTransaction | None:
        if self._transaction is None:
            raise RuntimeError("The answer has been given: the transaction has ended.")
        return self._transaction

    async def _open(self) -> AsyncTransaction:
        transaction = self.opened()
        assert transaction is not None
        return transaction

    async def _read(self, transaction: AsyncTransaction, identity: Id) -> Record | None:
        try:
            return await transaction.read(identity)
        except Busy:
            self._excuse = self._busy()
            raise

    def _busy(self) -> Answer:
        return problems.busy(self._terms.problems, self._terms.retry_after)

    async def abandon(self) -> None:
        await self._end(commit=False)

    async def _end(self, *, commit: bool) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            return
        try:
            if commit:
                await transaction.commit()
        finally:
            await transaction.rollback()  # does nothing after a commit


class TransactionRun(InTransaction):
    """Record and effect commit together. So nothing is ever in doubt, and no lease is needed."""

    key: str

    def __init__(
        self, store: AsyncTransactionStore, terms: Terms, request: Request, key: str
    ) -> None:
        super().__init__(terms, request, key)
        self._store = store
        self._identity = Id(self.caller(), request.operation, key)
        self._claim = new_claim(terms, request)
        self._record: Record | None = None

    async def start(self) -> Answer | None:
        """Also the order of locks: first the key, then the other name."""
        try:
            transaction = self._transaction = await self._store.begin()
            decision = await self._decide(transaction)
            if isinstance(decision, core.New):
                self._record = decision.record
                await transaction.mark()
                return None
        except Busy:
            await self._end(commit=False)
            decision = core.InFlight(self._terms.lease)
        except BaseException:
            await self._end(commit=False)
            raise
        await self._end(commit=False)
        log.told(self._identity, decision)
        return problems.told(self._terms.problems, decision, self._terms.retry_after)

    async def finish(self, answer: Answer) -> Answer:
        how = ending(answer)
        transaction, done = self._transaction, self._done(answer)
        assert transaction is not None
        try:
            if how is Ending.REFUSED:
                await transaction.undo()
            if how in (Ending.DONE, Ending.REFUSED):
                await transaction.write(self._identity, done)
                await self._end(commit=True)
        finally:
            await self._end(commit=False)
        # A rollback leaves no doubt: a repeat runs it again.
        return self._excuse if self._excuse and how is Ending.IN_DOUBT else answer

    async def fail(self, error: BaseException) -> Answer | None:
        await self._end(commit=False)
        return self._excuse

    async def outgrown(self) -> Answer:
        await self._end(commit=False)
        text = f"undone, its answer is larger than {self._terms.max_answer} bytes (max_answer)"
        log.say(logging.ERROR, "answer-too-large", self._identity, text)
        return problems.answer_too_large(self._terms.problems)

    async def _decide(self, transaction: AsyncTransaction) -> core.Decision:
        decision = core.claim(await transaction.read(self._identity), self._claim)
        other = other_name(self._terms, self._request, self._identity)
        if other is not None:
            found = core.state_of(await transaction.read(other), self._claim.now)
            if found is State.FENCED:
                return core.Fenced()
        return decision

    def _done(self, answer: Answer) -> Record:
        done = core.complete(self._record, self._claim.token, kept(answer))
        assert done is not None
        return done
