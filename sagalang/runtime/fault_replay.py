"""Plays a fault script in simulated time, on fakes of the services.

    played = play(program, script, lambda engine: interpret.begin(program, ..., engine=engine))

What is played is whatever `begin` begins: an interpreted saga or a compiled one. The same script
makes the same run of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sagalang.model.program import Ms, Program
from sagalang.runtime import journal as j
from sagalang.runtime.clock import DeadlockError, SimulatedClock, simulated
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.fake_relations import Relations
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.fault_script import Attempt, Script, Scripted, ScriptedFault
from sagalang.runtime.values import Values

START: Final = 1_893_456_000_000
"""2030-01-01T00:00:00Z: when every replay begins, as scenarios do."""

MANY: Final = 2_000
"""Attempts of one call after which a run is taken to be endless."""


class Begun(Protocol):
    """A run that was not started yet: `interpret.begin` and `saga.begin` make them."""

    @property
    def saga_id(self) -> str: ...

    async def result(self, sends: Any = (), cancel_after: Ms | None = None) -> Any: ...


@dataclass(frozen=True)
class Played:
    """`result`: what the run's `result` gave; None where it did not end, and `problem` says why.
    `world` is settled: every request that was late has arrived. `unused`: faults that never
    struck."""

    result: Any
    journal: tuple[j.Entry, ...]
    world: FakeWorld
    attempts: tuple[Attempt, ...]
    unused: tuple[ScriptedFault, ...]
    problem: str = ""


class EndlessError(Exception):
    """A run that would go on for ever. The text is a sentence for the user."""


def play(
    program: Program,
    script: Script,
    begin: Callable[[MemoryEngine], Begun],
    *,
    sends: Sequence[Any] = (),
    values: Values | None = None,
    relations: Relations | None = None,
) -> Played:
    """Play a script that was checked. `sends`: its events, as what is begun takes them. `values`
    made the arguments."""
    world = FakeWorld(program, values=values, relations=relations)
    clock = SimulatedClock(START)
    transport = Scripted(FakeTransport(world, clock, script.latency), world, clock, script)
    engine = MemoryEngine(clock, transport, even_draw, watch)

    async def main(_: SimulatedClock) -> Any:
        begun = begin(engine)
        transport.crash = lambda: engine.crash(begun.saga_id)
        try:
            return await begun.result(sends, script.cancel)
        finally:
            transport.settle()

    result, problem = None, ""
    try:
        result = simulated(main, start=START)
    except EndlessError as endless:
        problem = str(endless)
    except DeadlockError:
        problem = "it never ends: nothing can happen any more"
    return Played(
        result,
        tuple(engine.journal),
        world,
        tuple(transport.attempts),
        transport.unused,
        problem,
    )


def even_draw() -> float:
    """The jitter of a replay: always half of what it may be."""
    return 0.5


def watch(entry: j.Entry) -> None:
    """Observes a run, and stops it where it never ends. Raises `EndlessError`."""
    if isinstance(entry, j.AttemptStarted | j.ProbeStarted) and entry.attempt > MANY:
        raise EndlessError(f"it never ends: {entry.label} was tried {MANY:,} times")
