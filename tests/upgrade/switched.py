"""A run that dies under one definition and goes on under another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any, Final

from compile.test_corpus_runs import copy, random_faults, random_signals
from compile.twin import Signal

from sagalang.interpret import run as interpret
from sagalang.machine.events import Completed, Purpose
from sagalang.machine.frames import CallLeaf, ChildLeaf, Frame, PollLeaf, Try, leaves, parts
from sagalang.machine.outcomes import Failure
from sagalang.machine.state import Phase
from sagalang.model import program as p
from sagalang.model.types import RecordRef, Type
from sagalang.runtime import journal as j
from sagalang.runtime.clock import SimulatedClock, simulated
from sagalang.runtime.codec import DecodeError, decode, encode
from sagalang.runtime.engine import MemoryEngine
from sagalang.runtime.entry_codec import EntryCodec
from sagalang.runtime.entry_types import ProgramTypes
from sagalang.runtime.fake_relations import Relations
from sagalang.runtime.fake_transport import FakeTransport
from sagalang.runtime.fake_values import Inventor
from sagalang.runtime.fakes import FakeWorld
from sagalang.runtime.fakes import Kind as Answer
from sagalang.runtime.replay import Family
from sagalang.runtime.saga_left import Left, SagaText
from sagalang.runtime.values import Values, decode_input
from sagalang.scenario.shape import never_undone, shape
from sagalang.upgrade import Kind, Position, SagaUpgrade, Verdict

MANY: Final = 1_500
FAR: Final = 1_000_000_000_000
"""Entries, and ms from the start, after which a run is given up."""


class TooLong(Exception):  # noqa: N818 - an outcome
    """A run that would go on for ever."""


@dataclass
class Side:
    """One of the two definitions."""

    program: p.Program

    @cached_property
    def values(self) -> Values:
        return Values(self.program)

    @cached_property
    def codec(self) -> EntryCodec:
        types = ProgramTypes(self.program, self.values)
        return EntryCodec(types, lambda secret: secret.hex(), bytes.fromhex)

    def texts(self) -> dict[str, SagaText]:
        found = {name: shape(saga) for name, saga in self.program.sagas.items()}
        return {
            name: SagaText(
                [
                    path
                    for path, s in of.statements.items()
                    if isinstance(s, p.Step | p.ChildStep) and never_undone(s)
                ],
                of.bodies,
            )
            for name, of in found.items()
        }

    def keyed(self) -> set[str]:
        return {label for label, o in operations(self.program).items() if o.promises.keyed}


def translated(old: Side, new: Side, found: Sequence[j.Entry]) -> list[j.Entry]:
    """The entries as the new definition reads them. Raises `EntryError`."""
    sagas = {e.saga_id: e.saga for e in found if isinstance(e, j.SagaStarted)}
    for entry in found:
        if isinstance(entry, j.ChildStarted):
            sagas.setdefault(entry.child_id, entry.saga)
    return [
        new.codec.decode(
            sagas[entry.saga_id], entry.saga_id, old.codec.encode(sagas[entry.saga_id], entry)
        )
        for entry in found
    ]


def operations(program: p.Program) -> dict[str, p.Operation]:
    return {o.label: o for s in program.services.values() for o in s.operations.values()}


def moved(old: Side, new: Side, value: Any, was: Type, is_: Type) -> Any:
    """A value as the other definition has it. Raises `DecodeError`."""
    if value is None:
        return None
    return decode(encode(value, old.values.python_type(was)), new.values.python_type(is_))


@dataclass
class World:
    """The services, what goes wrong in them, and what is sent from outside: all but a process."""

    side: Side
    seed: int
    given: str
    faults: list[Any] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    cancel_after: int | None = None

    @staticmethod
    def made(side: Side, seed: int, given: str) -> World:
        random = Random(f"world {seed}")
        faults = random_faults(side.program, random)
        signals = random_signals(side.program, random, seed)
        cancel = random.choice([None, None, None, 10, 130, 3_000])
        return World(side, seed, given, faults, signals, cancel)


class Life:
    """One course of a world: first under the old definition, then under the new one."""

    def __init__(self, world: World, clock: SimulatedClock, saga: str) -> None:
        self.world, self.clock, self.saga = world, clock, saga
        side = world.side
        self.fakes = FakeWorld(
            side.program, world.seed, values=side.values, faults=[copy(f) for f in world.faults]
        )
        self.began = clock.now()
        self.sent: set[int] = set()

    def upgrade(self, new: Side) -> None:
        """The services speak as the new definition says, and remember what they did."""
        fakes, old = self.fakes, self.world.side
        mine, theirs = operations(old.program), operations(new.program)

        def args(label: str, given: Sequence[Any]) -> tuple[Any, ...]:
            if label not in theirs:
                return tuple(given)
            named = dict(zip((q.name for q in mine[label].params), given, strict=True))
            had = {q.name: q.type for q in mine[label].params}
            return tuple(
                moved(old, new, named[q.name], had[q.name], q.type) if q.name in had else None
                for q in theirs[label].params
            )

        def result(label: str, value: Any) -> Any:
            if label not in theirs:
                return value
            return moved(old, new, value, mine[label].result, theirs[label].result)

        for entry in fakes.ledger:
            entry.args = args(entry.operation, entry.args)
            with suppress(DecodeError):
                entry.result = result(entry.operation, entry.result)
        for (label, _), memory in fakes._keys.items():
            reply = memory.reply
            try:
                if reply.kind is Answer.REJECTED:
                    error = RecordRef(reply.error)
                    value = moved(old, new, reply.value, error, error)
                else:
                    value = result(label, reply.value)
                memory.reply = replace(reply, value=value)
            except (DecodeError, KeyError):
                memory.reply = replace(reply, kind=Answer.NONSENSE)
        fakes._fences = [(r, args(r.other, given)) for r, given in fakes._fences]
        fakes._under_way = [
            (due, order, theirs.get(o.label, o), args(o.label, given), key)
            for due, order, o, given, key in fakes._under_way
        ]
        fakes.program, fakes.values = new.program, new.values
        fakes._operations, fakes._relations = theirs, Relations(new.program, new.values)
        fakes._invent = Inventor(new.program, new.values, fakes.seed)

    async def lives(
        self, side: Side, found: Sequence[j.Entry], entries: int | None = None
    ) -> tuple[Any, MemoryEngine]:
        """Run until the journal has so many entries, or to the end."""
        enough = asyncio.Event()

        class Mortal(MemoryEngine):
            def record(self, entry: j.Entry) -> None:
                if not enough.is_set():
                    super().record(entry)
                    if len(self.journal) in (entries, MANY) or entry.at > FAR:
                        enough.set()

        engine = Mortal(
            self.clock,
            _Until(enough, FakeTransport(self.fakes, self.clock, 20)),
            lambda: 0.5,
            found=tuple(found),
        )
        saga = side.program.sagas[self.saga]
        args = decode_input(side.values, saga, self.world.given)
        for entry in found:
            # The input is the one on record; who resumes a run does not give it again.
            if isinstance(entry, j.SagaStarted) and entry.saga == self.saga:
                args = entry.args
        run = interpret.begin(
            side.program,
            self.saga,
            args,
            engine=engine,
            saga_id=found[0].saga_id if found else None,
            values=side.values,
        )
        outside = [
            asyncio.create_task(self._send(run, side, number))
            for number in range(len(self.world.signals) + 1)
            if number not in self.sent
        ]
        living = asyncio.ensure_future(run.result())
        dying = asyncio.ensure_future(enough.wait())
        try:
            await asyncio.wait({living, dying}, return_when=asyncio.FIRST_COMPLETED)
            if not enough.is_set():
                return await living, engine
            living.cancel()
            with suppress(asyncio.CancelledError):
                await living
            if len(engine.journal) != entries:
                raise TooLong
            return None, engine
        finally:
            for task in (living, dying, *outside):
                task.cancel()
            await asyncio.gather(living, dying, *outside, return_exceptions=True)

    async def _send(self, run: Any, side: Side, number: int) -> None:
        world = self.world
        if number == len(world.signals):
            if world.cancel_after is None:
                return
            await self.clock.sleep_until(self.began + world.cancel_after)
            self.sent.add(number)
            run.cancel()
            return
        signal = world.signals[number]
        await self.clock.sleep_until(self.began + signal.after)
        self.sent.add(number)
        if signal.event in side.program.events:
            type_ = side.values.python_type(RecordRef(signal.event))
            run.signal(signal.event, decode(signal.fields, type_), f"event-{number}")


class _Until:
    """A transport that is gone once the process is."""

    def __init__(self, dead: asyncio.Event, inner: FakeTransport) -> None:
        self._dead, self._inner = dead, inner

    async def call(self, request: Any) -> Any:
        if self._dead.is_set():
            await asyncio.get_running_loop().create_future()
        return await self._inner.call(request)

    async def aclose(self) -> None:
        pass


# --- Where a run stands --------------------------------------------------------------------------


def rebuilt(side: Side, saga: str, found: Sequence[j.Entry]) -> Any:
    """The run as a process makes it of what is on record, before it goes on."""

    async def main(clock: SimulatedClock) -> Any:
        engine = MemoryEngine(clock, _Nowhere(), lambda: 0.5, found=tuple(found))
        args = next(e for e in found if isinstance(e, j.SagaStarted) and e.saga == saga).args
        run = interpret.begin(
            side.program, saga, args, engine=engine, saga_id=found[0].saga_id, values=side.values
        )
        run.rebuild(Family(found))
        await run.stop()
        return run

    return simulated(main)


class _Nowhere:
    async def call(self, request: Any) -> Any:
        await asyncio.get_running_loop().create_future()

    async def aclose(self) -> None:
        pass


def verdict(
    run: Any, found: Sequence[j.Entry], upgrades: dict[str, SagaUpgrade], *, below: bool = False
) -> Verdict | None:
    """The worst of the positions that a rebuilt run and its child sagas are in; None: it is over.
    Where the journal does not say which of several positions it is, the worst of them."""
    own = [entry for entry in found if entry.saga_id == run.saga_id]
    if any(isinstance(entry, j.SagaFinished) for entry in own) and not below:
        return None
    worst = _of_run(run, own, upgrades[run.definition.saga.name])
    for child in run._driver.children.values():
        if child.state is not None:
            worst = max(worst, verdict(child, found, upgrades, below=True) or Verdict.SAFE)
    return worst


def _of_run(run: Any, own: Sequence[j.Entry], upgrade: SagaUpgrade) -> Verdict:
    state, positions = run.state, upgrade.positions
    places = {(e.place, type(e)) for e in own if hasattr(e, "place")}
    begun = {place.path for place, _ in places}
    calls = {(e.place, e.purpose) for e in own if isinstance(e, j.Intent | j.Interrupted)}

    def at(kind: Kind, *paths: str) -> Iterator[Position]:
        return (q for q in positions if q.kind is kind and q.path in paths)

    def leaf_positions(frame: Frame) -> Iterator[Position]:
        for leaf in leaves(frame):
            place = leaf.item.place if hasattr(leaf, "item") else leaf.place
            match leaf:
                case CallLeaf():
                    known = (place, Purpose.STEP) in calls
                case ChildLeaf():
                    known = (place, j.ChildStarted) in places
                case PollLeaf():
                    known = (place, Purpose.POLL) in calls or (place, j.TimerStarted) in places
                case _:
                    known = any(where == place for where, _ in places)
            found = list(at(Kind.IN if known else Kind.BEFORE, place.path))
            yield from found or positions

    def undoing() -> Iterator[Position]:
        yield from at(Kind.UNDOING, *begun)
        failed = {e.error for e in own if isinstance(e, j.OutcomeRecorded)}
        errors = {e.error for e in own if isinstance(e, j.AbortBegan)}
        errors |= {state.error.name} if isinstance(state.error, Failure) else set()
        if errors - failed:
            # A statement that calls nothing, or could not even begin.
            yield from (q for q in positions if q.kind is Kind.UNDOING)

    found: list[Position] = []
    if state.frame is not None:
        found += leaf_positions(state.frame)
        if any(True for _ in _undone_attempts(state.frame)):
            found += undoing()
    if state.phase is Phase.EPILOGUE or state.error is not None:
        found += undoing()
    if isinstance(state.outcome, Completed):
        last = [q for q in positions if q.kind is Kind.BEFORE and q.what in ("the end", "return")]
        over = any(isinstance(entry, j.SagaFinished) for entry in own)
        found += [q for q in positions if q.kind is Kind.AFTER] if over else last
    if not found:
        found = [q for q in positions if q.kind is Kind.BEFORE][:1]
    return max((q.verdict for q in found), default=Verdict.BREAKS)


def _undone_attempts(frame: Frame) -> Iterator[Try]:
    if isinstance(frame, Try) and (frame.tree is not None or frame.failure is not None):
        yield frame
    for part in parts(frame):
        yield from _undone_attempts(part)


# --- What came of it -----------------------------------------------------------------------------


def forgotten(side: Side, entries: Sequence[j.Entry], fakes: FakeWorld) -> list[str]:
    """The operations whose effects are left, and that no step stands by."""

    rule = Left(side.texts(), side.keyed(), lambda _, args: args)
    for entry in entries:
        rule.take(entry)
    return [effect.operation for effect in rule.found(fakes.ledger)]
