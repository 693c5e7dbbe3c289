"""What differs between two blocks, statement by statement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from sagalang.graph.structure import blocks_of, statements
from sagalang.model import program as p
from sagalang.model.expressions import may_fail
from sagalang.upgrade.align import aligned
from sagalang.upgrade.differences import OLD_ONLY, Difference, Site, named
from sagalang.upgrade.findings import Verdict
from sagalang.upgrade.reach import Leaf, Reach, Slot, failing, leaves_record
from sagalang.upgrade.steps import (
    of_arguments,
    of_escalation,
    of_pivot,
    of_signature,
    of_step,
    of_use,
    readable_error,
)
from sagalang.upgrade.values import readable, shape

OfChild = Callable[[Site, str], Iterator[Difference]]
"""What differs in a child saga, by its name, told of the step that runs it."""


class Blocks:
    """Compares blocks of a saga of two programs. `elsewhere`: the paths that the new saga has."""

    def __init__(
        self, old: p.Program, new: p.Program, was: p.Saga, is_: p.Saga, of_child: OfChild
    ) -> None:
        self._old, self._new = old, new
        self._was, self._is = was, is_
        self._had, self._has = _paths(was), _paths(is_)
        self._of_child = of_child

    def differences(self, old: p.Block, new: p.Block, at: Slot) -> Iterator[Difference]:
        pairs = list(aligned(old, new))
        for number, (i, j) in enumerate(pairs):
            if j is None:
                assert i is not None
                yield from self._removed(old.statements[i], (*at, i))
            elif i is None:
                later = (i for i, _ in pairs[number:] if i is not None)
                before = next(later, len(old.statements))
                yield from self._added(new.statements[j], old, before, at)
            else:
                one, other = old.statements[i], new.statements[j]
                yield from self._changed(self._site((*at, i), one, other), one, other)

    # --- Here or there only ----------------------------------------------------------------------

    def _removed(self, statement: p.Statement, slot: Slot) -> Iterator[Difference]:
        if not leaves_record(statement) and not isinstance(statement, p.Abort):
            # Only how it failed can be on record.
            if failing(statement):
                yield _removal(statement, slot, Reach.UNDONE, "is gone")
            for number, block in enumerate(blocks_of(statement)):
                for index, inner in enumerate(block.statements):
                    yield from self._removed(inner, (*slot, number, index))
            return
        path = getattr(statement, "path", None)
        moved = path is not None and path in self._has
        yield _removal(statement, slot, Reach.BEGUN, "stands elsewhere now" if moved else "is gone")

    def _added(
        self, statement: p.Statement, old: p.Block, before: int, at: Slot
    ) -> Iterator[Difference]:
        if isinstance(statement, p.Let) and not may_fail(statement.value):
            return
        if getattr(statement, "path", None) in self._had and isinstance(statement, Leaf):
            text = f"{named(statement)} comes here now: a run that is past this place did not"
            text += " make it here"
        else:
            text = f"{named(statement)} is new: a run that is past this place has not done it"
        rest = old.statements[before:]
        where = rest[0].span if rest else (old.statements[-1].span if old.statements else None)
        yield Difference(
            (*at, before), Reach.BEGUN, Verdict.BREAKS, text, OLD_ONLY, where, statement.span
        )

    # --- In both ---------------------------------------------------------------------------------

    def _site(self, slot: Slot, old: p.Statement, new: p.Statement) -> Site:
        programs, sagas = (self._old, self._new), (self._was, self._is)
        return Site(*programs, *sagas, slot, old.span, new.span, named(old))

    def _changed(self, site: Site, old: p.Statement, new: p.Statement) -> Iterator[Difference]:
        match old, new:
            case p.Step(), p.Step():
                yield from of_step(site, old, new)
            case p.ChildStep(), p.ChildStep():
                yield from self._child(site, old, new)
            case p.Wait(), p.Wait():
                yield from self._wait(site, old, new)
            case p.Poll(), p.Poll():
                yield from self._poll(site, old, new)
            case p.Sleep(), p.Sleep():
                yield from self._sleep(site, old, new)
            case p.Let(), p.Let():
                if not self._same(old.value, new.value):
                    text = f"`{old.name}` has another value: what follows may go another way"
                    yield site.breaks(Reach.BEGUN, text)
            case p.Abort(), p.Abort():
                if not self._same(old.fields, new.fields):
                    if any(may_fail(value) for _, value in new.fields):
                        yield site.breaks(Reach.BEGUN, f"a field of {old.error} may be missing")
                    else:
                        yield site.drains(Reach.BEGUN, f"{old.error} has other fields")
            case p.Return(), p.Return():
                if not self._same(old.value, new.value) and (failing(old) or failing(new)):
                    yield site.breaks(Reach.BEGUN, "what is returned may be missing")
            case p.If(), p.If():
                if not self._same(old.condition, new.condition):
                    text = "the condition is another one: a run may have taken the other way"
                    yield site.breaks(Reach.BEGUN, text)
                yield from self._inside(site.slot, old, new)
            case p.Parallel(), p.Parallel():
                if len(old.branches) != len(new.branches):
                    text = f"{len(new.branches)} branches instead of {len(old.branches)}"
                    yield site.breaks(Reach.BEGUN, text)
                else:
                    yield from self._inside(site.slot, old, new)
            case p.For(), p.For():
                yield from self._loop(site, old, new)
            case p.Attempt(), p.Attempt():
                was, is_ = ([handler.errors for handler in a.handlers] for a in (old, new))
                if was != is_:
                    yield site.breaks(Reach.UNDONE, "other errors are handled here")
                yield from self._inside(site.slot, old, new)

    def _same(self, old: object, new: object) -> bool:
        return bool(shape(self._old, old) == shape(self._new, new))

    def _inside(self, slot: Slot, old: p.Statement, new: p.Statement) -> Iterator[Difference]:
        for number, (a, b) in enumerate(zip(blocks_of(old), blocks_of(new), strict=False)):
            yield from self.differences(a, b, (*slot, number))

    def _child(self, site: Site, old: p.ChildStep, new: p.ChildStep) -> Iterator[Difference]:
        if old.saga != new.saga:
            yield site.breaks(Reach.BEGUN, f"saga {new.saga} is run instead of saga {old.saga}")
            return
        if not self._same(old.args, new.args):
            yield site.breaks(Reach.BEGUN, f"saga {old.saga} runs with other arguments")
        yield from of_pivot(site, old, new)
        if old.best_effort != new.best_effort:
            yield site.breaks(Reach.ENDED, f"saga {old.saga} is undone in another way")
        yield from of_escalation(site, old.escalate, new.escalate)
        for error in self._old.sagas[old.saga].errors:
            if not readable_error(self._old, self._new, error):
                yield site.breaks(Reach.BEGUN, f"error {error} has other fields")
        yield from self._of_child(site, old.saga)

    def _wait(self, site: Site, old: p.Wait, new: p.Wait) -> Iterator[Difference]:
        if old.event != new.event:
            yield site.breaks(Reach.BEGUN, f"it waits for {new.event} instead of {old.event}")
        if not self._same(old.where, new.where):
            yield site.breaks(Reach.BEGUN, "it takes other events than it did")
        yield from self._otherwise(site, old, new)

    def _poll(self, site: Site, old: p.Poll, new: p.Poll) -> Iterator[Difference]:
        if old.call.label != new.call.label:
            text = f"it asks {new.call.label} instead of {old.call.label}"
            yield site.breaks(Reach.BEGUN, text)
            return
        yield from of_arguments(site, old.call, new.call)
        yield from of_signature(site, old.call, new.call, Reach.BEGUN)
        if not readable(self._old, self._new, old.type, new.type):
            yield site.breaks(Reach.BEGUN, f"{site.name} gives something else")
        if not self._same(old.until, new.until):
            yield site.breaks(Reach.BEGUN, "it is content with other answers than it was")
        yield from self._otherwise(site, old, new)

    def _otherwise(
        self, site: Site, old: p.Wait | p.Poll, new: p.Wait | p.Poll
    ) -> Iterator[Difference]:
        yield from of_use(site, old, new)
        was, is_ = old.otherwise, new.otherwise
        if isinstance(was, p.Escalation) and not isinstance(is_, p.Escalation):
            text = "when nothing comes in time, that is not left to people any more"
            yield site.breaks(Reach.BEGUN, text)
        elif type(was) is not type(is_) or (
            isinstance(was, p.Abort)
            and isinstance(is_, p.Abort)
            and (was.error != is_.error or not self._same(was.fields, is_.fields))
        ):
            yield site.breaks(Reach.ENDED, "when nothing comes in time, something else follows")

    def _sleep(self, site: Site, old: p.Sleep, new: p.Sleep) -> Iterator[Difference]:
        if old.until == new.until and self._same(old.value, new.value):
            return
        if old.until == new.until and _lasts(old.value) and _lasts(new.value):
            return  # one that sleeps wakes when it was to
        yield site.breaks(Reach.BEGUN, "it sleeps until another time, or not at all")

    def _loop(self, site: Site, old: p.For, new: p.For) -> Iterator[Difference]:
        if not self._same((old.source, old.variable), (new.source, new.variable)):
            yield site.breaks(Reach.BEGUN, "the loop goes over something else")
        if not self._same(old.by, new.by):
            text = "iterations are told apart in another way, and their keys with them"
            yield site.breaks(Reach.BEGUN, text)
        if old.at_once != new.at_once:
            yield site.breaks(Reach.BEGUN, f"{new.at_once} at once instead of {old.at_once}")
        yield from self._inside(site.slot, old, new)


def _removal(statement: p.Statement, slot: Slot, when: Reach, how: str) -> Difference:
    name, advice = named(statement), "keep it until these runs have ended"
    text = f"{name} {how}, and is on record"
    return Difference(slot, when, Verdict.BREAKS, text, advice, statement.span, None)


def _lasts(value: p.Expr) -> bool:
    return (
        isinstance(value, p.Const)
        and isinstance(value.value, timedelta)
        and value.value > timedelta(0)
    )


def _paths(saga: p.Saga) -> frozenset[str]:
    return frozenset(
        statement.path for statement in statements(saga.body) if hasattr(statement, "path")
    )


def told_of_child(site: Site, ended: Verdict, undoing: Verdict, name: str) -> Iterator[Difference]:
    """What the changes of a child saga mean for a run that ran it, or undoes it. While it runs, it
    is in a position of its own."""

    advice = f"see saga {name}"

    def found(when: Reach, verdict: Verdict, text: str) -> Iterator[Difference]:
        if verdict is not Verdict.SAFE:
            yield Difference(site.slot, when, verdict, text, advice, site.was, site.is_)

    yield from found(Reach.ENDED, ended, f"saga {name}, which it ran, does something else")
    yield from found(Reach.UNDONE, undoing, f"saga {name} is undone in another way")
