"""What differs in a step that both definitions have: its call, its contract, its compensation."""

from __future__ import annotations

from collections.abc import Iterator

from sagalang.machine.backward import timed
from sagalang.machine.turn import needs_result
from sagalang.model import program as p
from sagalang.model.expressions import may_fail
from sagalang.model.types import RecordRef
from sagalang.upgrade.differences import KEEP, LATER, Difference, Site
from sagalang.upgrade.reach import Reach
from sagalang.upgrade.values import by_own_key, mentions, readable, shape, wire

_SENT_BEFORE = "let the calls under way end first: they were sent before it was so"


def of_step(site: Site, old: p.Step, new: p.Step) -> Iterator[Difference]:
    if old.call.label != new.call.label:
        yield site.breaks(
            Reach.BEGUN, f"`{old.path}` calls {new.call.label} instead of {old.call.label}"
        )
        return
    yield from of_arguments(site, old.call, new.call)
    yield from of_signature(site, old.call, new.call, Reach.BEGUN)
    yield from _of_promises(site, old, new)
    yield from _of_course(site, old, new)
    yield from of_use(site, old, new)
    yield from _of_compensation(site, old, new)


def of_arguments(site: Site, old: p.Call, new: p.Call) -> Iterator[Difference]:
    if shape(site.old, old.args) == shape(site.new, new.args):
        return
    if any(map(may_fail, new.args)):
        yield site.breaks(
            Reach.BEGUN, f"an argument of {site.name} is new and may be missing where it was sent"
        )
    else:
        yield site.drains(Reach.BEGUN, f"{site.name} was sent with other arguments")


def of_signature(site: Site, old: p.Call, new: p.Call, begun: Reach) -> Iterator[Difference]:
    """Whether what is on record of a call can be read. `begun`: where its intent is."""
    was, is_ = site.old.operation(old), site.new.operation(new)
    ended = Reach.ENDED if begun is Reach.BEGUN else begun
    if was.is_query != is_.is_query:
        kind = "query" if is_.is_query else "command"
        yield site.breaks(begun, f"{is_.label} is a {kind} now")
    fits = len(was.params) == len(is_.params) and all(
        readable(site.old, site.new, a.type, b.type)
        for a, b in zip(was.params, is_.params, strict=True)
    )
    if not fits:
        yield site.breaks(begun, f"{is_.label} takes something else, and its input is on record")
    if not readable(site.old, site.new, was.result, is_.result):
        yield site.breaks(ended, f"{is_.label} gives something else, and its answer is on record")
        if begun is Reach.BEGUN and not is_.is_query:
            yield site.drains(
                Reach.DOUBT,
                f"{is_.label} gives something else, and may have answered",
                _SENT_BEFORE,
            )
    for rejection in was.rejects:
        if not readable_error(site.old, site.new, rejection.error):
            yield site.breaks(begun, f"error {rejection.error} has other fields")


def readable_error(old: p.Program, new: p.Program, name: str) -> bool:
    had, has = old.errors.get(name), new.errors.get(name)
    if had is None or not had.fields:
        return not (has and has.fields)
    return bool(has and has.fields) and readable(old, new, RecordRef(name), RecordRef(name))


# --- The contract --------------------------------------------------------------------------------


def _of_promises(site: Site, old: p.Step, new: p.Step) -> Iterator[Difference]:
    was, is_ = site.old.operation(old.call), site.new.operation(new.call)
    if is_.is_query:
        return
    if is_.promises.keyed and not was.promises.keyed:
        # A compensation by key would find nothing under it.
        by_key = isinstance(new.compensation, p.Compensation) and by_own_key(
            new.compensation.call.args
        )
        when = Reach.BEGUN if by_key else Reach.DOUBT
        yield site.drains(when, f"{is_.label} is keyed now, and was sent without a key")
    elif is_.promises.keyed and _key_stands(was.promises) != _key_stands(is_.promises):
        yield site.drains(
            Reach.DOUBT, f"the key of {is_.label} stands elsewhere in its request", _SENT_BEFORE
        )
    for stronger in _stronger(was.promises, is_.promises):
        yield site.drains(
            Reach.DOUBT, f"{is_.label} promises `{stronger}` only from now on", _SENT_BEFORE
        )
    if _request(site.old, was) != _request(site.new, is_):
        yield site.drains(
            Reach.DOUBT, f"the request of {is_.label} is written in another way", _SENT_BEFORE
        )


def _stronger(was: p.Promises, is_: p.Promises) -> Iterator[str]:
    """What a call that was sent before may not enjoy."""
    if is_.idempotent and not was.idempotent:
        yield "idempotent"
    if is_.records_rejections and not was.records_rejections:
        yield "records rejections"
    if is_.keyed and was.keyed and is_.key_for > was.key_for:
        yield "keyed … for"
    if is_.lands_within is not None and (
        was.lands_within is None or is_.lands_within < was.lands_within
    ):
        yield "lands within"


def _key_stands(promises: p.Promises) -> tuple[str, str | None]:
    return promises.key_header, promises.key_field


def _request(program: p.Program, operation: p.Operation) -> object:
    route = operation.route
    params = [(param.wire, wire(program, param.type)) for param in operation.params]
    return None if route is None else (route.method, route.path), params


# --- The course ----------------------------------------------------------------------------------


def _of_course(site: Site, old: p.Step, new: p.Step) -> Iterator[Difference]:
    """What a step's outcome leads to."""
    yield from of_pivot(site, old, new)
    if old.best_effort != new.best_effort:
        how = "is best effort now" if new.best_effort else "is best effort no more"
        yield site.breaks(Reach.ENDED, f"{site.name} {how}")
    if timed(old.escalate, old.policy) != timed(new.escalate, new.policy):
        yield site.breaks(Reach.BEGUN, f"when people are told of {site.name} is another question")
    else:
        yield from of_escalation(site, old.escalate, new.escalate)


def of_pivot(
    site: Site, old: p.Step | p.ChildStep, new: p.Step | p.ChildStep
) -> Iterator[Difference]:
    if old.pivot != new.pivot:
        how = "is the point of no return now" if new.pivot else "is the point of no return no more"
        yield site.breaks(
            Reach.BEGUN, f"{site.name} {how}: a cancel that came since would mean something else"
        )


def of_escalation(
    site: Site, old: p.Escalation | None, new: p.Escalation | None
) -> Iterator[Difference]:
    if old is not None and new is None:
        yield site.breaks(Reach.BEGUN, f"a failure of {site.name} is not left to people any more")
    elif old is None and new is not None:
        yield site.breaks(Reach.UNDONE, f"a failure of {site.name} is left to people now")


def of_use(
    site: Site, old: p.Step | p.Wait | p.Poll, new: p.Step | p.Wait | p.Poll
) -> Iterator[Difference]:
    """A person may have settled it without a value, as long as nothing used that."""
    if isinstance(old, p.Step):
        may_be_open = old.escalate is not None or old.pivot or old.after_pivot
    else:
        may_be_open = isinstance(old.otherwise, p.Escalation)
    if may_be_open and _used(site.has, new) and not _used(site.had, old):
        yield site.breaks(
            Reach.ENDED,
            f"the value of {site.name} is used now; a person may have settled it without one",
        )


def _used(saga: p.Saga, leaf: p.Step | p.Wait | p.Poll) -> bool:
    undone = leaf.compensation if isinstance(leaf, p.Step) else None
    by_result = isinstance(undone, p.Compensation) and needs_result(undone.call.args)
    return by_result or (leaf.name is not None and mentions(saga.body, leaf.name))


# --- The compensation ----------------------------------------------------------------------------


def _of_compensation(site: Site, old: p.Step, new: p.Step) -> Iterator[Difference]:
    was, is_ = old.compensation, new.compensation
    same = _arguments(site.old, was) == _arguments(site.new, is_)
    if isinstance(is_, p.Compensation) and not same and _fails_at_once(is_):
        yield site.breaks(
            Reach.BEGUN,
            f"what undoes {site.name} has a new argument, which may be missing where it was sent",
        )
    if not (isinstance(was, p.Compensation) and isinstance(is_, p.Compensation)):
        if isinstance(was, p.Compensation):
            yield site.breaks(Reach.UNDONE, f"{site.name} is not undone any more", KEEP)
        elif isinstance(is_, p.Compensation):
            yield site.breaks(Reach.UNDONE, f"{site.name} is undone now, by {is_.call.label}")
        return
    if was.call.label != is_.call.label:
        yield site.breaks(
            Reach.UNDONE,
            f"{site.name} is undone by {is_.call.label} instead of {was.call.label}",
        )
        return
    if not same:
        if needs_result(was.call.args) != needs_result(is_.call.args):
            yield site.breaks(
                Reach.UNDONE, f"whether undoing {site.name} needs its result has changed"
            )
        else:
            yield site.drains(Reach.UNDONE, f"{is_.call.label} is sent with other arguments")
    yield from of_signature(site, was.call, is_.call, Reach.UNDONE)
    yield from _of_undoing(site, old, new, was, is_)


def _of_undoing(
    site: Site, old: p.Step, new: p.Step, was: p.Compensation, is_: p.Compensation
) -> Iterator[Difference]:
    if timed(was.escalate, was.policy) != timed(is_.escalate, is_.policy):
        yield site.breaks(
            Reach.UNDONE, f"when people are told of {is_.call.label} is another question"
        )
    if _held_off(site.old, old, was) != _held_off(site.new, new, is_):
        yield site.breaks(
            Reach.UNDONE, f"how long {is_.call.label} waits for late calls has changed"
        )
    before, after = site.old.operation(was.call).promises, site.new.operation(is_.call).promises
    stronger = list(_stronger(before, after))
    stronger += ["keyed"] if after.keyed and not before.keyed else []
    stronger += ["fences late"] if after.fences_late and not before.fences_late else []
    for promise in stronger:
        yield site.drains(
            Reach.UNDONE, f"{is_.call.label} promises `{promise}` only from now on", LATER
        )


def _arguments(program: p.Program, found: p.Compensation | p.NoCompensation | None) -> object:
    return shape(program, found.call) if isinstance(found, p.Compensation) else None


def _fails_at_once(compensation: p.Compensation) -> bool:
    """Whether its arguments are worked out before the step is sent, and may be missing."""
    args = compensation.call.args
    return not needs_result(args) and any(map(may_fail, args))


def _held_off(program: p.Program, step: p.Step, undone: p.Compensation) -> int | None:
    if program.operation(undone.call).promises.fences_late:
        return None
    return program.operation(step.call).promises.lands_within
