"""The run itself: an engine, whoever watches it, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sagalang.cli.live import Live
    from sagalang.cli.running.engines import Began, Engine
    from sagalang.cli.running.journal import Traces
    from sagalang.cli.running.plan import Plan
    from sagalang.cli.running.services import Fakes
    from sagalang.interpret.run import RunResult
    from sagalang.runtime.clock import Clock
    from sagalang.runtime.observers import Observer


@dataclass(frozen=True)
class Manner:
    """How a run is watched, and what it leaves. `style`: `full` or `json`."""

    style: str
    engine: Engine
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
    from sagalang.cli.running.engines import Means
    from sagalang.cli.running.journal import header, keeping
    from sagalang.cli.running.services import services
    from sagalang.cli.running.told import introduce, say_traces, signal_hints, wait_hints
    from sagalang.cli.terminal import progress
    from sagalang.interpret import run as interpret
    from sagalang.runtime.earlier import Earlier
    from sagalang.runtime.fault_replay import even_draw, watch
    from sagalang.runtime.logs import log
    from sagalang.runtime.observers import observers

    quiet = manner.style == "json"
    earlier = Earlier()
    async with services(plan, clock) as (transport, fakes):
        if not quiet:
            introduce(plan, progress)
        hints = wait_hints(plan.loaded.program, plan.saga)
        live = Live(quiet=quiet or manner.log_level is not None, waits=hints)
        with keeping(plan, manner.traces, fakes) as kept:
            observer, draw = observers(kept, live, log, *manner.telemetry), _draw
            # Fakes remember no run but this one.
            guard = None if manner.take_over or plan.mock else earlier
            if guard is None:
                observer = observers(earlier.note, observer)
            if plan.script is not None:
                observer, draw = _watching(observer, watch), even_draw
            means = Means(clock, transport, draw, observer, guard)
            async with manner.engine(plan, means) as began:
                if fakes is not None and began.crash is not None:
                    fakes.dies_by(began.crash)
                started = clock.now()
                head = header(began.plan, began.saga_id, started)
                kept.open(head)
                if began.before is not None:
                    for entry in began.journal():
                        kept(entry)
                if began.kept_in is not None:
                    hints |= signal_hints(began)
                result = await _watched(plan, began, live, clock)
                took = clock.now() - started
                live.finish()
                if fakes is not None:
                    fakes.settle()  # what is still under way arrives: the ledger shows how it ends
                kept.rest(clock.now())
        _report(began, manner, result, fakes, earlier.remembered(began.saga_id), took)
        say_traces(manner.traces, kept, head)
    return STATUS[interpret.outcome_kind(result.outcome)]


def _report(
    began: Began,
    manner: Manner,
    result: RunResult,
    fakes: Fakes | None,
    remembered: str | None,
    took: int,
) -> None:
    from sagalang.cli import report
    from sagalang.cli.running.told import (
        next_command,
        say_before,
        say_on_record,
        say_remembered,
        say_unused,
    )
    from sagalang.cli.terminal import coloured

    plan, before = began.plan, began.before
    program, world = plan.loaded.program, None if fakes is None else fakes.world
    if manner.style == "json":
        made = report.data(program, plan.saga, result, plan.values, world)
        made["before"] = None if before is None else before.state.value
        click.echo(report.as_json(made))
        return
    over = before if before is not None and before.ended is not None else None
    text = report.full(
        program,
        plan.saga,
        result,
        plan.values,
        None if over is not None else world,
        colour=coloured(sys.stdout),
        took=took if over is None or over.ended is None else over.ended - over.began,
    )
    click.echo(text)
    if fakes is not None and over is None:
        say_unused(plan, fakes)
    if over is not None:
        say_on_record(plan, over, began.kept_in)
    elif remembered is not None:
        say_remembered(plan, result.saga_id, remembered, began.kept_in)
    else:
        if before is not None:
            say_before(before, edited=began.edited)
        next_command(plan, result, manner.traces.journal, began.kept_in)


def _watching(told: Observer, watch: Observer) -> Observer:
    def observe(entry: Any) -> None:
        told(entry)
        watch(entry)

    return observe


def _draw() -> float:
    import random

    return random.random()


async def _watched(plan: Plan, began: Began, live: Live, clock: Clock) -> RunResult:
    """Run to the end while the view ticks; Ctrl-C asks the saga to cancel, twice gives up, as
    SIGTERM does at once."""
    from sagalang.cli.running.told import as_it_is

    asked = left = False

    def leave() -> None:
        nonlocal left
        left = True
        click.echo(f"\n{as_it_is(began.journal())}", err=True)
        if began.kept_in is not None:
            click.echo(f"next: saga resume {quote(began.saga_id)}{began.kept_in}", err=True)

    def terminated() -> None:
        try:
            leave()
        finally:
            sys.exit(128 + signal.SIGTERM)

    def interrupted() -> None:
        nonlocal asked
        if asked:
            leave()
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
            live.tick(clock.now())

    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGINT, interrupted)
        loop.add_signal_handler(signal.SIGTERM, terminated)
    # In simulated time there is nobody to watch it go by.
    ticker = asyncio.create_task(ticking()) if plan.script is None else None
    try:
        return await began.result()
    except asyncio.CancelledError:
        if not left:  # Ctrl-C came before anybody listened to it
            leave()
        raise
    finally:
        if ticker is not None:
            ticker.cancel()
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)
