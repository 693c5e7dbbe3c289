"""A request without a key, which may want a transaction all the same: to put up a fence, say."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from sagalang.idempotency import core, log, problems
from sagalang.idempotency.answer import Answer
from sagalang.idempotency.core import Id, State
from sagalang.idempotency.lease_run import no_transaction, put_up
from sagalang.idempotency.problems import BodyError
from sagalang.idempotency.request import Request
from sagalang.idempotency.store import AsyncStore, AsyncTransaction, AsyncTransactionStore, Busy
from sagalang.idempotency.terms import Terms
from sagalang.idempotency.transaction_run import InTransaction


class UnkeyedRun(InTransaction):
    """Without a key. A transaction begins when the handler first asks for it, and commits if the
    answer is no refusal. `body_read`: awaited before, for nobody may hold a lock while a slow
    client is still sending; raises `BodyError`.
    """

    def __init__(
        self,
        store: AsyncStore,
        terms: Terms,
        request: Request,
        body_read: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(terms, request, None)
        self._store = store
        self._body_read = body_read
        self._over = False

    async def start(self) -> Answer | None:
        return None

    def holds_back(self) -> bool:
        """Whether the answer, now that it begins, has to wait for its end."""
        self._over = self._transaction is None
        return self._transaction is not None or self._excuse is not None

    async def abandon(self) -> None:
        self._over = True
        await super().abandon()

    async def finish(self, answer: Answer) -> Answer:
        self._over = True
        await self._end(commit=answer.status < 400)
        return self._excuse if self._excuse and answer.status >= 500 else answer

    async def fail(self, error: BaseException) -> Answer | None:
        self._over = True
        await self._end(commit=False)
        return self._excuse

    async def outgrown(self) -> Answer:
        await self.fail(RuntimeError())
        text = f"undone, its answer is larger than {self._terms.max_answer} bytes (max_answer)"
        identity = Id("", self._request.operation, "")
        log.say(logging.ERROR, "answer-too-large", identity, text)
        return problems.answer_too_large(self._terms.problems)

    async def fence(self, identity: Id) -> State | None:
        if isinstance(self._store, AsyncTransactionStore):
            return await super().fence(identity)
        return await put_up(self._store, self._terms, identity)

    async def is_fenced(self, identity: Id) -> bool:
        if isinstance(self._store, AsyncTransactionStore):
            return await super().is_fenced(identity)
        record = await self._store.read(identity)
        return core.state_of(record, self._terms.clock()) is State.FENCED

    def opened(self) -> AsyncTransaction | None:
        if self._over:
            raise RuntimeError("The answer has begun: no transaction can begin any more.")
        if not isinstance(self._store, AsyncTransactionStore):
            raise no_transaction(self._store)
        return self._transaction

    async def _open(self) -> AsyncTransaction:
        opened = self.opened()
        if opened is None:
            assert isinstance(self._store, AsyncTransactionStore)
            try:
                await self._body_read()
                opened = await self._store.begin()
            except BodyError as error:
                self._excuse = error.answer
                raise
            except Busy:
                self._excuse = self._busy()
                raise
            if self._over:  # the request was given up meanwhile
                await opened.rollback()
                self.opened()
            self._transaction = opened
        return opened
