"""Random sagas as text: well-typed, and made to pass the checker."""

from __future__ import annotations

import re
from dataclasses import replace

from sagalang.model import types as t

from .blocks import Child, Here, Lines, Written, apart, indented
from .choices import Choices
from .contracts import Contracts
from .expressions import CONSTANTS, DECLARED, PART, PARTS, Scope
from .ways import Ways


class Maker(Ways):
    def statement(self, here: Here) -> Written:
        deep = here.depth >= 3 or self.left < 2
        after = here.after
        make = self.choices.weighted(
            (6, self.let),
            (34, self.step),
            (8, self.query),
            (6, self.best_effort),
            (0 if after else 30 if here.loops else 9, self.own_undo),
            (0 if after else 3, self.no_undo),
            (5, self.told),
            (0 if deep else 9, self.if_),
            (0 if deep else 14, self.loop),
            (0 if deep else 25 if here.loops else 11, self.parallel),
            (0 if deep else 12, self.attempt),
            (5, self.wait),
            (4, self.poll),
            (3, self.sleep),
            (0 if after else 3, self.abort_if),
            (2 if here.returns and self.result != t.NULL else 0, self.return_if),
            (0 if here.depth > 1 else 8, self.child),
        )
        return make(here)

    # --- The pivot -----------------------------------------------------------------------------

    def pivot(self, here: Here) -> Written:
        how = self.choices.weighted((6, "plain"), (2, "attempt"), (2, "if"))
        if how == "attempt":
            made = self.attempt(here, pivot=True)
        elif how == "if":
            then = self._chained_pivot(here)
            other = self._chained_pivot(apart(here, then))
            lines = [f"if {self.condition(here)} {{", *indented(then.lines), "} else {"]
            made = Written([*lines, *indented(other.lines), "}"], self._join(here, then, other))
        else:
            made = self.pivot_step(here)
        return Written(made.lines, made.end and replace(made.end, after=True))

    def _chained_pivot(self, here: Here) -> Written:
        before = self.block(self.inner(here), least=0, most=1)
        return before if before.end is None else self._chained(before, self.pivot_step)

    def pivot_step(self, here: Here) -> Written:
        how = self.choices.weighted((6, "pivot"), (2, "told pivot"), (4, "child"))
        if how == "child" and here.depth == 0:
            return self.run_child(self.child_saga(pivot=True), here, "pivot ", "")
        role = "told pivot" if how == "told pivot" else "pivot"
        found = self.contracts.operation(role)
        tail = f" with {self.contracts.policy('undo')}" if self.choices.chance(20) else ""
        if role == "told pivot" or self.choices.chance(20):
            tail += f' else escalate "pivots"{self.choices.pick("", " after 5s")}'
        return self.bound(found, here, "pivot ", tail)

    # --- Sagas ---------------------------------------------------------------------------------

    def child_saga(self, pivot: bool) -> Child:
        """A saga to run as a step: one that is there, or a new one."""
        known = [found for found in self.children.values() if found.pivot == pivot]
        if known and (len(self.children) > 2 or self.choices.chance(50)):
            return self.choices.of(known)
        self.count += 1
        name = f"Kid{self.count}"
        kept = self.params, self.result, self.errors, self.left, self.children
        self.params, self.result, self.errors, self.left, self.children = {}, t.NULL, set(), 3, {}
        self.result = self.choices.pick(t.NULL, t.STRING, PART, t.INT)
        lines = self.saga(name, pivot=pivot, size=2, is_child=True)
        made = Child(name, list(self.params.items()), self.result, pivot, self.errors)
        grand = self.children
        self.params, self.result, self.errors, self.left, self.children = kept
        self.children.update(grand)
        self.children[name] = made
        self.sagas.append("\n".join(lines))
        return made

    def saga(self, name: str, pivot: bool, size: int, is_child: bool = False) -> Lines:
        head: Lines = []
        if self.choices.chance(15):
            head.append(f"deadline {self.choices.pick('1h', '5s', '500ms', '90ms')}")
        if self.choices.chance(40):
            told = self.choices.pick("", ' else escalate "undoing"')
            head.append(f"compensate with {self.contracts.policy('undo')}{told}")
        made = self.block(Here(Scope()), self.choices.pick(*range(1, size + 1)), size + 1)
        lines, end = made.lines, made.end
        if pivot and end is not None:
            turned = self.pivot(end)
            lines, end = [*lines, *turned.lines], turned.end
            if end is not None:
                self.left = max(self.left, 2)
                rest = self.block(end, least=0, most=2 if is_child else 3)
                lines, end = [*lines, *rest.lines], rest.end
        if end is not None and not pivot and self.choices.chance(12):
            lines, end = [*lines, self.abort(end)], None
        if end is not None and self.result != t.NULL:
            lines = [*lines, f"return {self.of(self.result, end)}"]
        if self.choices.chance(20):
            lines = [*lines, *self._epilogue()]
        if not is_child:
            # An id cannot be empty, and the input may.
            before, given = self.choices.pick("o", "o-"), self.param(t.STRING)
            head.insert(0, f'id "{before}${{{given}}}"')
        params = ", ".join(f"{n}: {t.show(kind)}" for n, kind in self.params.items())
        result = "" if self.result == t.NULL else f" -> {t.show(self.result)}"
        return [f"saga {name}({params}){result} {{", *indented([*head, *lines]), "}"]

    def _epilogue(self) -> Lines:
        """Steps once all is undone."""
        name = self.choices.pick("failed", "error")
        here = Here(Scope().bind(name, t.RecordRef("ErrorName")), depth=3)
        head = f"when compensated as {name} {{"
        if not self.choices.chance(70):
            here, head = Here(Scope(), depth=3), "when compensated {"
        lines: Lines = []
        for _ in range(self.choices.pick(1, 2)):
            made = self.best_effort(here)
            lines += made.lines
            here = made.end or here
        return [head, *indented(lines), "}"]


def program(choices: Choices) -> str:
    """The text of a program whose last saga is `Main`."""
    maker = Maker(choices, Contracts(choices))
    maker.left = choices.pick(4, 8, 12, 16)
    maker.result = choices.pick(t.NULL, PART, t.STRING, t.INT, PARTS, t.DECIMAL)
    main = "\n".join(maker.saga("Main", pivot=choices.chance(40), size=5))
    parts = [*maker.contracts.texts(), *maker.sagas, main]
    body = "\n\n".join(parts)
    return "\n".join([*_mentioned(body), "", body, ""])


def _mentioned(body: str) -> Lines:
    """The declarations of data that the text needs, and those that they need."""
    made: Lines = []
    for name, (value, _) in reversed(CONSTANTS.items()):
        if re.search(rf"\b{name}\b", "\n".join([*made, body])):
            made.insert(0, f"let {name} = {value}")
    for name, text in reversed(DECLARED.items()):
        if re.search(rf"\b{name}\b", "\n".join([*made, body])):
            made.insert(0, text)
    return made
