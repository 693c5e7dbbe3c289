"""Tests of compiled sagas: fakes of their services, faults, and a simulated clock.

    FAKES = Fakes(SERVICES, undoes("Payment.refund", "Payment.charge", lambda made: (made.key,)))

    def test_a_declined_payment() -> None:
        ran = FAKES.run(PLACE_ORDER(SAMPLE), when("Payment.charge", "rejects", error=Declined))
        assert (ran.outcome, ran.error) == ("compensated", "Declined")
        assert not ran.left

What `saga compile --tests` writes, and as good for tests by hand. The fakes keep the promises of
their contracts and no more; six hours of a saga take milliseconds; every run is the same again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any, Final, Literal

from sagalang.machine import events as m
from sagalang.machine.evaluate import milliseconds
from sagalang.model import program as p
from sagalang.runtime import journal as j
from sagalang.runtime.clock import DeadlockError, SimulatedClock, simulated
from sagalang.runtime.crashing import Crashing
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.fake_catalogue import (
    ANYTHING,
    About,
    Catalogue,
    Made,
    Written,
    answers_for,
    moved,
    undoes,
)
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fakes import Arrival, Entry, FakeWorld
from sagalang.runtime.faults import CRASHES, PlannedFault
from sagalang.runtime.saga import RunResult, Send, begin
from sagalang.runtime.saga_calls import Call, SagaCall
from sagalang.runtime.saga_errors import SagaError
from sagalang.runtime.saga_left import Left, SagaText
from sagalang.runtime.saga_services import Service
from sagalang.runtime.shapes import record_fields

__all__ = [
    "ALWAYS",
    "ANYTHING",
    "Fakes",
    "Fault",
    "Made",
    "Ran",
    "SagaText",
    "answers_for",
    "send",
    "undoes",
    "when",
]

START: Final = 1_893_456_000_000
"""2030-01-01T00:00:00Z: when every run begins."""

MANY: Final = 1_000
"""Attempts of one call, or deaths of the orchestrator, after which a run is taken to be endless."""

ALWAYS: Final = None
"""A fault that strikes every time."""

# --- What the fakes are told ---------------------------------------------------------------------


Kind = Literal[
    "rejects",
    "returns",
    "times out before effect",
    "times out after effect",
    "unavailable",
    "arrives late",
    "duplicated",
    "is not sent",
    "answers nonsense",
    "crash before",
    "crash after",
]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with a call; made by `when`."""

    call: str | Call[Any]
    kind: Kind
    error: type[SagaError] | None
    fields: Mapping[str, Any]
    value: Any
    after: timedelta
    times: int | None

    @property
    def operation(self) -> str:
        return self.call if isinstance(self.call, str) else self.call.contract.label


def when(
    call: str | Call[Any],
    kind: Kind,
    *,
    error: type[SagaError] | None = None,
    fields: Mapping[str, Any] | None = None,
    value: Any = None,
    after: timedelta = timedelta(),
    times: int | None = 1,
) -> Fault:
    """A fault of the calls of `"Service.operation"`, or of one call: `Inventory.reserve("B", 2)`.

    `error` and `fields`: of `rejects`; fields that are left out are made up. `value`: of `returns`.
    `after`: of `arrives late`. `times`: how often it strikes, or ALWAYS. `crash before` and `crash
    after` are deaths of the orchestrator.
    """
    return Fault(call, kind, error, fields or {}, value, after, times)


def send(event: Any, *, after: timedelta = timedelta()) -> Send:
    """An event that the saga is sent, this long after it started."""
    return Send(event, milliseconds(after))


# --- What came of a run --------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """How a saga ended, and what it did to the services; every call that was late has arrived.

    `outcome`: completed, compensated or escalated. `error`: the name of the error that it was
    compensated with. `owed`: the operations that a person must settle. `took`: from its start to
    its end. `left`: the effects that no step stands by.
    """

    outcome: str
    error: str | None
    value: Any
    owed: tuple[str, ...]
    took: timedelta
    left: tuple[str, ...]
    journal: tuple[j.Entry, ...] = field(repr=False)
    _catalogue: Catalogue = field(repr=False)
    _arrivals: tuple[Arrival, ...] = field(repr=False)
    _ledger: tuple[Entry, ...] = field(repr=False)

    def calls(self, operation: str) -> int:
        """How many calls of `Service.operation` reached the service, repeats included."""
        self._catalogue.contract(operation)
        return sum(arrival.operation == operation for arrival in self._arrivals)

    def effects(self, operation: str) -> int:
        """How many effects of the command are there in the end."""
        self._catalogue.contract(operation)
        return sum(e.operation == operation and e.effect == "done" for e in self._ledger)

    def first(self, operation: str) -> int:
        """The place of its first call among all that reached a service. Raises AssertionError."""
        self._catalogue.contract(operation)
        for place, arrival in enumerate(self._arrivals):
            if arrival.operation == operation:
                return place
        raise AssertionError(f"{operation} was never called")


class Fakes:
    """Services that exist only in memory and keep exactly the promises of their contracts.

    `texts`: what `left` must know of sagas, by their names. `also_steps`: operations that undo
    something and are steps of their own as well.
    """

    def __init__(
        self,
        services: Iterable[Service[Any]],
        *about: About,
        texts: Mapping[str, SagaText] | None = None,
        also_steps: Iterable[str] = (),
    ) -> None:
        self._catalogue = Catalogue(services)
        self._about = about
        self._texts = texts or {}
        self._also_steps = frozenset(also_steps)
        for relation in about:
            self._catalogue.contract(relation.original)
            self._catalogue.contract(relation.other)

    def run(
        self,
        call: SagaCall[Any],
        *faults: Fault,
        sends: Sequence[Send] = (),
        cancel_after: timedelta | None = None,
        saga_id: str | None = None,
        seed: int = 0,
    ) -> Ran:
        """Run a saga to its end, in simulated time.

        `seed`: of the values that fakes make up, and of the jitter; the same seed gives the same
        run. Raises AssertionError where it would never end.
        """
        world = FakeWorld(
            self._catalogue.program,
            seed,
            values=self._catalogue.values,
            faults=[self._planned(f) for f in faults if f.kind not in CRASHES],
            relations=Written(self._catalogue, self._about, self._also_steps),
        )
        clock = SimulatedClock(START)
        transport = Crashing(FakeTransport(world, clock), map(self._crash, faults))
        engine = MemoryEngine(clock, transport, Random(seed).random, _Watch())
        cancel = None if cancel_after is None else milliseconds(cancel_after)

        async def main(_: SimulatedClock) -> RunResult[Any]:
            running = begin(call, engine=engine, saga_id=saga_id)
            transport.crash = lambda: engine.crash(running.saga_id)
            return await running.result(sends, cancel)

        try:
            result = simulated(main, start=START)
        except DeadlockError:
            raise AssertionError("it never ends: nothing can happen any more") from None
        world.settle()
        return self._ran(result, engine, world)

    def _ran(self, result: RunResult[Any], engine: MemoryEngine, world: FakeWorld) -> Ran:
        keyed = [
            label for label, found in self._catalogue.contracts.items() if found.promises.keyed
        ]
        left = Left(self._texts, keyed, self._catalogue.known)
        for entry in engine.journal:
            left.take(entry)
        ended = next(
            entry.at
            for entry in reversed(engine.journal)
            if isinstance(entry, j.SagaFinished) and entry.saga_id == result.saga_id
        )
        outcome, error, value = _outcome(result)
        return Ran(
            outcome,
            error,
            value,
            (*(item.label for item in result.owed), *_owed_by_children(engine, result.saga_id)),
            timedelta(milliseconds=ended - START),
            tuple(entry.operation for entry in left.found(world.ledger)),
            tuple(engine.journal),
            self._catalogue,
            tuple(world.arrivals),
            tuple(world.ledger),
        )

    def _planned(self, fault: Fault) -> PlannedFault:
        catalogue = self._catalogue
        contract, own = catalogue.contract(fault.operation), catalogue.own(fault.operation)
        args = (
            None
            if isinstance(fault.call, str)
            else self._catalogue.known(fault.operation, fault.call.args)
        )
        name = None if fault.error is None else fault.error.__error_name__
        if name is not None and name not in (found.error for found in contract.rejects):
            raise LookupError(f"{fault.operation} never rejects with {name}")
        fields = {}
        if fault.error is not None and fault.fields:
            theirs = {found.attr: found for found in record_fields(fault.error)}
            (mine,) = (found.type for found in own.rejects if found.error == name)
            types = {found.name: found.type for found in record_fields(mine)}
            for attr, value in fault.fields.items():
                found = theirs[attr]
                fields[found.name] = moved(value, found.type, types[found.name])
        return PlannedFault(
            fault.kind,
            fault.operation,
            args,
            name,
            fields,
            moved(fault.value, contract.result, own.result),
            milliseconds(fault.after),
            fault.times,
        )

    def _crash(self, fault: Fault) -> p.Fault:
        self._catalogue.contract(fault.operation)
        return p.Fault(fault.kind, fault.operation, None, times=fault.times)


class _Watch:
    """Stops what would never end: in simulated time, for ever is soon."""

    def __init__(self) -> None:
        self._deaths = 0

    def __call__(self, entry: j.Entry) -> None:
        match entry:
            case j.AttemptStarted(attempt=number) | j.ProbeStarted(attempt=number):
                if number > MANY:
                    raise AssertionError(f"it never ends: {entry.label} was tried {MANY:,} times")
            case j.Restarted():
                self._deaths += 1
                if self._deaths > MANY:
                    raise AssertionError(f"it never ends: the orchestrator died {MANY:,} times")
            case _:
                pass


def _outcome(result: RunResult[Any]) -> tuple[str, str | None, Any]:
    match result.outcome:
        case m.Completed(value):
            return "completed", None, value
        case m.Compensated(error):
            return "compensated", error.name, None
        case m.Escalated():
            return "escalated", None, None


def _owed_by_children(engine: MemoryEngine, saga_id: str) -> list[str]:
    """What is escalated in child sagas: their parents only know that they are."""
    found: dict[Any, str] = {}
    for entry in engine.journal:
        match entry:
            case j.EscalationRaised(item=item) if entry.saga_id != saga_id:
                found[entry.saga_id, item.place, item.purpose] = item.label
            case j.EscalationSettled(place=place, purpose=purpose):
                found.pop((entry.saga_id, place, purpose), None)
            case _:
                pass
    return list(found.values())
