"""Every execution of a small saga, one after the other: the oracle of the explorer.

Depth first over everything that may happen next, attempt by attempt, with plain values and real
keys, over the real machines. Nothing is remembered between two executions: worlds are not hashed,
calls are not summed up, nothing is reduced. It ends because the faults of an execution are bounded
(`faults`), and because a call that would be repeated for ever is followed through two repeats of
one trouble only.

A service knows a step by what undoes it: by a key, which is that of one step, or by inputs, which
several may have. Those it cannot tell apart.

Faults are counted as in the explorer, or the two could not be compared: each is 1, but the same
trouble of one call in a row is one trouble; an event that comes before anything waits for it is 1;
a timer that means that something did not happen in time is 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from sagalang.machine import calls
from sagalang.machine import events as m
from sagalang.machine.definition import Definition, define
from sagalang.machine.evaluate import Build
from sagalang.machine.frames import CallLeaf, leaves, waiting
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.machine.saga import Phase, State, advance, start
from sagalang.model import program as p
from sagalang.model.errors import CONTRACT_MISMATCH, NOT_SENT, TIMEOUT
from sagalang.model.types import EnumRef, InlineRecord, ListOf, Null, Optional, RecordRef, Type
from sagalang.runtime.values import Values

from .ledger import OK, REFUSED, STRANGE, Ledger, Message, receive, refuse
from .sequence import Pairs, happens_before

Path = tuple[m.Place, ...]
Id = tuple[Path, m.Place]
Undo = tuple[str, tuple[Any, ...]]
"""A compensation with its arguments: a key, or inputs. To its service, steps with the same are one
thing."""
NEVER: Final = 10**15
REPEATS: Final = 2
NOBODY_KNOWS: Final = Unknown(Failure(TIMEOUT))
MISMATCH: Final = Unknown(Failure(CONTRACT_MISMATCH), repeat=False)
UNSENT: Final = NotSent(Failure(NOT_SENT))


_TOO_LATE: Final = {
    m.Timer.DEADLINE: "deadline",
    m.Timer.WAIT: "missing",
    m.Timer.ESCALATE: "no end",
}


class TooMany(Exception):  # noqa: N818 - the saga is too big for this method
    """More than the given number of worlds."""


class Call(Struct, frozen=True):
    """A call under way, `intent` being what the saga asked for. `repeats` counts the same trouble
    in a row."""

    path: Path
    intent: m.RunCall
    config: calls.CallConfig
    state: calls.CallState
    command: calls.CallCommand | None = None
    trouble: str = ""
    repeats: int = 0

    @property
    def id(self) -> Id:
        return self.path, self.intent.place


class World(Struct, frozen=True):
    now: int = 0
    spent: int = 0
    sagas: Mapping[Path, State] = {}
    calls: tuple[Call, ...] = ()
    timers: tuple[tuple[Path, m.StartTimer], ...] = ()
    ledgers: Mapping[Id, Ledger] = {}
    undos: Mapping[Id, Undo] = {}
    shut: tuple[Undo, ...] = ()
    """What was undone, and what comes of it is refused from then on."""
    network: tuple[tuple[Id, Message], ...] = ()
    beliefs: Mapping[Id, str] = {}
    undoing: frozenset[Path] = frozenset()
    aborted: frozenset[Path] = frozenset()
    passed: Mapping[Path, frozenset[m.Place]] = {}
    """By saga: what was done before its pivot was."""
    begun: tuple[Id, ...] = ()
    asked: int = 0
    """Questions of polls."""
    sent: tuple[str, ...] = ()
    crashed: bool = False
    cancelled: bool = False


@dataclass
class Verdict:
    """What can happen, with the fewest faults that it takes. Breaches by rule and place."""

    outcomes: dict[str, int] = field(default_factory=dict)
    breaches: dict[tuple[str, str], int] = field(default_factory=dict)
    stuck: int = 0
    cut: bool = False
    """Whether something that may be repeated for ever was not followed to its end."""
    worlds: int = 0


def verdict(
    program: p.Program,
    saga: str,
    *,
    faults: int = 2,
    kinds: frozenset[str] | None = None,
    crashes: bool = True,
    most: int = 1_000_000,
) -> Verdict:
    """Every execution with at most so many faults, of those kinds (None: of all).

    Raises `TooMany` beyond `most` worlds.
    """
    run = _Run(program, saga, faults, kinds, crashes)
    pending = list(run.begin())
    while pending:
        world = pending.pop()
        run.found.worlds += 1
        if run.found.worlds > most:
            raise TooMany(saga)
        if world.sagas[()].phase is Phase.OVER:
            run.judge(world)
            following = list(run.land(world))
        else:
            run.left_out = False
            following = list(run.moves(world))
            run.found.stuck += not (following or run.left_out)
        pending += [after for after in following if after.spent <= faults]
    found = run.found
    found.breaches = {what: spent for what, spent in found.breaches.items() if spent <= faults}
    return found


class _Run:
    def __init__(
        self,
        program: p.Program,
        saga: str,
        faults: int,
        kinds: frozenset[str] | None,
        crashes: bool,
    ) -> None:
        self.program, self.saga, self.faults = program, saga, faults
        self.kinds, self.crashes = kinds, crashes
        self.values = Values(program)
        values = self.values
        self.build = Build(values.make, values.get, values.convert, values.update)
        self.names: dict[Path, str] = {(): saga}
        self.definitions: dict[str, Definition] = {}
        self.orders: dict[str, Pairs] = {}
        self.found = Verdict()
        self.left_out = False
        self.events = list(_waits(program.sagas[saga].body))

    def allows(self, kind: str) -> bool:
        return self.kinds is None or kind in self.kinds

    def definition(self, path: Path) -> Definition:
        name = self.names[path]
        if name not in self.definitions:
            self.definitions[name] = define(self.program, name, self.build)
            self.orders[name] = happens_before(self.program.sagas[name].body)
        return self.definitions[name]

    def breach(self, world: World, rule: str, id_: Id | None) -> None:
        at = "" if id_ is None else "/".join(str(place) for place in (*id_[0], id_[1]))
        known = self.found.breaches.get((rule, at), world.spent)
        self.found.breaches[rule, at] = min(known, world.spent)

    # --- What may happen -------------------------------------------------------------------------

    def begin(self) -> Iterator[World]:
        params = self.program.sagas[self.saga].params
        for args in product(*(self.candidates(param.type, param.name) for param in params)):
            given = {param.name: arg for param, arg in zip(params, args, strict=True)}
            state, commands = start(self.definition(()), "id", given, 0)
            yield self.obey(World(sagas={(): state}), (), commands)

    def moves(self, world: World) -> Iterator[World]:
        yield from self.land(world)
        for index, call in enumerate(world.calls):
            yield from self.goes_on(world, index, call)
        for timer in world.timers:
            yield from self.fires(world, *timer)
        if self.crashes and not world.crashed and world.calls and self.allows("crash"):
            yield from self.crash(world)
        if world.sagas[()].phase is Phase.FORWARD:
            if not world.cancelled and self.allows("cancel"):
                asked = replace(world, cancelled=True, spent=world.spent + 1)
                yield self.tell(asked, (), m.CancelRequested(world.now))
            if self.allows("event"):
                yield from self.arrives(world)

    def land(self, world: World) -> Iterator[World]:
        """A copy that was under way arrives at last."""
        for index, (id_, message) in enumerate(world.network):
            rest = world.network[:index] + world.network[index + 1 :]
            yield self.arrive(replace(world, network=rest), id_, message)[0]

    def fires(self, world: World, path: Path, timer: m.StartTimer) -> Iterator[World]:
        fault = _TOO_LATE.get(timer.timer)
        if fault is not None and not self.allows(fault):
            return
        if timer.timer is m.Timer.POLL and world.asked > REPEATS:
            self.left_out = self.found.cut = True
            return
        rest = tuple(other for other in world.timers if other != (path, timer))
        after = self.later(replace(world, timers=rest), timer.at)
        # That nobody answers is no fault.
        after = replace(after, spent=world.spent + (fault not in (None, "missing")))
        yield self.tell(after, path, m.TimerFired(after.now, timer.place, timer.timer))

    def arrives(self, world: World) -> Iterator[World]:
        frame = world.sagas[()].frame
        assert frame is not None
        statements = self.definition(()).statements
        awaited = [statements[leaf.place.path].event for leaf in waiting(frame)]  # type: ignore[union-attr]
        for event in dict.fromkeys(self.events):
            number = world.sent.count(event)
            early = event not in awaited
            if number >= self.events.count(event) or (early and not self.allows("early")):
                continue
            after = replace(world, sent=(*world.sent, event), spent=world.spent + early)
            for value in self.candidates(RecordRef(event)):
                told = m.EventReceived(world.now, event, f"{event} {number}", value)
                yield self.tell(after, (), told)

    # --- One call --------------------------------------------------------------------------------

    def goes_on(self, world: World, index: int, call: Call) -> Iterator[World]:
        ends = _ends(call)
        if world.now < ends < NEVER and self.allows("time is up"):
            gone = replace(self.later(world, ends), spent=world.spent + 1)
            if isinstance(call.command, calls.Attempt):
                late = replace(call, trouble="time is up", repeats=0)
                gone = replace(gone, calls=(*gone.calls[:index], late, *gone.calls[index + 1 :]))
            yield gone
        match call.command:
            case None:
                yield self.drive(world, index, call, calls.Begin())
            case calls.Attempt():
                yield from self.attempt(world, index, call)
            case calls.Probe():
                yield from self.probe(world, index, call)
            case calls.Sleep(until=until, reason=reason):
                yield self.drive(self.later(world, until), index, call, calls.Woke())
                first = call.state.first_attempt
                if reason != "lands-within" and first is not None and self.allows("key expires"):
                    ends_at = first + 2 * call.config.key_for + 1
                    if call.config.keyed and world.now <= first + call.config.key_for:
                        # Nothing stays in the network for as long as a key is kept.
                        gone = replace(self.later(world, ends_at), network=())
                        gone = replace(gone, spent=world.spent + 1)
                        reset = replace(call, trouble="key expires", repeats=0)
                        yield self.drive(gone, index, reset, calls.Woke())

    def attempt(self, world: World, index: int, call: Call) -> Iterator[World]:
        operation = self.operation(call)
        undoes = call.intent.purpose is m.Purpose.COMPENSATE

        def answered(after: World, what: str, outcome: Outcome) -> Iterator[World]:
            yield from self.answered(after, index, call, what, calls.AttemptEnded(outcome))

        if not undoes or self.allows("failing compensation"):
            if self.allows("not sent"):
                yield from answered(world, "not sent", UNSENT)
            if self.allows("request lost"):
                yield from answered(world, "request lost", NOBODY_KNOWS)
        if operation.is_query:
            if self.allows("strange answer"):
                yield from answered(world, "strange answer", MISMATCH)
            for value in self.candidates(operation.result):
                yield from answered(world, "", Ok(value))
            for rejection in operation.rejects if self.allows("rejects") else ():
                outcome = Rejected(self.failure(rejection.error))
                yield from answered(world, f"rejects {rejection.error}", outcome)
            return
        message = self.message(world, call)
        done, reply = self.arrive(world, call.id, message)
        if reply == OK:
            for value in self.candidates(operation.result):
                yield from answered(done, "", Ok(value))
        elif reply == STRANGE:
            yield from answered(done, "", MISMATCH)
        else:
            assert reply == REFUSED
            outcome = Rejected(self.failure(operation.rejects[0].error))
            yield from answered(done, "", outcome)
        if undoes and not self.allows("failing compensation"):
            return
        if self.allows("rejects"):
            refused = refuse(world.ledgers[call.id], message, world.now)
            for rejection in operation.rejects if refused is not None else ():
                assert refused is not None
                outcome = Rejected(self.failure(rejection.error))
                after = self.booked(world, call.id, refused)
                yield from answered(after, f"rejects {rejection.error}", outcome)
        if self.allows("answer lost"):
            yield from answered(done, "answer lost", NOBODY_KNOWS)
        if self.allows("strange answer"):
            yield from answered(done, "strange answer", MISMATCH)
            yield from answered(world, "strange answer", MISMATCH)
        late = replace(world, network=(*world.network, (call.id, message)))
        if self.allows("late") and (not undoes or self.allows("request lost")):
            yield from answered(late, "late", NOBODY_KNOWS)
        twice = operation.promises.idempotent or operation.promises.keyed
        if self.allows("duplicated") and reply == OK and twice:
            copied, _ = self.arrive(done, call.id, message)
            for value in self.candidates(operation.result):
                yield from answered(copied, "duplicated", Ok(value))

    def probe(self, world: World, index: int, call: Call) -> Iterator[World]:
        ledger = world.ledgers[call.id]
        undoes = call.intent.purpose is m.Purpose.COMPENSATE
        happened = ledger.undone if undoes else ledger.effects > 0
        result = self.operation(call).result
        for value in self.candidates(result) if happened else (None,):
            event = calls.ProbeEnded(Ok(value))
            yield from self.answered(world, index, replace(call, trouble=""), "", event)
        if self.allows("no answer"):
            event = calls.ProbeEnded(NOBODY_KNOWS)
            yield from self.answered(world, index, call, "no answer", event)

    def answered(
        self, world: World, index: int, call: Call, what: str, event: calls.CallEvent
    ) -> Iterator[World]:
        # What takes an attempt until its time is up is one trouble.
        silent = what in ("not sent", "request lost", "answer lost", "late")
        again = bool(what) and (what == call.trouble or (silent and call.trouble == "time is up"))
        if world.spent + (bool(what) and not again) > self.faults:
            self.left_out = True
            return
        repeats = call.repeats + 1 if again else 1
        asked = call.state.asked + call.state.attempts
        endless = calls.endless(call.config.retry) and world.now < _ends(call)
        if endless and (repeats > REPEATS or asked > 2 * self.faults + 3):
            self.left_out = self.found.cut = True
            return
        spent = world.spent + (bool(what) and not again)
        call = replace(call, trouble=what, repeats=repeats)
        yield self.drive(replace(world, spent=spent), index, call, event)

    def drive(self, world: World, index: int, call: Call, event: calls.CallEvent) -> World:
        """The call machine takes the event; where the call ends, the saga hears of it."""
        state, commands = calls.advance(call.config, call.state, event, world.now, 0.5)
        command = commands[0] if commands else call.command
        call = replace(call, state=state, command=command)
        if not isinstance(command, calls.Done):
            changed = (*world.calls[:index], call, *world.calls[index + 1 :])
            return replace(world, calls=changed)
        world = replace(world, calls=world.calls[:index] + world.calls[index + 1 :])
        intent = call.intent
        if call.id in world.beliefs:
            heard = _heard(intent.purpose, command.outcome)
            world = replace(world, beliefs={**world.beliefs, call.id: heard})
            step = self.definition(call.path).statements[intent.place.path]
            if isinstance(step, p.Step) and step.pivot and heard == "done":
                before = frozenset(
                    place
                    for (path, place), belief in world.beliefs.items()
                    if path == call.path and belief == "done"
                )
                world = replace(world, passed={**world.passed, call.path: before})
        ended = m.CallEnded(
            world.now, intent.place, intent.purpose, command.outcome, command.unanswered
        )
        return self.tell(world, call.path, ended)

    # --- Crashes ---------------------------------------------------------------------------------

    def crash(self, world: World) -> Iterator[World]:
        """The orchestrator dies; of each attempt in flight, the service saw it or not, or will."""
        pending = [replace(world, crashed=True, calls=(), spent=world.spent + 1)]
        for call in world.calls:
            if call.state.phase is calls.Phase.NEW:
                # Nothing was sent: the same as a crash that lost the first request.
                pending = [replace(w, calls=(*w.calls, self.recovered(w, call))) for w in pending]
                continue
            pending = [
                replace(w, calls=(*w.calls, self.recovered(w, call)))
                for before in pending
                for w in self.seen(before, call)
            ]
        for after in pending:
            for call in world.calls:
                if call.state.interrupted:
                    after = self.interrupt(after, call.path, call.intent.place, call.intent.purpose)
            yield after

    def seen(self, world: World, call: Call) -> Iterator[World]:
        yield world
        if not isinstance(call.command, calls.Attempt) or self.operation(call).is_query:
            return
        message = self.message(world, call)
        yield self.arrive(world, call.id, message)[0]
        if self.allows("late"):
            yield replace(world, network=(*world.network, (call.id, message)))
        refused = refuse(world.ledgers[call.id], message, world.now)
        if refused is not None and self.operation(call).rejects and self.allows("rejects"):
            yield replace(self.booked(world, call.id, refused), spent=world.spent + 1)

    def recovered(self, world: World, call: Call) -> Call:
        first = call.state.first_attempt
        state = calls.recover(world.now, world.now if first is None else first, None)
        return replace(call, state=state, command=None, trouble="", repeats=0)

    # --- Carrying out what the machines want -----------------------------------------------------

    def tell(self, world: World, path: Path, event: m.Event) -> World:
        state, commands = advance(self.definition(path), world.sagas[path], event)
        return self.obey(replace(world, sagas={**world.sagas, path: state}), path, commands)

    def obey(self, world: World, path: Path, commands: tuple[m.Command, ...]) -> World:
        for command in commands:
            match command:
                case m.RunCall():
                    world = self.called(world, path, command)
                case m.Interrupt(place, purpose):
                    world = self.interrupt(world, path, place, purpose)
                case m.StartTimer():
                    world = replace(world, timers=(*world.timers, (path, command)))
                case m.StopTimer(place, timer):
                    gone = (path, place, timer)
                    kept = tuple(t for t in world.timers if (t[0], t[1].place, t[1].timer) != gone)
                    world = replace(world, timers=kept)
                case m.RunChild(place, saga, saga_id, args):
                    inner = (*path, place)
                    self.names[inner] = saga
                    params = (param.name for param in self.program.sagas[saga].params)
                    given = dict(zip(params, args, strict=True))
                    state, more = start(self.definition(inner), saga_id, given, world.now)
                    world = replace(world, sagas={**world.sagas, inner: state})
                    world = self.obey(world, inner, more)
                case m.CancelChild(place):
                    world = self.tell(world, (*path, place), m.CancelRequested(world.now))
                case m.UndoChild(place, error=error):
                    inner = (*path, place)
                    world = replace(world, undoing=world.undoing | {inner})
                    world = self.tell(world, inner, m.UndoRequested(world.now, error))
                case m.AbortStarted(scope=scope):
                    world = replace(world, aborted=world.aborted | {path})
                    if scope == m.SAGA and path in world.passed:
                        self.breach(world, "abort-after-pivot", None)
                case m.Finished(outcome) if path:
                    purpose = m.Purpose.COMPENSATE if path in world.undoing else m.Purpose.STEP
                    told = m.ChildEnded(world.now, path[-1], purpose, outcome)
                    world = self.tell(world, path[:-1], told)
        return world

    def called(self, world: World, path: Path, intent: m.RunCall) -> World:
        operation = self.program.services[intent.service].operations[intent.operation]
        back = intent.purpose in (m.Purpose.RESOLVE, m.Purpose.COMPENSATE)
        config = calls.CallConfig.of(
            operation,
            intent.policy,
            deadline=intent.deadline,
            resolve=intent.purpose is m.Purpose.RESOLVE,
            patient=back,
        )
        state = calls.start(world.now)
        if intent.first_attempt is not None:
            state = calls.recover(world.now, intent.first_attempt, intent.unanswered)
        id_ = (path, intent.place)
        if intent.purpose is m.Purpose.COMPENSATE:
            self.may_compensate(world, id_)
        if not operation.is_query or back:
            belief = "in flight" if intent.purpose is m.Purpose.STEP else "being undone"
            undo = world.undos.get(id_) or self.undo_of(world, id_)
            undos = world.undos if undo is None else {**world.undos, id_: undo}
            world = replace(
                world,
                beliefs={**world.beliefs, id_: belief},
                undos=undos,
                ledgers={id_: Ledger(fenced=undo in world.shut), **world.ledgers},
                begun=(*world.begun, id_),
            )
        asked = world.asked + (intent.purpose is m.Purpose.POLL)
        call = Call(path, intent, config, state)
        return replace(world, calls=(*world.calls, call), asked=asked)

    def undo_of(self, world: World, id_: Id) -> Undo | None:
        """How a step that begins would be undone; None where that takes its result."""
        path, place = id_
        frame = world.sagas[path].frame
        step = self.definition(path).statements[place.path]
        if frame is None or not isinstance(step, p.Step):
            return None
        if not isinstance(step.compensation, p.Compensation):
            return None
        for leaf in leaves(frame):
            if isinstance(leaf, CallLeaf) and leaf.place == place and leaf.entry.args is not None:
                return step.compensation.call.label, leaf.entry.args
        return None

    def interrupt(self, world: World, path: Path, place: m.Place, purpose: m.Purpose) -> World:
        for index, call in enumerate(world.calls):
            if call.id == (path, place) and call.intent.purpose is purpose:
                return self.drive(world, index, call, calls.Interrupted())
        return world

    # --- What must hold --------------------------------------------------------------------------

    def may_compensate(self, world: World, id_: Id) -> None:
        path, place = id_
        if path not in world.aborted:
            self.breach(world, "compensation-before-fault", id_)
        if place in world.passed.get(path, frozenset()):
            self.breach(world, "compensation-after-pivot", id_)
        pairs = self.orders[self.names[path]]
        began = [where for other, where in world.begun if other == path]
        for (other, later), belief in world.beliefs.items():
            owed = other == path and belief not in ("not done", "undone")
            if owed and self.undoable(path, later) and pairs.before(place, later, began):
                self.breach(world, "out-of-order", id_)

    def arrive(self, world: World, id_: Id, message: Message) -> tuple[World, str]:
        """The service takes a message. One that undoes goes to every step that is undone by the
        same, and counts for those to come if it fences."""
        undo = world.undos.get(id_) if message.undoes else None
        same = [id_] if undo is None else [i for i, other in world.undos.items() if other == undo]
        there = any(world.ledgers[other].effects for other in same)
        before = world.ledgers[id_]
        ledger, reply = receive(before, message, world.now, there=there)
        after = self.booked(world, id_, ledger)
        if undo is None or ledger is before:
            return after, reply
        for other in same:
            if other != id_:
                left, _ = receive(world.ledgers[other], message, world.now, there=True)
                after = self.booked(after, other, left)
        if ledger.fenced:
            after = replace(after, shut=(*after.shut, undo))
        return after, reply

    def booked(self, world: World, id_: Id, ledger: Ledger) -> World:
        if ledger.effects > 1 and not self.exempt(id_):
            self.breach(world, "done-twice", id_)
        return replace(world, ledgers={**world.ledgers, id_: ledger})

    def judge(self, world: World) -> None:
        outcome = world.sagas[()].outcome
        name = type(outcome).__name__.lower()
        self.found.outcomes[name] = min(self.found.outcomes.get(name, world.spent), world.spent)
        if world.calls:
            self.breach(world, "ended-with-calls-in-flight", None)
        for id_, belief in world.beliefs.items():
            if self.exempt(id_):
                continue
            effects = world.ledgers[id_].effects
            undone = isinstance(world.sagas[id_[0]].outcome, m.Compensated)
            # A step that may have happened is compensated (section 7, rule 1), or nobody knows.
            open_end = undone and belief == "unknown"
            if open_end or (effects and (undone or belief in ("not done", "undone"))):
                self.breach(world, "left", id_)
            if isinstance(outcome, m.Completed) and belief == "done" and not effects:
                self.breach(world, "not-done", id_)
            if not isinstance(outcome, m.Escalated) and belief in ("in flight", "being undone"):
                self.breach(world, "forgotten", id_)
            if isinstance(outcome, m.Completed) and belief == "unknown":
                self.breach(world, "forgotten", id_)

    def exempt(self, id_: Id) -> bool:
        path, place = id_
        step = self.definition(path).statements[place.path]
        assert isinstance(step, p.Step)
        return step.best_effort or isinstance(step.compensation, p.NoCompensation)

    def undoable(self, path: Path, place: m.Place) -> bool:
        step = self.definition(path).statements[place.path]
        return isinstance(step, p.Step) and isinstance(step.compensation, p.Compensation)

    # --- Small things ----------------------------------------------------------------------------

    def operation(self, call: Call) -> p.Operation:
        return self.program.services[call.intent.service].operations[call.intent.operation]

    def message(self, world: World, call: Call) -> Message:
        undoes = call.intent.purpose is m.Purpose.COMPENSATE
        operation = self.operation(call)
        within = operation.promises.lands_within
        dies = NEVER if within is None else world.now + within
        return Message(operation, call.intent.key or "", undoes, dies)

    def later(self, world: World, at: int) -> World:
        now = max(world.now, at)
        network = tuple(item for item in world.network if item[1].dies > now)
        return replace(world, now=now, network=network)

    def failure(self, error: str) -> Failure:
        if not self.program.errors[error].fields:
            return Failure(error)
        return Failure(error, self.candidates(RecordRef(error))[0])

    def candidates(self, type_: Type, text: str = "v") -> tuple[Any, ...]:
        """The values that are tried: both of a bool, every member of an enum, lists of 0 to 2.
        `text`: what a string is; that of two parameters is taken to be different."""
        match type_:
            case Null():
                return (None,)
            case Optional(item):
                return (*self.candidates(item, text), None)
            case ListOf(item):
                one = self.candidates(item, text)[0]
                other = f"{one}'" if isinstance(one, str) else one
                return (), (one,), (one, other)
            case EnumRef(name):
                return tuple(member for member, _ in self.program.enums[name].members)
            case RecordRef() | InlineRecord():
                fields = self.values.fields_of(type_)
                every = product(*(self.candidates(inner, text) for _, inner, _ in fields))
                names = [name for name, _, _ in fields]
                return tuple(
                    self.values.make(type_, dict(zip(names, values, strict=True)))
                    for values in every
                )
            case _:
                known: dict[str, tuple[Any, ...]] = {"bool": (True, False), "int": (0, 10)}
                return known.get(getattr(type_, "name", ""), (text,))


def _ends(call: Call) -> int:
    """When the time of the call is up."""
    total, deadline = call.config.total, call.config.deadline
    return min(
        NEVER if total is None else call.state.began + total,
        NEVER if deadline is None else deadline,
    )


def _heard(purpose: m.Purpose, outcome: Outcome) -> str:
    match outcome:
        case Ok():
            return "undone" if purpose is m.Purpose.COMPENSATE else "done"
        case Unknown():
            return "unknown"
        case _:
            return "unknown" if purpose is m.Purpose.COMPENSATE else "not done"


def _waits(block: p.Block, times: int = 1) -> Iterator[str]:
    """The events worth sending: one for each wait, one more where it may not want the first."""
    for statement in block.statements:
        if isinstance(statement, p.Wait):
            yield from [statement.event] * times * (1 if statement.where is None else 2)
        match statement:
            case p.Parallel(branches=branches):
                inner: tuple[p.Block, ...] = branches
            case p.For(body=body):
                inner = (body, body)
            case p.If(then=then, otherwise=otherwise):
                inner = (then, otherwise)
            case p.Attempt(body=body, handlers=handlers):
                inner = (body, *(handler.body for handler in handlers))
            case _:
                inner = ()
        for child in inner:
            yield from _waits(child, times)
