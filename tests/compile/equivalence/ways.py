"""Random statements with others inside: conditions, loops, parallel parts, attempts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sagalang.model import types as t

from .blocks import Here, Lines, Shared, Written, apart, indented
from .contracts import ERRORS, Operation
from .expressions import INTS, PART, PARTS, STRINGS
from .steps import Steps


class Ways(Steps):
    # --- Ways ----------------------------------------------------------------------------------

    def if_(self, here: Here) -> Written:
        """One or two arms; what both bind goes on."""
        maybe = [n for n, kind in here.scope.names.items() if isinstance(kind, t.Optional)]
        then_here = self.inner(here)
        if maybe and self.choices.chance(40):
            name = self.choices.of(maybe)
            kind = here.scope.names[name]
            assert isinstance(kind, t.Optional)
            condition = f"{name} != null"
            then_here = replace(then_here, scope=here.scope.bind(name, kind.item))
        else:
            condition = self.condition(here)
        with_else = self.choices.chance(60)
        if not with_else:
            then = self.block(then_here, most=2)
            return Written([f"if {condition} {{", *indented(then.lines), "}"], apart(here, then))
        shared = self.shared(here)
        then = self.arm(then_here, shared)
        other = self.arm(apart(self.inner(here), then), shared)
        lines = [f"if {condition} {{", *indented(then.lines), "} else {"]
        return Written([*lines, *indented(other.lines), "}"], self._join(here, then, other))

    def shared(self, here: Here) -> Shared | None:
        """What every arm binds at its end, most often."""
        how = self.choices.pick("nothing", "value", "step", "value")
        if how == "nothing":
            return None
        if how == "value" or here.after:
            return Shared(self.name(here), self.choices.pick(t.STRING, t.INT, PART))
        return Shared(self.name(here), self.contracts.operation("undoable"))

    def arm(self, start: Here, shared: Shared | None, most: int = 2, least: int = 1) -> Written:
        if shared is None:
            return self.block(start, least=least, most=most)
        made = self.block(replace(start, around=start.around | {shared.name}), least, most)
        return made if made.end is None else self._bound_as(shared, made, made.end)

    def _bound_as(self, shared: Shared, made: Written, end: Here) -> Written:
        name, what = shared.name, shared.what
        if isinstance(what, Operation):
            line = f"step {name} = {self.call(what, end)}"
            kind = None if what.result == t.NULL else what.result
            return Written([*made.lines, line], end.bind(name, kind))
        # A literal's own type would be another one for some values.
        line = f"let {name} = {self.of(what, end)}"
        return Written([*made.lines, line], end.bind(name, what))

    def _join(self, here: Here, *arms: Written) -> Here | None:
        """What holds behind several arms."""
        ends = [arm.end for arm in arms if arm.end is not None]
        if not ends:
            return None
        around = here.around.union(*(end.around for end in ends))
        names = dict(here.scope.names)
        for name, kind in ends[0].scope.names.items():
            if name not in names and all(end.scope.names.get(name) == kind for end in ends):
                names[name] = kind
        return replace(here, scope=replace(here.scope, names=names), around=around)

    def loop(self, here: Here) -> Written:
        source = self.choices.pick(STRINGS, INTS, PARTS)
        items = self.of(source, here, 1)
        name = self.name(here)
        inner = self.inner(here).bind(name, source.item)
        inner = replace(inner, loops=here.loops + 1, told=here.told)
        by = ""
        if self.choices.chance(40):
            field_ = f"{name}.{self.choices.pick('name', 'qty')}" if source == PARTS else name
            by = f" by {field_}"
        at_once = f", {self.choices.pick(2, 3)} at once" if self.choices.chance(50) else ""
        if at_once:
            inner = replace(inner, returns=False)
        made = self.block(inner, most=3)
        head = f"for {name} in {items}{by}{at_once} {{"
        end = here
        if made.end is not None:
            for bound, kind in made.end.scope.names.items():
                if bound not in inner.scope.names:
                    end = end.bind(bound, t.ListOf(kind))
            end = replace(end, around=here.around | made.end.around - {name})
        return Written([head, *indented(made.lines), "}"], end)

    def parallel(self, here: Here) -> Written:
        lines: Lines = []
        end, around = here, here.around
        for _ in range(self.choices.pick(2, 2, 3)):
            inner = replace(self.inner(here), returns=False, around=around)
            made = self.block(inner, most=3)
            ended = made.end or inner
            around |= ended.around
            for bound, kind in ended.scope.names.items():
                if bound not in here.scope.names:
                    end = end.bind(bound, kind)
            keyed = [k for k in ended.scope.keyed if k not in here.scope.keyed]
            end = replace(end, scope=replace(end.scope, keyed=(*end.scope.keyed, *keyed)))
            lines += ["branch {", *indented(made.lines), "}"]
        return Written(
            ["parallel {", *indented(lines), "}"], replace(end, around=end.around | around)
        )

    def attempt(self, here: Here, pivot: bool = False) -> Written:
        """A scope with handlers. Behind the pivot they handle every rejection; with `pivot` it
        has the pivot inside."""
        outer, self.errors = self.errors, set()
        inner = self.inner(here, told=True)
        shared = None if pivot else self.shared(here)
        made = self.arm(inner, shared, most=3)
        if pivot and made.end is not None:
            last = self.pivot_step(made.end)
            made = Written([*made.lines, *last.lines], last.end)
        raised = sorted(self.errors)
        declared = [error for error in raised if error in ERRORS]
        self.errors = outer
        groups = self._groups(raised, declared, all_=here.after)
        handlers = []
        held = apart(here, made)
        for group in groups:
            handlers.append(self._handler(held, group, pivot, shared))
            held = apart(held, handlers[-1][1])
        self.errors |= set(raised)
        lines = ["attempt {", *indented(made.lines), "}"]
        for head, handled in handlers:
            lines[-1] = f"}} {head} {{"
            lines += [*indented(handled.lines), "}"]
        arms = [made, *(handled for _, handled in handlers)]
        return Written(lines, self._after_attempt(here, made, arms))

    def _groups(self, raised: Sequence[str], declared: Sequence[str], all_: bool) -> list[Lines]:
        """Which errors each handler is for."""
        if all_ and declared:
            return [list(declared)] if self.choices.chance(50) else [[e] for e in declared]
        pool = list(raised) or ["BadValue"]
        groups: list[Lines] = []
        for _ in range(self.choices.pick(1, 1, 2)):
            group: Lines = []
            for _ in range(self.choices.pick(1, 1, 2)):
                likely = [e for e in pool if e in ERRORS]
                if pool:
                    chosen = self.choices.of(likely if likely and self.choices.chance(60) else pool)
                    pool.remove(chosen)
                    group.append(chosen)
            if group:
                groups.append(group)
        return groups

    def _handler(
        self, here: Here, errors: Sequence[str], pivot: bool, shared: Shared | None
    ) -> tuple[str, Written]:
        inner = self.inner(here)
        head = f"on {', '.join(errors)}"
        if self.choices.chance(60):
            name = self.name(inner)
            head += f" as {name}"
            known = errors[0] if len(errors) == 1 and errors[0] in ERRORS else "ErrorName"
            inner = inner.bind(name, t.RecordRef(known))
        if pivot:
            before = self.block(inner, least=0, most=1)
            return head, before if before.end is None else self._chained(before, self.pivot_step)
        least = 0 if self.choices.chance(20) else 1
        made = self.arm(inner, None if self.choices.chance(20) else shared, least=least)
        if not here.after and made.end is not None and self.choices.chance(25):
            return head, Written([*made.lines, self.abort(made.end)], None)
        return head, made

    def _chained(self, made: Written, then: Callable[[Here], Written]) -> Written:
        assert made.end is not None
        more = then(made.end)
        return Written([*made.lines, *more.lines], more.end)

    def _after_attempt(self, here: Here, body: Written, arms: Sequence[Written]) -> Here | None:
        ends = [arm.end for arm in arms if arm.end is not None]
        if body.end is None:
            return (
                None
                if not ends
                else replace(here, around=here.around.union(*(e.around for e in ends)))
            )
        names = dict(here.scope.names)
        for name, kind in body.end.scope.names.items():
            if name in names:
                continue
            kinds = [end.scope.names.get(name) for end in ends]
            if all(found == kind for found in kinds):
                names[name] = kind
            elif all(found in (None, kind) for found in kinds) and not isinstance(kind, t.Secret):
                names[name] = t.optional(kind)
        around = here.around.union(*(end.around for end in ends))
        return replace(here, scope=replace(here.scope, names=names), around=around)
