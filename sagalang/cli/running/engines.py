"""What a run goes on: the memory of this process, or a journal file that survives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagalang.cli.inputs import InputProblem
    from sagalang.cli.running.plan import Plan
    from sagalang.interpret.run import RunResult, Send
    from sagalang.model.program import Ms
    from sagalang.runtime.clock import Clock
    from sagalang.runtime.earlier import Earlier
    from sagalang.runtime.journal import Entry
    from sagalang.runtime.observers import Observer
    from sagalang.runtime.sqlite import Run as Row
    from sagalang.runtime.transport import Transport

IN_MEMORY = ":memory:"
PATIENCE = 3.0
"""Seconds to wait for another process that has the journal file open."""


@dataclass(frozen=True)
class Means:
    """What a run is made with."""

    clock: Clock
    transport: Transport
    draw: Callable[[], float]
    observer: Observer
    earlier: Earlier | None
    """Stops it before it undoes what an earlier run may have completed."""


@dataclass(frozen=True)
class Began:
    """A run that has not done anything yet. `plan`: what it goes by. `before`: what was on record
    of it. `journal`: all that is on record so far."""

    plan: Plan
    saga_id: str
    cancel: Callable[[], None]
    result: Callable[[], Awaitable[RunResult]]
    journal: Callable[[], Sequence[Entry]]
    crash: Callable[[], None] | None = None
    before: Row | None = None
    edited: bool = False
    """Whether it goes by another definition than the file has now."""
    kept_in: str | None = None
    """How commands name the journal file: ` --db FILE`, or nothing for the usual one."""


Engine = Callable[["Plan", "Means"], AbstractAsyncContextManager[Began]]


def engine(db: str | None, *, mock: bool) -> Engine:
    """The engine that was asked for: fakes remember nothing, and by default nor do their runs."""
    if db == IN_MEMORY or (db is None and mock):
        return in_memory
    from sagalang.runtime.place import journal_file

    path = journal_file(db)

    def on_this(plan: Plan, means: Means) -> AbstractAsyncContextManager[Began]:
        return on_file(plan, means, path)

    return on_this


def option(path: Path) -> str:
    """How a command names this journal file."""
    from shlex import quote

    from sagalang.runtime.place import DEFAULT

    return "" if path == DEFAULT else f" --db {quote(str(path))}"


def _outside(plan: Plan) -> tuple[list[Send], Ms | None]:
    """What the world is going to send, and when it cancels."""
    from sagalang.cli.inputs import event_value, scripted_sends
    from sagalang.interpret.run import Send

    program = plan.loaded.program
    sends = [Send(s.event, event_value(program, plan.values, s), s.after) for s in plan.sends]
    if plan.script is None:
        return sends, plan.cancel_after
    sends += scripted_sends(plan.script, plan.values)
    return sends, plan.script.cancel if plan.cancel_after is None else plan.cancel_after


@asynccontextmanager
async def in_memory(plan: Plan, means: Means) -> AsyncIterator[Began]:
    """Raises `EmptyIdError`, `BadValueError`."""
    from sagalang.interpret import run as interpret
    from sagalang.runtime.engine import MemoryEngine

    observer = means.observer if means.earlier is None else means.earlier.guarded(means.observer)
    engine = MemoryEngine(means.clock, means.transport, means.draw, observer)
    name, values = plan.saga.name, plan.values
    run = interpret.begin(plan.loaded.program, name, plan.args, engine=engine, values=values)
    sends, cancel_after = _outside(plan)
    yield Began(
        plan,
        run.saga_id,
        run.cancel,
        lambda: run.result(sends, cancel_after),
        lambda: engine.journal,
        run.crash,
    )


@asynccontextmanager
async def on_file(plan: Plan, means: Means, path: Path) -> AsyncIterator[Began]:
    """Raises what `open_store` and `Host.start` raise."""
    from sagalang.cli.running.reach import reach
    from sagalang.host.definitions import Definition, definition_of
    from sagalang.host.host import Host, nobody
    from sagalang.runtime.sqlite import open_store
    from sagalang.runtime.sqlite.sealing import Sealing

    now = means.clock.now()
    with open_store(path, command=_command(plan), now=now, wait=PATIENCE) as store:
        sealing, known = Sealing(path), store.reader.definition
        own = definition_of(plan.loaded, plan.values, sealing, known, fakes=plan.mock)

        @asynccontextmanager
        async def services(definition: Definition) -> AsyncIterator[Transport]:
            if definition is own:
                yield means.transport
                return
            async with reach(definition, means.clock) as transport:
                yield transport

        host = Host(
            store,
            sealing,
            services,
            clock=means.clock,
            draw=means.draw,
            observer=means.observer,
            earlier=means.earlier,
        )
        async with host:
            sends, cancel_after = _outside(plan)
            handle = await host.start(
                own, plan.saga.name, plan.args, sends=sends, cancel_after=cancel_after
            )
            if handle.definition.fakes != plan.mock:
                raise _elsewhere(handle.saga_id, fakes=handle.definition.fakes)
            host.listen(nobody)
            by = plan if handle.definition is own else _going_by(plan, handle.definition)
            yield Began(
                by,
                handle.saga_id,
                handle.cancel,
                handle.result,
                handle.journal,
                before=handle.before,
                edited=handle.definition is not own,
                kept_in=option(path),
            )


def _elsewhere(saga_id: str, *, fakes: bool) -> InputProblem:
    """What was done on fakes is not done on services, and the other way round."""
    from sagalang.cli.inputs import InputProblem

    if fakes:
        return InputProblem(
            f"{saga_id} began on fakes of its services (--mock), and nothing was called",
            "run another: --id ID; or go on with it on fakes: --mock",
        )
    return InputProblem(
        f"{saga_id} began on its real services, and nothing was called",
        "leave --mock out to go on with it; or run another on fakes: --id ID",
    )


def _going_by(plan: Plan, definition: Any) -> Plan:
    """The plan of a run that goes on with the definition that it began with."""
    saga = definition.program.sagas[plan.saga.name]
    return replace(plan, loaded=definition.loaded, values=definition.values, saga=saga)


def _command(plan: Plan) -> str:
    return f"saga run {plan.loaded.program.main}"
