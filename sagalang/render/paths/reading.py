"""Reading what a `--when` says.

Faults of calls are worded as in scenarios and in `saga run --fault`, but without arguments: a
picture has no values, so it could not tell the calls with these from others. Beside them stands
what is no fault of a call: an event that does not come, a cancel, the deadline, an `abort` that is
reached; and that nothing goes wrong. Where an operation is called by several steps, a step can be
named by its own name, or, without one, as `Service.operation#1`, `Service.operation#2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from sagalang.diagnostics.suggest import hint
from sagalang.graph.structure import statements
from sagalang.model import program as p
from sagalang.model.errors import CANCELLED, DEADLINE_EXCEEDED
from sagalang.render.paths.whens import (
    Aborted,
    AllWell,
    CallFault,
    NotInTime,
    Problem,
    Stopped,
    Target,
    When,
    aborts,
    labels,
    whole,
    worded,
)

MOST: Final = 1_000
"""So often a fault may strike, other than always."""

_NAME: Final = r"[^\W\d]\w*"
_SUBJECT: Final = rf"(?P<subject>(?:undo\s+of\s+)?(?:saga\s+)?{_NAME}(?:\.{_NAME})?(?:#\d+)?)"
_TIMES: Final = r"(?:\s*,\s*(?P<times>once|always|\d+\s+times))?"
_KINDS: Final = (
    rf"(?P<rejects>rejects)\s+(?P<error>{_NAME})(?:\s*\(.*\))?",
    r"(?P<returns>returns)\s.*?",
    r"(?P<out>times\s+out\s+(?:before|after)\s+effect)",
    r"(?P<late>arrives\s+late)(?:\s+after\s+(?P<after>(?:\d{1,9}(?:ms|s|m|h|d))+))?",
    r"(?P<plain>unavailable|duplicated|is\s+not\s+sent|answers\s+nonsense)",
)
_ARGS: Final = r"\s*(?P<args>\(.*?\))?"
_FAULT: Final = re.compile(rf"{_SUBJECT}{_ARGS}\s+(?:{'|'.join(_KINDS)}){_TIMES}", re.DOTALL)
_CRASH: Final = re.compile(rf"(?P<crash>crash\s+(?:before|after))\s+{_SUBJECT}{_ARGS}{_TIMES}")
_NO: Final = re.compile(rf"no\s+(?P<name>{_NAME}(?:\.{_NAME})?(?:#\d+)?)(?:\s+in\s+time)?")
_STOP: Final = re.compile(
    rf"(?P<what>cancelled|deadline)\s+(?P<when>after|before)\s+(?P<name>{_NAME}(?:\.{_NAME})?(?:#\d+)?)"
)
_ABORT: Final = re.compile(rf"abort\s+(?P<error>{_NAME})(?:\s*#\s*(?P<nth>\d+))?")
_BEGUN: Final = re.compile(rf"{_SUBJECT}\s*(?:\(.*\))?\s+(?P<rest>\S.*)", re.DOTALL)
_WELL: Final = "all goes well"
_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_CAN: Final = (
    "what can happen: `S.op rejects E`, `S.op times out before effect`,"
    " `S.op times out after effect`, `S.op unavailable`, `S.op arrives late`, `S.op duplicated`,"
    " `S.op is not sent`, `S.op answers nonsense` (each once, or with `, 3 times` or `, always`),"
    " `crash after S.op`, `no Event`, `cancelled after S.op`, `cancelled before Event`,"
    " `deadline after S.op`, `abort E`, `all goes well`"
)


def parse(program: p.Program, saga_name: str, text: str) -> When | Problem:
    """One `--when` about a saga of a checked program; what cannot be is a `Problem`."""
    saga = program.sagas[saga_name]
    found = _parse(program, saga, text)
    if isinstance(found, Problem):
        for child in _children(program, saga):
            if not isinstance(_parse(program, program.sagas[child], text), Problem):
                advice = f"saga {child} can: draw that one, `saga render FILE {child} --when …`"
                return Problem(found.message, advice)
    return found


def _children(program: p.Program, saga: p.Saga) -> Iterator[str]:
    """The sagas that it runs as steps, at any depth."""
    for statement in whole(saga):
        if isinstance(statement, p.ChildStep):
            yield statement.saga
            yield from _children(program, program.sagas[statement.saga])


def _parse(program: p.Program, saga: p.Saga, text: str) -> When | Problem:
    said = " ".join(text.split()).removeprefix("when ").rstrip(".")
    if said == _WELL:
        return AllWell(said)
    if found := _NO.fullmatch(said):
        return _not_in_time(saga, said, found["name"])
    if found := _STOP.fullmatch(said):
        return _stopped(saga, said, found["what"], found["when"] == "before", found["name"])
    if found := _ABORT.fullmatch(said):
        return _aborted(saga, said, found["error"], int(found["nth"] or 1))
    if found := _CRASH.fullmatch(said):
        return _fault(program, saga, said, " ".join(found["crash"].split()), found)
    if found := _FAULT.fullmatch(said):
        kind = next(
            k for k in (found[n] for n in ("rejects", "returns", "out", "late", "plain")) if k
        )
        return _fault(program, saga, said, " ".join(kind.split()), found)
    begun = _BEGUN.fullmatch(said)
    if begun is None:
        return Problem(f"`{said}` does not say what goes wrong", _CAN)
    target = _target(program, saga, begun["subject"])
    if isinstance(target, Problem):
        return target
    return Problem(f"`{begun['rest']}` is not a way in which a call can fail", _CAN)


def _fault(
    program: p.Program, saga: p.Saga, text: str, kind: str, found: re.Match[str]
) -> When | Problem:
    named = found.groupdict()
    target = _target(program, saga, found["subject"])
    if isinstance(target, Problem):
        return target
    if named["args"]:
        return _of_some(saga, found["subject"], target)
    error = named.get("error")
    wrong = _impossible(program, target, kind, error)
    if wrong is not None:
        return wrong
    times = _times(named["times"])
    # Without arguments and values: the text is shown in the picture.
    text = worded(found["subject"], kind, error, named.get("after"), named["times"])
    if times == 0 or (times or 0) > MOST:
        return Problem(
            f"`{text}`: a fault strikes from once to {MOST:,} times, or always",
            "write `, always` for a call that never gets through",
        )
    after = _duration(named["after"]) if named.get("after") else None
    return CallFault(text, target, kind, error, after, times)


def _of_some(saga: p.Saga, subject: str, target: Target) -> Problem:
    """A fault of the calls with certain arguments, which a picture cannot tell from others."""
    paths = [s.path for s in whole(saga) if isinstance(s, p.Step) and s.call.label == subject]
    advice = "leave out the arguments"
    if target.path is None and len(paths) > 1:
        names = (f"`{f'{path}#1' if path == subject else path}`" for path in paths)
        advice += f", or name the step that is meant: {', '.join(names)}"
    return Problem(f"a picture is of every call of `{subject}`, whatever its arguments", advice)


def _times(text: str | None) -> int | None:
    if text is None or text == "once":
        return 1
    return None if text == "always" else int(text.split()[0])


def _duration(text: str) -> p.Ms:
    return sum(int(n) * _UNITS[u] for n, u in re.findall(r"(\d+)(ms|s|m|h|d)", text))


def _target(program: p.Program, saga: p.Saga, subject: str) -> Target | Problem:
    undo = subject.startswith("undo of ")
    name = subject.removeprefix("undo of ").removeprefix("saga ")
    steps = {s.path: s for s in whole(saga) if isinstance(s, p.Step | p.ChildStep | p.Poll)}
    if name.endswith("#1"):  # the first one without a name of its own
        return _step_target(steps, saga, name.removesuffix("#1"), undo)
    if undo or ("." not in name and "#" not in name) or (name in steps and "#" in name):
        return _step_target(steps, saga, name, undo)
    service_name, _, operation_name = name.partition(".")
    service = program.services.get(service_name)
    if service is None:
        advice = hint(service_name, program.services) or _listed(
            "the services are", program.services
        )
        return Problem(f"there is no service `{service_name}`", advice)
    if operation_name not in service.operations:
        number = operation_name.partition("#")[0]
        if number in service.operations:
            return Problem(f"`{saga.name}` has no step `{name}`", hint(name, steps))
        advice = hint(operation_name, service.operations) or _listed("it has", service.operations)
        return Problem(f"the service `{service_name}` has no operation `{operation_name}`", advice)
    known = labels(program, saga)
    if name not in known:
        advice = hint(name, known) or _listed("it calls", known)
        return Problem(f"`{saga.name}` never calls `{name}`", advice)
    return Target(name)


def _step_target(
    steps: Mapping[str, p.Step | p.ChildStep | p.Poll], saga: p.Saga, name: str, undo: bool
) -> Target | Problem:
    by_saga = {s.saga: s for s in steps.values() if isinstance(s, p.ChildStep)}
    step = steps.get(name) or by_saga.get(name)
    if step is None:
        near = hint(name, (*steps, *by_saga)) or _listed("its steps are", steps)
        return Problem(f"`{saga.name}` has no step `{name}`", near)
    if isinstance(step, p.ChildStep):
        label = f"saga {step.saga}"
    elif not undo:
        label = step.call.label
    elif isinstance(step, p.Step) and isinstance(step.compensation, p.Compensation):
        label = step.compensation.call.label
    else:
        return Problem(f"nothing undoes `{name}`", "a step is undone by what `compensate` names")
    return Target(label, step.path, undo)


def _impossible(program: p.Program, target: Target, kind: str, error: str | None) -> Problem | None:
    """Why the contract knows no such fault, if so."""
    if target.operation.startswith("saga "):
        child = program.sagas[target.operation.removeprefix("saga ")]
        if kind != "rejects" or target.undo:
            return Problem(
                f"a child saga is no call: `{target.operation}` cannot fail in this way",
                f"say how it ends: `{child.name} rejects E`, or what one of its own calls does",
            )
        allowed, whose = list(child.errors), f"`{target.operation}` never ends"
    else:
        service, _, name = target.operation.partition(".")
        operation = program.services[service].operations[name]
        allowed = [rejection.error for rejection in operation.rejects]
        whose = f"`{target.operation}` never rejects"
    if kind != "rejects" or error in allowed:
        return None
    advice = hint(error or "", allowed) or (
        _listed("it rejects", allowed) if allowed else "declare it: `rejects …`"
    )
    return Problem(f"{whose} with `{error}`", advice)


def _not_in_time(saga: p.Saga, text: str, name: str) -> When | Problem:
    known: dict[str, str] = {}
    for statement in whole(saga):
        if isinstance(statement, p.Wait | p.Poll):
            known.setdefault(statement.path, statement.path)
            known.setdefault(statement.name, statement.path)
            other = statement.event if isinstance(statement, p.Wait) else statement.call.label
            known.setdefault(other, statement.path)
    if name not in known:
        advice = hint(name, known) or (
            _listed("it waits for", known) if known else "it has no `wait` and no `poll`"
        )
        return Problem(f"`{saga.name}` does not wait for `{name}`", advice)
    return NotInTime(text, known[name])


def _stopped(saga: p.Saga, text: str, what: str, waiting: bool, name: str) -> When | Problem:
    if what == "deadline" and saga.deadline is None:
        return Problem(f"`{saga.name}` has no deadline", "give it one: `deadline 6h`")
    known: dict[bool, dict[str, list[str]]] = {False: {}, True: {}}
    names: tuple[str, ...]
    for statement in statements(saga.body):
        match statement:
            case p.Step(path=path, call=call):
                names = (path, call.label)
            case p.ChildStep(path=path, saga=child):
                names = (path, child)
            case p.Wait(path=path, event=event):
                names = (path, event)
            case p.Poll(path=path, name=bound, call=call):
                names = (path, bound, call.label)
            case _:
                continue
        mine = known[isinstance(statement, p.Wait | p.Poll)]
        for one in dict.fromkeys(names):
            mine.setdefault(one, []).append(path)
    if name.endswith("#1") and name.removesuffix("#1") in known[waiting]:
        known[waiting][name] = [name.removesuffix("#1")]
    if name in known[waiting]:
        error = CANCELLED if what == "cancelled" else DEADLINE_EXCEEDED
        return Stopped(text, error, tuple(known[waiting][name]), waiting)
    if name in known[not waiting]:
        if waiting:
            return Problem(
                f"`{name}` is not waited for: it is called, and then it is over",
                f"write `{what} after {name}`",
            )
        return Problem(
            f"as soon as `{name}` is there the saga goes on, and cannot be stopped in between",
            f"write `{what} before {name}`, or `{what} after` the step that follows",
        )
    every = {**known[False], **known[True]}
    advice = hint(name, every) or _listed("it has", every)
    return Problem(f"`{saga.name}` has no step `{name}`", advice)


def _aborted(saga: p.Saga, text: str, error: str, nth: int) -> When | Problem:
    found = aborts(saga, error)
    if not found:
        errors = dict.fromkeys(e for e in saga.errors if aborts(saga, e))
        advice = hint(error, errors) or (
            _listed("it aborts with", errors) if errors else "it has no `abort`"
        )
        return Problem(f"`{saga.name}` never aborts with `{error}`", advice)
    if not 1 <= nth <= len(found):
        many = "once" if len(found) == 1 else f"{len(found)} times"
        return Problem(f"`{saga.name}` has `abort {error}` only {many}", "count from 1")
    return Aborted(text, error, found[nth - 1])


_SHOWN: Final = 8


def _listed(lead: str, names: Mapping[str, object] | list[str]) -> str:
    """The names, as far as anybody reads them."""
    every = list(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return f"{lead} " + ", ".join(f"`{name}`" for name in every[:_SHOWN]) + more
