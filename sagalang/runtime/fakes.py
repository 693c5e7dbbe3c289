"""Services that exist only in memory and keep exactly the promises of their contracts.

The world does no I/O and reads no clock: the time comes in with each call. `fake_transport` calls
it in the process, `mock_server` over HTTP.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final

from sagalang.model.program import Ms, Operation, Program
from sagalang.model.types import RecordRef, required, reveal
from sagalang.runtime.fake_relations import ANYTHING, Relation, Relations
from sagalang.runtime.fake_values import Inventor
from sagalang.runtime.faults import PlannedFault
from sagalang.runtime.values import Values

Args = tuple[Any, ...]


class Kind(Enum):
    """How a fake service answers."""

    ANSWER = "answer"
    REJECTED = "rejected"
    ABSENT = "absent"
    """A compensation of what never happened, where the service does not promise `absent ok`."""
    KEY_REUSED = "key-reused"
    KEY_MISSING = "key-missing"
    FENCED = "fenced"
    UNAVAILABLE = "unavailable"
    NOT_SENT = "not-sent"
    """The call does not get this far: the service never sees it."""
    NONSENSE = "nonsense"
    """It acts, and its answer is none that the contract knows."""
    SILENT = "silent"
    """It does not answer, ever."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`value`: the answer, or the fields of the `error` that rejects. `replayed`: it was stored
    under the key by an earlier call."""

    kind: Kind
    value: Any = None
    error: str = ""
    replayed: bool = field(default=False, compare=False)


SILENT: Final = Reply(Kind.SILENT)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call that reached its service."""

    operation: str
    args: Args
    key: str | None
    at: Ms


@dataclass(slots=True)
class Entry:
    """A line of the ledger: what came of the calls with one key (or, without, one input).

    `effect` is `done`, `undone` (done, then compensated) or `none`; `calls` counts the calls that
    reached the service, repeats included.
    """

    operation: str
    args: Args
    key: str | None
    effect: str = "none"
    calls: int = 1
    result: Any = None


@dataclass(slots=True)
class _Memory:
    """What a service stored under an idempotency key."""

    first: Ms
    entry: Entry
    reply: Reply


class FakeWorld:
    """All services of a program as fakes, and the ledger of what happened in them.

    Values are those of `values`: pass the one that made the arguments. `relations`: those of the
    program, for who makes many worlds of it. Same program, seed, faults and calls: same answers.
    """

    def __init__(
        self,
        program: Program,
        seed: int = 0,
        *,
        values: Values | None = None,
        faults: Iterable[PlannedFault] = (),
        relations: Relations | None = None,
    ) -> None:
        self.program = program
        self.values = values or Values(program)
        self.seed = seed
        self.faults = list(faults)
        self.ledger: list[Entry] = []
        self.arrivals: list[Arrival] = []
        self._relations = relations or Relations(program, self.values)
        self._invent = Inventor(program, self.values, seed)
        self._operations = {
            o.label: o for s in program.services.values() for o in s.operations.values()
        }
        self._keys: dict[tuple[str, str], _Memory] = {}
        self._fences: list[tuple[Relation, Args]] = []
        self._under_way: list[tuple[Ms, int, Operation, Args, str | None]] = []
        self._numbers: dict[str, int] = {}

    # --- What is asked from outside ---

    def deliver(self, operation: str, args: Args, key: str | None, now: Ms) -> Reply:
        """One call of `Service.operation` at this time, with the faults that strike it."""
        self.settle(now)
        found = self._operations[operation]
        stored = self._remembered(found, key, now) is not None
        fault = self._fault(operation, args, key, stored)
        match fault.kind if fault else None:
            case "rejects":
                assert fault is not None
                return self._reject(found, args, key, now, fault)
            case "returns":
                assert fault is not None
                return self._carry_out(found, args, key, now, fault)
            case "times out before effect":
                self._miss(found, args, key, now)
                return SILENT
            case "times out after effect":
                self._carry_out(found, args, key, now)
                return SILENT
            case "unavailable":
                self._miss(found, args, key, now)
                return Reply(Kind.UNAVAILABLE)
            case "arrives late":
                assert fault is not None
                order = len(self._under_way) + len(self.arrivals)
                heapq.heappush(self._under_way, (now + fault.after, order, found, args, key))
                return SILENT
            case "is not sent":
                return Reply(Kind.NOT_SENT)
            case "answers nonsense":
                self._carry_out(found, args, key, now)
                return Reply(Kind.NONSENSE)
            case "duplicated":
                reply = self._carry_out(found, args, key, now)
                self._carry_out(found, args, key, now)
                return reply
            case _:
                return self._carry_out(found, args, key, now)

    def keeps_back(self, operation: str, args: Args, key: str | None, now: Ms) -> bool:
        """Whether this call never leaves: asked by whoever sends it over a real network."""
        stored = self._remembered(self._operations[operation], key, now) is not None
        fault = self._due(operation, args, key, stored)
        if fault is None or fault.kind != "is not sent":
            return False
        fault.use()
        return True

    def settle(self, until: Ms | None = None) -> None:
        """Lets the calls that are late arrive: those due by then, or all of them."""
        while self._under_way and (until is None or self._under_way[0][0] <= until):
            due, _, operation, args, key = heapq.heappop(self._under_way)
            self._carry_out(operation, args, key, due)

    def count(self, operation: str) -> int:
        """How many calls of `Service.operation` reached the service, repeats included."""
        return sum(arrival.operation == operation for arrival in self.arrivals)

    def effects(self, operation: str) -> int:
        """How many effects of the command are there: those compensated do not count."""
        return len(self.left(operation))

    def left(self, operation: str | None = None) -> list[Entry]:
        """The effects that are there: of this command, or of all."""
        return [
            entry
            for entry in self.ledger
            if entry.effect == "done" and operation in (None, entry.operation)
        ]

    # --- Commands ---

    def _carry_out(
        self,
        operation: Operation,
        args: Args,
        key: str | None,
        now: Ms,
        returns: PlannedFault | None = None,
    ) -> Reply:
        self.arrivals.append(Arrival(operation.label, args, key, now))
        if operation.is_query:
            return Reply(Kind.ANSWER, returns.value if returns else self._query(operation, args))
        if operation.promises.keyed and key is None:
            return Reply(Kind.KEY_MISSING)
        memory = self._remembered(operation, key, now)
        if memory is not None:
            if memory.entry.args != args:
                return Reply(Kind.KEY_REUSED)
            memory.entry.calls += 1
            fenced = self._fenced(operation, args, key)
            if fenced:
                return Reply(Kind.FENCED)
            return replace(memory.reply, replayed=True)
        if self._fenced(operation, args, key):
            self._note(operation, args, key)
            return Reply(Kind.FENCED)
        same = self._same_input(operation, args)
        if same is not None:
            same.calls += 1
            reply = Reply(Kind.ANSWER, returns.value if returns else same.result)
            return self._remember(operation, key, now, same, reply)
        undone = self._undo(operation, args)
        result = returns.value if returns else self._result(operation, args)
        if undone is None:
            entry = Entry(operation.label, args, key, "done", 1, result)
            self.ledger.append(entry)
        else:
            entry = self._note(operation, args, key)
            entry.result = result
            if not undone and not operation.promises.absent_ok:
                return Reply(Kind.ABSENT)
        return self._remember(operation, key, now, entry, Reply(Kind.ANSWER, result))

    def _reject(
        self, operation: Operation, args: Args, key: str | None, now: Ms, fault: PlannedFault
    ) -> Reply:
        self.arrivals.append(Arrival(operation.label, args, key, now))
        name = fault.error or ""
        value = None
        if (declared := self.program.errors.get(name)) and declared.fields:
            number = self._next(operation.label)
            value = self._invent.record(RecordRef(name), dict(fault.fields), number)
        reply = Reply(Kind.REJECTED, value, name)
        entry = self._note(operation, args, key)
        if operation.promises.records_rejections:
            self._remember(operation, key, now, entry, reply)
        return reply

    def _miss(self, operation: Operation, args: Args, key: str | None, now: Ms) -> None:
        """A call that reached the service and was lost there, without effect."""
        self.arrivals.append(Arrival(operation.label, args, key, now))
        if not operation.is_query:
            self._note(operation, args, key)

    def _undo(self, operation: Operation, args: Args) -> bool | None:
        """Removes the effects that this call compensates; whether there were any, ever.

        None: the call compensates nothing; it has an effect of its own.
        """
        relations = [r for r in self._relations.undo if r.other == operation.label]
        found = [
            (relation, entry)
            for relation in relations
            for entry in self.ledger
            if entry.operation == relation.original
            and entry.effect != "none"
            and self._relations.matches(relation, args, entry.args, entry.key, entry.result)
        ]
        if not relations or (not found and operation.label in self._relations.forward):
            return None
        if operation.promises.fences_late:
            new = [(relation, args) for relation in relations]
            self._fences += [fence for fence in new if fence not in self._fences]
        done = [(relation, entry) for relation, entry in found if entry.effect == "done"]
        # The same input twice has the effect of once, so once must remove all that it names.
        everything = operation.promises.idempotent and all(r.exact for r, _ in done)
        for _, entry in done if everything else done[-1:]:
            entry.effect = "undone"
        return bool(found)

    def _fenced(self, operation: Operation, args: Args, key: str | None) -> bool:
        return any(
            relation.original == operation.label
            and self._relations.matches(relation, given, args, key, ANYTHING)
            for relation, given in self._fences
        )

    def _same_input(self, operation: Operation, args: Args) -> Entry | None:
        """The effect that the same input had before, if the command is idempotent."""
        if not operation.promises.idempotent:
            return None
        for entry in self.ledger:
            if (entry.operation, entry.effect, entry.args) == (operation.label, "done", args):
                return entry
        return None

    # --- What is kept ---

    def _remembered(self, operation: Operation, key: str | None, now: Ms) -> _Memory | None:
        if key is None or not operation.promises.keyed:
            return None
        memory = self._keys.get((operation.label, key))
        kept = memory is not None and now < memory.first + operation.promises.key_for
        return memory if kept else None

    def _remember(
        self, operation: Operation, key: str | None, now: Ms, entry: Entry, reply: Reply
    ) -> Reply:
        if key is not None and operation.promises.keyed:
            self._keys[operation.label, key] = _Memory(now, entry, reply)
        return reply

    def _note(self, operation: Operation, args: Args, key: str | None) -> Entry:
        """The line of a call that has no effect of its own."""
        for entry in self.ledger:
            if (entry.operation, entry.key, entry.args, entry.effect) == (
                operation.label,
                key,
                args,
                "none",
            ):
                entry.calls += 1
                return entry
        entry = Entry(operation.label, args, key)
        self.ledger.append(entry)
        return entry

    def _fault(
        self, operation: str, args: Args, key: str | None, stored: bool
    ) -> PlannedFault | None:
        fault = self._due(operation, args, key, stored)
        if fault is not None:
            fault.use()
        return fault

    def _due(
        self, operation: str, args: Args, key: str | None, stored: bool
    ) -> PlannedFault | None:
        for fault in self.faults:
            # What is stored under a key is answered as it was, whatever the service would say now.
            if stored and fault.kind in ("rejects", "returns"):
                continue
            if fault.strikes(operation, args, key):
                return fault
        return None

    # --- Answers ---

    def _query(self, operation: Operation, args: Args) -> Any:
        probes = [r for r in self._relations.probes if r.other == operation.label]
        for relation in probes:
            for entry in self.left(relation.original):
                if self._relations.matches(relation, args, entry.args, entry.key, entry.result):
                    return self.values.convert(entry.result, operation.result)
        return None if probes else self._result(operation, args)

    def _result(self, operation: Operation, args: Args) -> Any:
        """A made-up answer; a field that is named like a parameter repeats its argument."""
        number = self._next(operation.label)
        type_ = required(reveal(operation.result))
        fields = self.values.fields_of(type_)
        if not fields:
            return self._invent.value(operation.result, operation.name, number)
        given = {
            param.name: arg
            for param, arg in zip(operation.params, args, strict=True)
            if (param.name, param.type) in {(name, t) for name, t, _ in fields}
        }
        return self._invent.record(type_, given, number)

    def _next(self, label: str) -> int:
        self._numbers[label] = self._numbers.get(label, 0) + 1
        return self._numbers[label]
