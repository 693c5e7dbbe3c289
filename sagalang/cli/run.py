"""`saga run`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sagalang.cli.live import Live
    from sagalang.interpret.run import Run, RunResult
    from sagalang.model import program as p
    from sagalang.runtime.clock import Clock
    from sagalang.runtime.crashing import Crashing
    from sagalang.runtime.engine import MemoryEngine
    from sagalang.runtime.fakes import FakeWorld
    from sagalang.runtime.fault_script import Script, Scripted
    from sagalang.runtime.faults import PlannedFault
    from sagalang.runtime.observers import Observer
    from sagalang.runtime.transport import Transport
    from sagalang.runtime.values import Values
    from sagalang.workspace import Loaded


@click.command("run")
@click.argument("file", metavar="FILE")
@click.argument("saga", required=False)
@click.option(
    "--input", "given", metavar="FILE|JSON|-", help="The saga's input; or a `let`'s name."
)
@click.option("--id", "new_id", metavar="ID", help="Run it under another id.")
@click.option("--mock", is_flag=True, help="Run against fakes of the services, on loopback.")
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help="Let a fake fail.")
@click.option("--faults", "script_file", metavar="FILE", help="Play a fault script, in no time.")
@click.option("--send", "sends", multiple=True, metavar="EVENT", help="Send an event to the saga.")
@click.option("--cancel-after", metavar="DURATION", help="Ask the saga to cancel, e.g. 500ms.")
@click.option("--take-over", is_flag=True, help="Also undo what an earlier run of this id did.")
@click.option("--latency", default="0", metavar="MS", help="How long fakes take: 20, or 10-50.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Log to standard error instead of showing the run live.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["full", "json"]),
    default="full",
    help="How to print the result.",
)
def command(
    file: str,
    saga: str | None,
    given: str | None,
    new_id: str | None,
    mock: bool,
    faults: tuple[str, ...],
    script_file: str | None,
    sends: tuple[str, ...],
    cancel_after: str | None,
    take_over: bool,
    latency: str,
    log_level: str | None,
    style: str,
) -> None:
    """Run a saga against its services, or with --mock against fakes of them.

    \b
    saga run order.saga                                 the real services
    saga run order.saga --mock                          fakes, made from the contracts
    saga run order.saga --mock --fault "Inventory.reserve rejects OutOfStock"
    saga run order.saga --mock --faults lost.json       what `saga verify` found, again
    saga run shop.saga --mock --send 'Review(verdict: Verdict.Approved, by: "me") after 2s'

    Exit status: 0 completed, 1 compensated or escalated, 2 could not run.
    """
    from sagalang.cli.inputs import EarlierRun, InputProblem, TextProblem
    from sagalang.cli.terminal import show_diagnostics, usage_error
    from sagalang.runtime.codec import DecodeError
    from sagalang.runtime.logs import to_stderr
    from sagalang.runtime.problems import ConnectProblem
    from sagalang.runtime.telemetry import observing

    if (faults or script_file) and not mock:
        option = "--fault" if faults else "--faults"
        usage_error("real services cannot be told to fail", f"{option} goes with --mock: fakes can")
    try:
        plan = _prepare(
            file, saga, given, new_id, mock, faults, script_file, sends, cancel_after, latency
        )
        if log_level is not None:
            to_stderr(log_level)
        with observing() as telemetry:
            sys.exit(_in_its_time(plan, style, take_over, log_level, telemetry))
    except EarlierRun as problem:
        usage_error(str(problem), problem.advice)
    except InputProblem as problem:
        usage_error(str(problem), problem.advice)
    except DecodeError as problem:
        usage_error(f"the input is not right: {problem}", "nothing was called")
    except ConnectProblem as problem:
        advice = None if mock else "to try it without services: --mock"
        usage_error(f"{problem}; nothing was called", advice)
    except TextProblem as problem:
        show_diagnostics(problem.diagnostics, problem.sources, "full", sys.stderr)
        sys.exit(2)


@dataclass(frozen=True)
class Plan:
    """Everything a run needs, read and checked; nothing has been called yet."""

    loaded: Loaded
    saga: p.Saga
    args: dict[str, Any]
    values: Values
    origin: str
    faults: list[p.Fault]
    fault_texts: tuple[str, ...]
    planned: list[PlannedFault]
    sends: list[p.Send]
    cancel_after: int | None
    latency: int | tuple[int, int]
    mock: bool
    script: Script | None = None

    def struck(self, outside: Sequence[p.Fault]) -> list[tuple[str, bool]]:
        """Each `--fault` as it was written, and whether it happened. `outside`: those that
        happened outside of the services."""
        from sagalang.runtime.faults import CRASHES

        planned = iter(self.planned)
        made = []
        for text, fault in zip(self.fault_texts, self.faults, strict=True):
            if fault.kind in CRASHES:
                made.append((text, any(fault is one for one in outside)))
            else:
                made.append((text, next(planned).struck))
        return made


@dataclass(frozen=True)
class Fakes:
    """The services of a mock run, and what lets them and the orchestrator fail."""

    world: FakeWorld
    crashing: Crashing
    scripted: Scripted | None

    def dies_by(self, crash: Callable[[], None]) -> None:
        self.crashing.crash = crash
        if self.scripted is not None:
            self.scripted.crash = crash

    def settle(self) -> None:
        if self.scripted is not None:
            self.scripted.settle()
        self.world.settle()


def _prepare(
    file: str,
    saga_name: str | None,
    given: str | None,
    new_id: str | None,
    mock: bool,
    faults: tuple[str, ...],
    script_file: str | None,
    sends: tuple[str, ...],
    cancel_after: str | None,
    latency: str,
) -> Plan:
    from sagalang.cli import inputs
    from sagalang.cli.terminal import show_diagnostics, summary
    from sagalang.runtime.fault_script import saga_args
    from sagalang.runtime.faults import plan as plan_faults
    from sagalang.runtime.values import Values
    from sagalang.workspace import load

    loaded = load(file)
    if loaded.diagnostics:
        show_diagnostics(loaded.diagnostics, loaded.sources, "full", sys.stderr)
    if loaded.has_errors:
        click.echo(f"{summary(loaded.diagnostics)}; nothing was run", err=True)
        sys.exit(2)
    values = Values(loaded.program)
    script = inputs.read_fault_script(loaded, script_file, values) if script_file else None
    if script and saga_name not in (None, script.saga):
        raise inputs.InputProblem(
            f"{script_file} is about {script.saga}, not {saga_name}", f"name it: … {script.saga}"
        )
    saga = inputs.choose_saga(loaded, script.saga if script else saga_name)
    scripted = saga_args(script, loaded.program, values) if script and given is None else None
    if scripted is None:
        read = inputs.read_input(loaded, saga, given, values, mock=mock)
    else:
        read = inputs.Given(scripted, f"{script_file}")
    if new_id is not None and not new_id.strip():
        raise inputs.InputProblem("an id cannot be empty", "for example --id o-2")
    args = inputs.with_id(saga, read.args, new_id, values) if new_id else read.args
    wanted = inputs.read_faults(loaded, faults)
    return Plan(
        loaded,
        saga,
        args,
        values,
        read.origin,
        wanted,
        faults,
        plan_faults(loaded.program, values, wanted),
        inputs.read_sends(loaded, sends),
        parse_duration(cancel_after) if cancel_after else None,
        parse_latency(latency),
        mock,
        script,
    )


def _in_its_time(
    plan: Plan,
    style: str,
    take_over: bool,
    log_level: str | None,
    telemetry: Sequence[Observer],
) -> int:
    """Run it in real time; a fault script in simulated time, in which it is exact, and in which
    hours pass at once."""
    if plan.script is None:
        from sagalang.runtime.clock import SystemClock

        return asyncio.run(_run(plan, SystemClock(), style, take_over, log_level, telemetry))
    from sagalang.cli.inputs import InputProblem
    from sagalang.runtime.clock import DeadlockError, simulated
    from sagalang.runtime.fault_replay import START, EndlessError

    try:
        return simulated(
            lambda clock: _run(plan, clock, style, take_over, log_level, telemetry), start=START
        )
    except EndlessError as problem:
        raise InputProblem(str(problem)) from None
    except DeadlockError:
        raise InputProblem("it never ends: nothing can happen any more") from None


async def _run(
    plan: Plan,
    clock: Clock,
    style: str,
    take_over: bool,
    log_level: str | None,
    telemetry: Sequence[Observer],
) -> int:
    from sagalang.cli import report
    from sagalang.cli.live import Live
    from sagalang.cli.terminal import coloured, progress
    from sagalang.interpret import run as interpret
    from sagalang.runtime.engine import MemoryEngine
    from sagalang.runtime.fault_replay import even_draw, watch
    from sagalang.runtime.logs import log
    from sagalang.runtime.observers import observers

    quiet = style == "json"
    remembered: list[str] = []
    async with _services(plan, clock, remembered.append) as (transport, fakes):
        if not quiet:
            _introduce(plan, progress)
        hints = _wait_hints(plan.loaded.program, plan.saga)
        live = Live(quiet=quiet or log_level is not None, waits=hints)
        told = observers(live, log, *telemetry)
        observer = told if take_over else _guarded(told, remembered)
        draw = _draw
        if plan.script is not None:
            observer, draw = _watching(observer, watch), even_draw
        engine = MemoryEngine(clock, transport, draw, observer)
        began = interpret.begin(
            plan.loaded.program, plan.saga.name, plan.args, engine=engine, values=plan.values
        )
        if fakes is not None:
            fakes.dies_by(began.crash)
        started = clock.now()
        result = await _watched(plan, began, engine, live)
        took = clock.now() - started
        live.finish()
        world = None
        if fakes is not None:
            world = fakes.world
            fakes.settle()  # what is still under way arrives: the ledger shows how it ends
        if style == "json":
            click.echo(
                report.as_json(
                    report.data(plan.loaded.program, plan.saga, result, plan.values, world)
                )
            )
        else:
            text = report.full(
                plan.loaded.program,
                plan.saga,
                result,
                plan.values,
                world,
                colour=coloured(sys.stdout),
                took=took,
            )
            click.echo(text)
            if fakes is not None:
                _say_unused(plan, fakes)
            if remembered:
                _say_remembered(plan, result.saga_id, remembered[0])
            else:
                _next_command(plan, result)
    return report.STATUS[interpret.outcome_kind(result.outcome)]


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
    from sagalang.interpret.run import Send

    asked = False

    def interrupted() -> None:
        nonlocal asked
        if asked:
            click.echo(f"\n{_as_it_is(engine.journal)}", err=True)
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


@contextlib.asynccontextmanager
async def _services(
    plan: Plan, clock: Clock, remembered: Callable[[str], None]
) -> AsyncIterator[tuple[Transport, Fakes | None]]:
    """The services to run against, closed at the end; with what they are where they are fakes."""
    program = plan.loaded.program
    if not plan.mock:
        from sagalang.runtime.transport import connect

        transport = connect(program, os.environ, values=plan.values, remembered=remembered)
        try:
            yield transport, None
        finally:
            await transport.aclose()
        return
    from sagalang.runtime.crashing import Crashing
    from sagalang.runtime.fakes import FakeWorld

    world = FakeWorld(program, values=plan.values, faults=plan.planned)
    if plan.script is not None:
        from sagalang.runtime.fake_transport import FakeTransport
        from sagalang.runtime.fault_script import Scripted

        inside = Crashing(FakeTransport(world, clock, plan.script.latency), plan.faults)
        scripted = Scripted(inside, world, clock, plan.script)
        yield scripted, Fakes(world, inside, scripted)
        return
    from sagalang.runtime.mock_server import router_for_mock, serve

    async with serve(world, 0, plan.latency) as mock:
        router: Transport = router_for_mock(mock, plan.latency)
        try:
            crashing = Crashing(router, plan.faults)
            yield crashing, Fakes(world, crashing, None)
        finally:
            await router.aclose()


def _as_it_is(journal: Sequence[Any]) -> str:
    """What a run that is given up in the middle leaves behind."""
    from sagalang.machine.events import Purpose
    from sagalang.runtime import journal as j

    there: dict[Any, str] = {}
    for entry in journal:
        match entry:
            case j.Intent(purpose=Purpose.STEP):
                there[entry.place] = f"{entry.label} (nobody knows)"
            case j.OutcomeRecorded(purpose=Purpose.STEP, kind="ok"):
                there[entry.place] = entry.label
            case j.OutcomeRecorded(purpose=Purpose.STEP, kind="rejected" | "not sent"):
                there.pop(entry.place, None)
            case j.OutcomeRecorded(purpose=Purpose.COMPENSATE, kind="ok"):
                there.pop(entry.place, None)
    return "left as it is: " + (", ".join(there.values()) or "nothing was done")


def _introduce(plan: Plan, progress: Any) -> None:
    where = "fakes of its services" if plan.mock else "its services"
    if plan.script is not None:
        where += ", in simulated time"
    progress(f"{plan.saga.name} on {where}" + (f", input {plan.origin}" if plan.origin else ""))


def _wait_hints(program: p.Program, saga: p.Saga) -> dict[str, str]:
    """For each wait: which event it needs, and how to send it."""
    from sagalang.graph.structure import blocks_of
    from sagalang.model import program as p

    found: dict[str, str] = {}

    def visit(block: p.Block) -> None:
        for statement in block.statements:
            if isinstance(statement, p.Wait):
                fields = program.events[statement.event].fields
                shape = ", ".join(f"{field.name}: …" for field in fields)
                event = f"{statement.event}({shape})"
                found[statement.path] = f" for an event: --send '{event}'"
            for inner in blocks_of(statement):
                visit(inner)

    visit(saga.body)
    return found


def _guarded(told: Observer, remembered: list[str]) -> Observer:
    """The same, and a stop before anything is undone that an earlier run may have completed.

    It stands outside of `observers`, which would not let it stop anything. The services answered
    from memory, so an earlier run of this id has been there; this version keeps no journal that
    could tell whether it completed. Going on forwards is safe: nothing is done twice. Undoing is
    not.
    """
    from sagalang.cli.inputs import EarlierRun
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
                f"run another: --id {_next_id(saga_id)}; or, if that run never ended,"
                " undo what it did: --take-over",
            )
        told(entry)

    return observe


def _next_id(saga_id: str) -> str:
    import re

    head, number = re.fullmatch(r"(.*?)(\d*)", saga_id, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{head}{int(number) + 1}" if number else f"{saga_id}-2"


def _say_remembered(plan: Plan, saga_id: str, label: str) -> None:
    """A key that a service met before: this id was run already, and repeats have no new effect."""
    click.echo(
        f"\nnote: the services remember {saga_id} ({label} had seen its key), so nothing was done"
        f" twice\nnext: saga run {plan.loaded.program.main} --id {_next_id(saga_id)}"
    )


def _say_unused(plan: Plan, fakes: Fakes) -> None:
    """Faults that no call met: without this, one believes to have tested them."""
    missed = [text for text, struck in plan.struck(fakes.crashing.struck) if not struck]
    if fakes.scripted is not None:
        missed += [
            f"{fault.operation} {fault.kind.value} (call {fault.call}, attempt {fault.attempt})"
            for fault in fakes.scripted.unused
        ]
    for text in missed:
        click.echo(f"\nnote: this fault never happened: {text}")


def _next_command(plan: Plan, result: RunResult) -> None:
    """One thing to try next, on a terminal."""
    if not sys.stdout.isatty():
        return
    file = plan.loaded.program.main
    if plan.mock and not plan.faults:
        rejections = [
            f"{o.label} rejects {o.rejects[0].error}"
            for s in plan.loaded.program.services.values()
            for o in s.operations.values()
            if o.rejects
        ]
        if rejections:
            click.echo(f'\nnext: saga run {file} --mock --fault "{rejections[-1]}"')
            return
    click.echo(f"\nnext: saga render {file} --to mermaid")


def parse_duration(text: str) -> int:
    """`500ms`, `2s`, `1h30m` as milliseconds. Raises InputProblem."""
    import re

    from sagalang.cli.inputs import InputProblem

    units = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
    if not re.fullmatch(r"(\d{1,9}(ms|s|m|h|d))+", text):
        raise InputProblem(f"`{text}` is not a duration", "write it as 500ms, 2s or 1h30m")
    return sum(int(n) * units[u] for n, u in re.findall(r"(\d+)(ms|s|m|h|d)", text))


def parse_latency(text: str) -> int | tuple[int, int]:
    """`20` or `10-50`, in milliseconds. Raises InputProblem."""
    from sagalang.cli.inputs import InputProblem

    low, dash, high = text.removesuffix("ms").partition("-")
    if not low.isdigit() or (dash and not high.isdigit()):
        raise InputProblem(f"`{text}` is not a latency", "write it in milliseconds: 20, or 10-50")
    if not dash:
        return int(low)
    if int(low) > int(high):
        raise InputProblem(f"`{text}` goes backwards", f"write {high}-{low}")
    return int(low), int(high)
