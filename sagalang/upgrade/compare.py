"""Compares two checked programs: what becomes of the runs of each saga of the old one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from sagalang.graph.structure import statements
from sagalang.model import program as p
from sagalang.model.types import RecordRef
from sagalang.upgrade.differences import OLD_ONLY, Difference, Site, everywhere, named
from sagalang.upgrade.findings import Change, Kind, Position, SagaUpgrade, Verdict
from sagalang.upgrade.reach import BODY, EPILOGUE, Reached, Station, stations
from sagalang.upgrade.statements import Blocks, OfChild, told_of_child
from sagalang.upgrade.values import readable, shape


def compare(old: p.Program, new: p.Program) -> tuple[SagaUpgrade, ...]:
    """What becomes of the running sagas of `old` under `new`, in the old order; then the sagas
    that are new. Both programs are checked and without errors."""

    @cache
    def differences(name: str) -> tuple[Difference, ...]:
        return tuple(_differences(old, new, name, of_child))

    def of_child(site: Site, name: str) -> Iterator[Difference]:
        found = differences(name)
        places = stations(old.sagas[name], is_child=True)
        ended = [place.reached for place in places if place.kind is Kind.AFTER]
        undoing = [place.reached for place in places if place.kind in (Kind.AFTER, Kind.UNDOING)]
        yield from told_of_child(site, _worst(found, ended), _worst(found, undoing), name)

    children = {
        statement.saga
        for saga in old.sagas.values()
        for statement in statements(saga.body)
        if isinstance(statement, p.ChildStep)
    }
    made = []
    for name, saga in old.sagas.items():
        found = (*_of_id(old, new, name), *differences(name))
        places = stations(saga, is_child=name in children)
        made.append(_upgrade(saga, new.sagas.get(name), places, found))
    added = (saga for name, saga in new.sagas.items() if name not in old.sagas)
    return (*made, *(SagaUpgrade(saga.name, None, saga.span, (), ()) for saga in added))


def _differences(
    old: p.Program, new: p.Program, name: str, of_child: OfChild
) -> Iterator[Difference]:
    was, is_ = old.sagas[name], new.sagas.get(name)
    if is_ is None:
        text = f"saga {name} is gone, and its runs are on record"
        yield everywhere(Verdict.BREAKS, text, OLD_ONLY, was.span, None)
        return
    yield from _of_head(old, new, was, is_)
    blocks = Blocks(old, new, was, is_, of_child)
    yield from blocks.differences(was.body, is_.body, BODY)
    yield from blocks.differences(_epilogue(was), _epilogue(is_), EPILOGUE)


def _epilogue(saga: p.Saga) -> p.Block:
    return p.Block(()) if saga.when_compensated is None else saga.when_compensated.body


def _of_id(old: p.Program, new: p.Program, name: str) -> Iterator[Difference]:
    was, is_ = old.sagas[name], new.sagas.get(name)
    if is_ is not None and shape(old, was.id) != shape(new, is_.id):
        text = "the id is another one: who starts a run again with the same input starts a second"
        advice = "switch over once no run is under way"
        yield everywhere(Verdict.DRAIN, text, advice, was.span, is_.span)


def _of_head(old: p.Program, new: p.Program, was: p.Saga, is_: p.Saga) -> Iterator[Difference]:
    def breaks(text: str) -> Difference:
        return everywhere(Verdict.BREAKS, text, OLD_ONLY, was.span, is_.span)

    if [q.name for q in was.params] != [q.name for q in is_.params] or not all(
        readable(old, new, a.type, b.type) for a, b in zip(was.params, is_.params, strict=True)
    ):
        yield breaks(f"{was.name} takes other parameters, and runs have theirs on record")
    if not readable(old, new, was.result, is_.result):
        end = (*BODY, len(was.body.statements))
        yield replace(breaks(f"{was.name} returned something else"), slot=end)
    if (was.deadline is None) != (is_.deadline is None):
        how = "no deadline any more" if is_.deadline is None else "a deadline"
        yield breaks(f"{was.name} has {how}, and runs began otherwise")
    for event in sorted({s.event for s in statements(was.body) if isinstance(s, p.Wait)}):
        kept = event in new.events
        if not (kept and readable(old, new, RecordRef(event), RecordRef(event))):
            how = "has other fields" if kept else "is gone"
            text = f"event {event} {how}, and one that came early may be on record"
            where = new.events[event].span if kept else None
            yield everywhere(Verdict.BREAKS, text, OLD_ONLY, old.events[event].span, where)


# --- From differences to positions ---------------------------------------------------------------


def _worst(found: Sequence[Difference], places: Sequence[Reached]) -> Verdict:
    concerning = (d.verdict for d in found if any(map(d.concerns, places)))
    return max(concerning, default=Verdict.SAFE)


def _upgrade(
    old: p.Saga, new: p.Saga | None, places: Sequence[Station], found: Sequence[Difference]
) -> SagaUpgrade:
    concerned = [d for d in found if any(d.concerns(place.reached) for place in places)]
    positions = tuple(_position(place, concerned) for place in places)
    changes = tuple(Change(d.verdict, d.text, d.advice, d.old, d.new) for d in concerned)
    return SagaUpgrade(old.name, old.span, None if new is None else new.span, positions, changes)


def _position(place: Station, found: Sequence[Difference]) -> Position:
    statement = place.statement
    return Position(
        kind=place.kind,
        what="the end" if statement is None else named(statement),
        path=getattr(statement, "path", ""),
        span=place.span,
        epilogue=place.epilogue,
        verdict=_worst(found, [place.reached]),
        changes=tuple(n for n, d in enumerate(found) if d.concerns(place.reached)),
    )
