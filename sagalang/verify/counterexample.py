"""A broken promise as a run that anybody can repeat: a script, what it does, and a scenario."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, Final

from msgspec.structs import replace

from sagalang.model import program as p
from sagalang.model.types import RecordRef
from sagalang.runtime.codec import encode, freeze, parse
from sagalang.runtime.fault_script import Kind, Script
from sagalang.verify.candidates import Candidates
from sagalang.verify.explore import Path
from sagalang.verify.placing import place
from sagalang.verify.replay import Replay, Theatre, shows, statement
from sagalang.verify.scenario_text import scenario
from sagalang.verify.script import CallId, Cue, Sent, Tried, cues
from sagalang.verify.verify import Found

LATENCIES: Final = (0, 20)
"""Answers that take no time, as in a scenario; and such that something may happen meanwhile."""

MANY: Final = 200
"""So many runs are tried before a counterexample is given up."""


@dataclass(frozen=True)
class Counterexample:
    """`reproduced`: the run of this script broke the promise; None where that cannot be seen from
    outside. `scenario`: a block to paste; None where scenarios have no words for it."""

    script: Script
    replay: Replay
    reproduced: bool | None
    scenario: str | None


def counterexample(program: p.Program, found: Found, title: str = "") -> Counterexample:
    """The breach that was found, as a run on values and in time; the simplest that breaks it.
    `title`: of the scenario.

    Where no run does, the nearest one, with `reproduced` False: what was found takes a moment that
    cannot be placed (a deadline within one call), or it is no breach.
    """
    theatre = Theatre(program)
    saga = found.model.saga
    nearest: Counterexample | None = None
    for replay, called in islice(_runs(theatre, saga, found.path), MANY):
        reproduced = shows(replay, found.breach)
        if nearest is None or reproduced:
            text = None
            if reproduced:
                named = title or _title(found, replay)
                text = scenario(replay, found.breach, theatre.values, named, called)
            nearest = Counterexample(replay.script, replay, reproduced, text)
        if reproduced:
            break
    assert nearest is not None
    return nearest


def _title(found: Found, replay: Replay) -> str:
    """What should hold, as the title of a scenario."""
    path = "" if found.breach.at is None else found.breach.at[1].path
    label = next((did.label for did in replay.steps if did.place.path == path), found.model.saga)
    holds = {
        "left": "leaves nothing behind",
        "done-twice": "happens once",
        "not-done": "happens",
        "forgotten": "is not forgotten",
    }
    return f"{label} {holds.get(found.breach.rule, 'ends')}"


def _runs(theatre: Theatre, saga: str, path: Path) -> Iterator[tuple[Replay, dict[str, str]]]:
    """Runs that may be what the path tells, the likeliest first."""
    candidates = Candidates(theatre.program, theatre.values, path)
    declared = theatre.program.sagas[saga]
    told = [one for told in islice(cues(path), MANY) for one in _harsher(told)]
    for latency in LATENCIES:
        for args, called in candidates.arguments(declared):
            for alternative in told:
                for full, events in _valued(theatre, saga, candidates, alternative):
                    yield place(theatre, saga, args, full, events, latency), called


def _harsher(told: Sequence[Cue]) -> Iterator[tuple[Cue, ...]]:
    """The cues with lost answers for lost requests, then as they are. What the saga believes is the
    same, and an effect that is there convinces more than one that nobody knows of."""
    made = tuple(
        replace(cue, kind=Kind.ANSWER_LOST)
        if isinstance(cue, Tried) and cue.kind is Kind.REQUEST_LOST and not cue.call.probe
        else cue
        for cue in told
    )
    if made != tuple(told):
        yield made
    yield tuple(told)


def _valued(
    theatre: Theatre, saga: str, candidates: Candidates, told: Sequence[Cue]
) -> Iterator[tuple[tuple[Cue, ...], dict[str, Any]]]:
    """The cues with values for the answers and events that questions looked at."""
    program, values = theatre.program, theatre.values
    open_: list[tuple[int | str, list[Any]]] = []
    for index, cue in enumerate(told):
        if isinstance(cue, Tried) and cue.kind is None and candidates.asked(cue.symbol or "?"):
            operation = _answering(program, saga, cue.call)
            if operation is not None:
                made = candidates.made(cue.symbol, operation.result, operation.name)
                type_ = values.python_type(operation.result)
                open_.append((index, [_plain(value, type_) for value in made]))
        elif isinstance(cue, Sent):
            event = RecordRef(cue.event)
            made = candidates.made(cue.symbol, event, cue.event)
            type_ = values.python_type(event)
            open_.append((cue.symbol, [_plain(value, type_) for value in made]))
    for chosen in product(*(options for _, options in open_)):
        full = list(told)
        events: dict[str, Any] = {}
        for (where, _), value in zip(open_, chosen, strict=True):
            if isinstance(where, str):
                events[where] = value
            else:
                full[where] = replace(full[where], kind=Kind.ANSWERS, value=value)
        yield tuple(full), events


def _plain(value: Any, type_: Any) -> Any:
    return freeze(parse(encode(value, type_)))


def _answering(program: p.Program, saga: str, call: CallId) -> p.Operation | None:
    """The operation whose answer the call brings."""
    for spot in call.sagas:
        child = statement(program, saga, spot.path)
        if not isinstance(child, p.ChildStep):
            return None
        saga = child.saga
    step = statement(program, saga, call.spot.path)
    return program.operation(step.call) if isinstance(step, p.Step | p.Poll) else None
