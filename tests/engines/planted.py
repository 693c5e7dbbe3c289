"""Engines with a fault each: what the conformance suite must see."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, uuid5

import pytest
from msgspec.structs import replace

from engines.definitions import Definition
from engines.sqlite_under_test import SqliteUnderTest
from sagalang.machine.outcomes import Failure, Ok, Outcome, Rejected
from sagalang.runtime import journal
from sagalang.runtime.clock import Clock
from sagalang.runtime.codec import decode
from sagalang.runtime.contract import Request
from sagalang.runtime.engine import Engine, EngineError, LocalSession, StepCall
from sagalang.runtime.sqlite import ownership, writer
from sagalang.runtime.sqlite.batch import Batch
from sagalang.runtime.transport import Transport

T = TypeVar("T")


class _Planted(SqliteUnderTest):
    """`tamper` changes each session, `spoil` the engine."""

    def open(self, definition: Definition, clock: Clock, transport: Transport) -> Engine:
        engine: Any = super().open(definition, clock, self.line(transport))
        self.spoil(engine)
        opening = engine.open

        def opened(*args: Any) -> Any:
            session = opening(*args)
            if session.owner is None and not hasattr(session, "tampered"):
                session.tampered = True
                self.tamper(session)
            return session

        engine.open = opened
        self.started = clock.now()
        return engine  # type: ignore[no-any-return]

    def line(self, transport: Transport) -> Transport:
        return transport

    def spoil(self, engine: Any) -> None: ...

    def tamper(self, session: Any) -> None: ...


class OutcomeBeforeEffect(_Planted):
    """Records what a call will answer, and makes it then."""

    def line(self, transport: Transport) -> Transport:
        return _Hasty(transport)


class _Hasty(Transport):
    def __init__(self, inner: Transport) -> None:
        self._inner, self._tasks = inner, set[Any]()

    async def call(self, request: Request) -> Outcome:
        if request.args[0] == "z" or request.contract.label != "S.do":
            return await self._inner.call(request)
        self._tasks.add(asyncio.ensure_future(self._inner.call(request)))
        return Ok(decode('{"at": "there"}', request.contract.result))

    async def aclose(self) -> None:
        """Nothing to close."""


class IntentNotAwaited(_Planted):
    """Lets a call leave while its intent is on the way to the disk."""

    def tamper(self, session: Any) -> None:
        async def step(call: StepCall, interruption: Any) -> journal.OutcomeRecorded:
            return await LocalSession.step(session, call, interruption)

        session.step = step


class RunningNumbers(_Planted):
    """A call's key is its number in the life of its process."""

    def spoil(self, engine: Any) -> None:
        self._keys: dict[str, str] = {}

    def _key(self, key: str) -> str:
        number = len(self._keys) + 1
        return self._keys.setdefault(key, str(uuid5(NAMESPACE_URL, str(number))))

    def tamper(self, session: Any) -> None:
        stepping = session.step

        async def step(call: StepCall, interruption: Any) -> journal.OutcomeRecorded:
            args = tuple(self._keys.get(a, a) if isinstance(a, str) else a for a in call.args)
            key = None if call.key is None else self._key(call.key)
            return await stepping(replace(call, key=key, args=args), interruption)

        session.step = step


class LockIgnored(SqliteUnderTest):
    """Takes a file for its own whose owner lives."""

    def live(self, main: Callable[[Clock], Awaitable[T]], start: int) -> T:
        patch = self._process.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(ownership, "lock", lambda path, wait: sqlite3.connect(":memory:"))
        return super().live(main, start)


class ToldTooEarly(_Planted):
    """Says that it is on the disk when it is on the way there."""

    def spoil(self, engine: Any) -> None:
        async def committed(_: int) -> None:
            await asyncio.sleep(0)

        engine.store.committed = committed


class OrderLost(SqliteUnderTest):
    """What is committed together stands in another order than it happened."""

    def live(self, main: Callable[[Clock], Awaitable[T]], start: int) -> T:
        writing = writer.write

        def write(connection: sqlite3.Connection, batch: Batch) -> None:
            by_run: dict[int, list[bytes]] = {}
            for _, run, body in batch.entries:
                by_run.setdefault(run, []).append(body)
            batch.entries = [(seq, run, by_run[run].pop()) for seq, run, _ in batch.entries]
            writing(connection, batch)

        patch = self._process.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(writer, "write", write)
        return super().live(main, start)


class EventsInMemory(_Planted):
    """Takes an event in without recording it."""

    def tamper(self, session: Any) -> None:
        session.put = session.post


class TimersAnew(_Planted):
    """A sleep begins anew with each process."""

    def tamper(self, session: Any) -> None:
        sleeping = session.sleep

        async def sleep(until: int) -> None:
            await sleeping(until + self.started)

        session.sleep = sleep


class AnyInput(_Planted):
    """An id is enough to go on with a run."""

    def spoil(self, engine: Any) -> None:
        engine._check = lambda *_: None


class AnyDefinition(SqliteUnderTest):
    """A run goes on with whatever its text says now."""

    def open(self, definition: Definition, clock: Clock, transport: Transport) -> Engine:
        engine: Any = super().open(definition, clock, transport)
        engine.stored = replace(engine.stored, hash="the same")
        return engine  # type: ignore[no-any-return]


class FailureIsAnOutcome(_Planted):
    """An engine that fails in a call says that the call failed."""

    def tamper(self, session: Any) -> None:
        stepping = session.step

        async def step(call: StepCall, interruption: Any) -> journal.OutcomeRecorded:
            try:
                return await stepping(call, interruption)  # type: ignore[no-any-return]
            except EngineError:
                return journal.OutcomeRecorded(
                    at=session.now(),
                    saga_id=session.saga_id,
                    place=call.place,
                    purpose=call.purpose,
                    label=call.contract.label,
                    key=call.key,
                    kind="rejected",
                    error="No",
                    value=Rejected(Failure("No")),
                    unanswered=None,
                )

        session.step = step


class SecretsInTheClear(SqliteUnderTest):
    """Writes secrets as they are."""

    def sealing(self) -> Any:
        return _NoSealing()


class _NoSealing:
    def seal(self, secret: bytes) -> str:
        return secret.decode()

    def open(self, sealed: str) -> bytes:
        return sealed.encode()
