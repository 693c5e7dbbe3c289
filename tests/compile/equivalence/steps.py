"""Random steps, waits, polls and values: the statements without others inside."""

from __future__ import annotations

import re

from sagalang.model import types as t

from .blocks import BUILT_IN, SHOWN, Child, Here, Writer, Written
from .contracts import ERRORS, Operation
from .expressions import INTS, PART, PARTS, STRINGS, paths


class Steps(Writer):
    # --- Calls ---------------------------------------------------------------------------------

    def call(self, found: Operation, here: Here) -> str:
        args = [self.of(kind, here) for _, kind in found.params]
        if args and isinstance(found.params[-1][1], t.Optional) and self.choices.chance(25):
            args.pop()
        elif len(args) > 1 and self.choices.chance(15):
            pairs = zip(found.params, args, strict=True)
            args = [f"{name}: {arg}" for (name, _), arg in pairs][::-1]
        self.errors |= {*found.rejects, *BUILT_IN[:4]}
        return f"{found.label}({', '.join(args)})"

    def bound(
        self, found: Operation, here: Here, pivot: str, tail: str, *, optional: bool = False
    ) -> Written:
        """`[pivot] step [name =] call tail`"""
        call = self.call(found, here)
        if self.choices.chance(25):
            return Written([f"{pivot}step {call}{tail}"], here)
        name = self.name(here)
        kind = None if found.result == t.NULL else found.result
        kind = t.optional(kind) if optional and kind is not None else kind
        keyed = found.keyed and not optional
        return Written([f"{pivot}step {name} = {call}{tail}"], here.bind(name, kind, keyed))

    def pace(self, percent: int = 25) -> str:
        chosen = self.choices.chance(percent)
        return f" with {self.contracts.policy('pace')}" if chosen else ""

    def step(self, here: Here) -> Written:
        after = "refusable" if here.told else "repeatable"
        role = after if here.after else "undoable"
        found = self.contracts.operation(role)
        tail = "" if here.after else self.pace()
        return self.bound(found, here, "", tail)

    def query(self, here: Here) -> Written:
        found = self.contracts.operation("query")
        told = here.after and found.rejects and not here.told
        tail = ' else escalate "ask"' if told else ("" if here.after else self.pace())
        return self.bound(found, here, "", tail)

    def best_effort(self, here: Here) -> Written:
        found = self.contracts.operation(self.choices.pick("bare", "query", "undoable"))
        before = set(self.errors)
        made = self.bound(found, here, "", f"{self.pace()} best effort", optional=True)
        self.errors = before
        return made

    def own_undo(self, here: Here) -> Written:
        """A step that says itself how it is undone."""
        found = self.contracts.operation("bare")
        given = self.choices.number(1, 2)
        args: list[tuple[str, t.Type]] = []
        for _ in range(given):
            how = self.choices.weighted(
                (3, "any"),
                (5 if found.by_result else 0, "result"),
                (2 if found.keyed else 0, "key"),
                (2 if here.scope.keyed else 0, "key of"),
            )
            match how:
                case "any":
                    kind = self.choices.pick(t.STRING, t.INT, PART, t.STRING)
                    args.append((self.of(kind, here), kind))
                case "result":
                    near = [f"/${{{text}}}" for text, k in paths(here.scope) if k in SHOWN][:3]
                    more = self.choices.pick("!", *near, *near)
                    args.append(
                        (self.choices.pick("result.id", f'"${{result.id}}{more}"'), t.STRING)
                    )
                case "key":
                    args.append(("key", t.KEY))
                case _:
                    args.append((f"key({self.choices.of(here.scope.keyed)})", t.KEY))
        params = tuple(zip(("x", "y"), (kind for _, kind in args), strict=False))
        remedy = self.contracts.remedy(params)
        undo = f" compensate {remedy}({', '.join(text for text, _ in args)})"
        return self.bound(found, here, "", f"{self.pace()}{undo}")

    def no_undo(self, here: Here) -> Written:
        found = self.contracts.operation("bare")
        return self.bound(found, here, "", f'{self.pace()} compensate none "it may stay"')

    def told(self, here: Here) -> Written:
        found = self.contracts.operation("refusable" if here.after else "undoable")
        after = self.choices.pick("", " after 5s", " after 2m")
        return self.bound(found, here, "", f'{self.pace()} else escalate "ops"{after}')

    def child(self, here: Here) -> Written:
        tail = self.choices.weighted((6, ""), (2, ' else escalate "kids"'), (1, " best effort"))
        if here.after and not here.told:
            tail = tail or ' else escalate "kids"'
        found = self.child_saga(pivot=False)
        if tail != " best effort":
            self.errors |= found.errors
        return self.run_child(found, here, "", tail)

    def run_child(self, found: Child, here: Here, pivot: str, tail: str) -> Written:
        args = ", ".join(self.of(kind, here) for _, kind in found.params)
        target = f"saga {found.name}({args})"
        if self.choices.chance(30):
            return Written([f"{pivot}step {target}{tail}"], here)
        name = self.name(here)
        kind = None if found.result == t.NULL else found.result
        effort = "best" in tail
        kind = t.optional(kind) if effort and kind is not None else kind
        line = f"{pivot}step {name} = {target}{tail}"
        return Written([line], here.bind(name, kind, not effort))

    # --- Values and ends -----------------------------------------------------------------------

    def let(self, here: Here) -> Written:
        kind = self.choices.pick(t.STRING, t.INT, t.DECIMAL, PART, PARTS, STRINGS, t.BOOL, INTS)
        name, value = self.name(here), self.of(kind, here, 3)
        return Written([f"let {name} = {value}"], here.bind(name, self._type_of(value, kind)))

    def _type_of(self, value: str, kind: t.Type) -> t.Type | None:
        """What a value that fits `kind` certainly is: an int stays an int, and `null` says
        nothing."""
        return None if kind == t.DECIMAL and not re.search(r"\d\.\d", value) else kind

    def abort(self, here: Here) -> str:
        error = self.choices.of(ERRORS)
        self.errors.add(error)
        if error != "Missing":
            return f"abort {error}"
        count = f", count: {self.of(t.INT, here)}" if self.choices.chance(40) else ""
        return f"abort Missing(what: {self.of(t.STRING, here)}{count})"

    def abort_if(self, here: Here) -> Written:
        return Written([f"if {self.condition(here)} {{ {self.abort(here)} }}"], here)

    def return_if(self, here: Here) -> Written:
        value = self.of(self.result, here)
        return Written([f"if {self.condition(here)} {{ return {value} }}"], here)

    def sleep(self, here: Here) -> Written:
        how = self.choices.pick("sleep", "sleep until now() +")
        return Written([f"{how} {self.of(t.DURATION, here, 1)}"], here)

    def otherwise(self, here: Here) -> str:
        """What happens when nothing came in time."""
        options = ["null", 'escalate "people"']
        return self.choices.of(options if here.after else ["abort", *options])

    def wait(self, here: Here) -> Written:
        event = self.choices.pick("Go", "News")
        name = self.name(here)
        kind = t.RecordRef(event)
        where = ""
        if self.choices.chance(50):
            where = f" where {self.condition(here.bind(name, kind))}"
        within = self.choices.pick("1s", "5s", "1m")
        ends = self.otherwise(here)
        shown = self.abort(here) if ends == "abort" else ends
        bound = t.Optional(kind) if ends == "null" else kind
        line = f"wait {name}: {event}{where} within {within} else {shown}"
        return Written([line], here.bind(name, bound))

    def poll(self, here: Here) -> Written:
        found = self.contracts.operation("query")
        name, call = self.name(here), self.call(found, here)
        seen = here.bind(name, found.result)
        ends = self.otherwise(here)
        until = self.condition(seen)
        shown = self.abort(here) if ends == "abort" else ends
        kind = t.optional(found.result) if ends == "null" else found.result
        every = self.choices.pick("every 100ms within 1s", "every 1s within 5s")
        return Written(
            [f"poll {name} = {call} until {until} {every} else {shown}"], here.bind(name, kind)
        )
