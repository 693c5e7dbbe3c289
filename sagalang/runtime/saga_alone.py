"""One compiled saga, run from a command line: in memory, or on a journal file that survives it."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sagalang.model.program import Ms
from sagalang.runtime import words
from sagalang.runtime.clock import SystemClock
from sagalang.runtime.earlier import Earlier
from sagalang.runtime.engine import MemoryEngine, named
from sagalang.runtime.journal import Recorded
from sagalang.runtime.observers import Observer
from sagalang.runtime.saga import Running, RunResult, Send, begin, own_id
from sagalang.runtime.saga_account import Account
from sagalang.runtime.saga_calls import SagaCall
from sagalang.runtime.saga_durable import Keeping
from sagalang.runtime.sqlite import Run as Row
from sagalang.runtime.sqlite import State, open_store
from sagalang.runtime.sqlite.sealing import Sealing
from sagalang.runtime.transport import Router

PATIENCE: Final = 3.0
"""Seconds to wait for another process that has the journal file open."""


@dataclass(frozen=True)
class Asked:
    """What is to be run. `saga_id`: by default what the saga's `id` gives. `take_over`: also undo
    what a run without a journal did. `accepts`: other versions of the saga to go on with."""

    call: SagaCall[Any]
    saga_id: str | None = None
    sends: Sequence[Send] = ()
    cancel_after: Ms | None = None
    take_over: bool = False
    accepts: Sequence[str] = ()


Reach = Callable[[], Router]
"""Opens the services."""


async def in_memory(asked: Asked, reach: Reach, observer: Observer) -> RunResult[Any]:
    """Raises what `begin` and `Running.result` raise, `EarlierRunError`, `ConnectProblem`."""
    if not asked.take_over:
        observer = Earlier().guarded(observer)
    transport = reach()
    try:
        engine = MemoryEngine(SystemClock(), transport, random.SystemRandom().random, observer)
        running = begin(asked.call, engine=engine, saga_id=asked.saga_id)
        with _cancelling(running, leaving=()):
            return await running.result(asked.sends, asked.cancel_after)
    finally:
        await transport.aclose()


async def on_file(asked: Asked, reach: Reach, observer: Observer, path: Path) -> RunResult[Any]:
    """The same on a journal file: a run that is over is returned, an unfinished one goes on.
    Raises also `StoreError`, `OtherDefinitionError`, `EntryError`."""
    call, clock, sealing = asked.call, SystemClock(), Sealing(path)
    saga = call.definition
    saga_id = named(own_id(call) if asked.saga_id is None else asked.saga_id)
    command = f"{Path(sys.argv[0]).name} {saga.name}"
    with open_store(path, command=command, now=clock.now(), wait=PATIENCE) as store:
        looking = Keeping(store, [saga], Router({}), sealing, clock=clock)
        before = store.reader.run(saga_id)
        if before is not None and before.ended is not None and looking.ended(call, saga_id):
            _say_over(before)
            return _on_record(looking, before, asked)
        earlier = None if asked.take_over else Earlier()
        transport = reach()
        try:
            keeping = Keeping(
                store,
                [saga],
                transport,
                sealing,
                clock=clock,
                observer=observer if earlier is None else earlier.guarded(observer),
                found=None if earlier is None else earlier.found,
                accepts=asked.accepts,
            )
            running = keeping.begin(call, saga_id)
            if before is not None:
                _say_before(before)
            with _cancelling(running, leaving=(signal.SIGTERM,)):
                return await _heard(keeping, running, asked, anew=before is None)
        finally:
            await transport.aclose()


async def _heard(
    keeping: Keeping, running: Running[Any], asked: Asked, *, anew: bool
) -> RunResult[Any]:
    """To the end, while others may send it something."""

    async def reach(saga_id: str) -> Running[Any] | None:
        await running.stands.wait()
        return running if saga_id == running.saga_id else None

    beside = [keeping.hear(reach, lambda _: None)]
    if not anew:
        beside.append(_later(running, asked))
    tasks = [asyncio.create_task(each) for each in beside]
    try:
        if anew:
            return await running.result(asked.sends, asked.cancel_after)
        return await running.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _later(running: Running[Any], asked: Asked) -> None:
    """What the world sends to a run that began before."""
    now = running.session.now()
    due: list[tuple[Ms, Callable[[], None]]] = [
        (now + send.after, lambda send=send: running.signal(send.event, send.id))  # type: ignore[misc]
        for send in asked.sends
    ]
    if asked.cancel_after is not None:
        due.append((now + asked.cancel_after, running.cancel))
    await running.stands.wait()
    for at, send in sorted(due, key=lambda each: each[0]):
        await running.session.sleep(at)
        if running.idle:
            return
        send()


def _on_record(keeping: Keeping, row: Row, asked: Asked) -> RunResult[Any]:
    """How a run ended."""
    entries = keeping.history(row)
    account = Account(entries)
    outcome = account.outcome(row.id)
    assert outcome is not None
    recorded = Recorded(entries, len(entries))
    owed = account.open_items(row.id)
    return RunResult(row.id, outcome, recorded, owed, asked.call.definition)


def _say_over(row: Row) -> None:
    assert row.ended is not None
    _note(
        f"{words.printable(row.id)} was {row.state} {_ago(row.ended)} already;"
        " nothing was called; run another with --id"
    )


def _say_before(row: Row) -> None:
    run_id = words.printable(row.id)
    if row.state is State.ESCALATED:
        _note(f"{run_id} was escalated {_ago(row.changed)} already")
    else:
        _note(f"{run_id} began {_ago(row.began)} and goes on from its journal")


def _ago(moment: Ms) -> str:
    return f"{words.duration(max(0, time.time_ns() // 1_000_000 - moment))} ago"


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


@contextmanager
def _cancelling(running: Running[Any], *, leaving: Sequence[signal.Signals]) -> Iterator[None]:
    """Ctrl-C or SIGTERM asks the saga to cancel; a second one leaves it as it is, as one of
    `leaving` does at once."""
    loop, asked = asyncio.get_running_loop(), False

    def leave() -> None:
        raise KeyboardInterrupt(*running.standing_at)

    def interrupted() -> None:
        nonlocal asked
        if asked:
            leave()
        asked = True
        print(
            "asking it to cancel and undo; past its point of no return it goes on."
            " Ctrl-C again leaves all as it is",
            file=sys.stderr,
        )
        running.cancel()

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, leave if number in leaving else interrupted)
    except (NotImplementedError, RuntimeError):  # Windows; or not the main thread
        yield
        return
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
