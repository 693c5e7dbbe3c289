"""The run itself: an engine, whoever watches it, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sagalang.cli.live import Live
    from sagalang.cli.running.journal import Traces
    from sagalang.cli.running.plan import Plan
    from sagalang.cli.running.services import Fakes
    from sagalang.interpret.run import Run, RunResult
    from sagalang.runtime.clock import Clock
    from sagalang.runtime.engine import MemoryEngine
    from sagalang.runtime.observers import Observer


@dataclass(frozen=True)
class Manner:
    """How a run is watched, and what it leaves. `style`: `full` or `json`."""

    style: str
    take_over: bool
    log_level: str | None
    traces: Traces
    telemetry: tuple[Observer, ...] = ()


def in_its_time(plan: Plan, manner: Manner) -> int:
    """Run it in real time; a fault script in simulated time, in which it is exact, and in which
    hours pass at once."""
    if plan.script is None:
        from sagalang.runtime.clock import SystemClock

        return asyncio.run(_run(plan, manner, SystemClock()))
    from sagalang.cli.inputs import InputProblem
    from sagalang.runtime.clock import DeadlockError, simulated
    from sagalang.runtime.fault_replay import START, EndlessError

    try:
        return simulated(lambda clock: _run(plan, manner, clock), start=START)
    except EndlessError as problem:
        raise InputProblem(str(problem)) from None
    except DeadlockError:
        raise InputProblem("it never ends: nothing can happen any more") from None


async def _run(plan: Plan, manner: Manner, clock: Clock) -> int:
    from sagalang.cli.live import Live
    from sagalang.cli.report import STATUS
    from sagalang.cli.running.journal import header, keeping
    from sagalang.cli.running.services import services
    from sagalang.cli.running.told import introduce, say_traces, wait_hints
    from sagalang.cli.terminal import progress
    from sagalang.interpret import run as interpret
    from sagalang.runtime.engine import MemoryEngine
    from sagalang.runtime.fault_replay import even_draw, watch
    from sagalang.runtime.logs import log
    from sagalang.runtime.observers import observers

    quiet = manner.style == "json"
    remembered: list[str] = []
    async with services(plan, clock, remembered.append) as (transport, fakes):
        if not quiet:
            introduce(plan, progress)
        hints = wait_hints(plan.loaded.program, plan.saga)
        live = Live(quiet=quiet or manner.log_level is not None, waits=hints)
        with keeping(plan, manner.traces, fakes) as kept:
            told = observers(kept, live, log, *manner.telemetry)
            observer = told if manner.take_over else _guarded(told, remembered)
            draw = _draw
            if plan.script is not None:
                observer, draw = _watching(observer, watch), even_draw
            engine = MemoryEngine(clock, transport, draw, observer)
            began = _begun(plan, engine)
            if fakes is not None:
                fakes.dies_by(began.crash)
            started = clock.now()
            head = header(plan, began.saga_id, started)
            kept.open(head)
            result = await _watched(plan, began, engine, live)
            took = clock.now() - started
            live.finish()
            if fakes is not None:
                fakes.settle()  # what is still under way arrives: the ledger shows how it ends
            kept.rest(clock.now())
        _report(plan, manner, result, fakes, remembered, took)
        say_traces(manner.traces, kept, head)
    return STATUS[interpret.outcome_kind(result.outcome)]


def _begun(plan: Plan, engine: MemoryEngine) -> Run:
    from sagalang.cli.inputs import InputProblem
    from sagalang.interpret import run as interpret
    from sagalang.runtime.engine import EmptyIdError

    name, values = plan.saga.name, plan.values
    try:
        return interpret.begin(plan.loaded.program, name, plan.args, engine=engine, values=values)
    except EmptyIdError as problem:
        raise InputProblem(str(problem), "for example --id o-2") from None


def _report(
    plan: Plan,
    manner: Manner,
    result: RunResult,
    fakes: Fakes | None,
    remembered: Sequence[str],
    took: int,
) -> None:
    from sagalang.cli import report
    from sagalang.cli.running.told import next_command, say_remembered, say_unused
    from sagalang.cli.terminal import coloured

    program, world = plan.loaded.program, None if fakes is None else fakes.world
    if manner.style == "json":
        made = report.data(program, plan.saga, result, plan.values, world)
        click.echo(report.as_json(made))
        return
    text = report.full(
        program,
        plan.saga,
        result,
        plan.values,
        world,
        colour=coloured(sys.stdout),
        took=took,
    )
    click.echo(text)
    if fakes is not None:
        say_unused(plan, fakes)
    if remembered:
        say_remembered(plan, result.saga_id, remembered[0])
    else:
        next_command(plan, result, manner.traces.journal)


def _watching(told: Observer, watch: Observer) -> Observer:
    def observe(entry: Any) -> None:
        told(entry)
        watch(entry)

    return observe


def _draw() -> float:
    import random

    return random.random()


async def _watched(plan: Plan, began: Run, engine: MemoryEngine, live: Live) -> RunResult:
    """Run to the end while the view ticks; Ctrl-C asks the saga to cancel, twice gives up."""
    from sagalang.cli.inputs import event_value, scripted_sends
    from sagalang.cli.running.told import as_it_is
    from sagalang.interpret.run import Send

    asked = False

    def interrupted() -> None:
        nonlocal asked
        if asked:
            click.echo(f"\n{as_it_is(engine.journal)}", err=True)
            raise KeyboardInterrupt
        asked = True
        click.echo(
            "\nasking it to cancel and undo; past its point of no return it goes on."
            " Ctrl-C again leaves all as it is",
            err=True,
        )
        began.cancel()

    async def ticking() -> None:
        while True:
            await asyncio.sleep(0.1)
            live.tick(engine.now())

    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGINT, interrupted)
    # In simulated time there is nobody to watch it go by.
    ticker = asyncio.create_task(ticking()) if plan.script is None else None
    program = plan.loaded.program
    sends = [Send(s.event, event_value(program, plan.values, s), s.after) for s in plan.sends]
    cancel_after = plan.cancel_after
    if plan.script is not None:
        sends += scripted_sends(plan.script, plan.values)
        cancel_after = plan.script.cancel if cancel_after is None else cancel_after
    try:
        return await began.result(sends, cancel_after)
    finally:
        if ticker is not None:
            ticker.cancel()
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)


def _guarded(told: Observer, remembered: list[str]) -> Observer:
    """The same, and a stop before anything is undone that an earlier run may have completed.

    It stands outside of `observers`, which would not let it stop anything. The services answered
    from memory, so an earlier run of this id has been there; no journal is read that could
    tell whether it completed. Going on forwards is safe: nothing is done twice. Undoing is
    not.
    """
    from sagalang.cli.inputs import EarlierRun
    from sagalang.cli.running.told import next_id
    from sagalang.machine.events import Purpose
    from sagalang.runtime import journal as j

    def observe(entry: Any) -> None:
        undoing = isinstance(entry, j.AbortBegan) or (
            isinstance(entry, j.Intent) and entry.purpose is Purpose.COMPENSATE
        )
        if remembered and undoing:
            saga_id = entry.saga_id
            why = f" ({entry.error})" if isinstance(entry, j.AbortBegan) else ""
            raise EarlierRun(
                f"{saga_id} was run before ({remembered[0]} had seen its key), and this run cannot"
                f" go on{why}; nothing was undone, because that run may have completed",
                f"run another: --id {next_id(saga_id)}; or, if that run never ended,"
                " undo what it did: --take-over",
            )
        told(entry)

    return observe
